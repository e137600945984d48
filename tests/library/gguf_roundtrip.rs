//! What the writer writes, the reader reads.

use gatefold::DynFormat;
use gatefold::gguf::{Array, Bytes, Gguf, Metadata, TensorPlan, Value, WriteError, Writer};
use proptest::collection::vec;
use proptest::prelude::*;

fn write(metadata: &Metadata, tensors: &[(TensorPlan, Vec<u8>)]) -> Vec<u8> {
    let plan = tensors.iter().map(|(plan, _)| plan.clone()).collect();
    let mut writer = Writer::new(Vec::new(), metadata, plan).unwrap();
    for (_, bytes) in tensors {
        writer.tensor(bytes).unwrap();
    }
    writer.finish().unwrap()
}

fn plan(name: &str, format: &str, shape: &[usize]) -> TensorPlan {
    let format = DynFormat::by_name(format).unwrap();
    TensorPlan { name: name.into(), format, shape: shape.into() }
}

fn read(bytes: Vec<u8>) -> Gguf {
    Gguf::from_bytes("test.gguf", Bytes::from(bytes)).unwrap()
}

macro_rules! any_value {
    ($($name:ident),*) => {
        prop_oneof![
            $(any_scalar::$name().prop_map(Value::$name),
            vec(any_scalar::$name(), 0..5).prop_map(|values| Value::Array(Array::$name(values))),)*
        ]
    };
}

/// Strategies for values; NaN does not equal itself, so it has a test of its own.
#[allow(non_snake_case)]
mod any_scalar {
    use proptest::num;
    use proptest::prelude::*;

    macro_rules! integers {
        ($($name:ident: $type:ty),*) => {
            $(pub fn $name() -> impl Strategy<Value = $type> {
                any::<$type>()
            })*
        };
    }
    integers!(U8: u8, I8: i8, U16: u16, I16: i16, U32: u32, I32: i32, U64: u64, I64: i64, Bool: bool);

    pub fn String() -> impl Strategy<Value = String> {
        any::<String>()
    }

    pub fn F32() -> impl Strategy<Value = f32> {
        num::f32::NORMAL | num::f32::SUBNORMAL | num::f32::ZERO | num::f32::INFINITE
    }

    pub fn F64() -> impl Strategy<Value = f64> {
        num::f64::NORMAL | num::f64::SUBNORMAL | num::f64::ZERO | num::f64::INFINITE
    }
}

fn any_metadata() -> impl Strategy<Value = Metadata> {
    let value = any_value!(U8, I8, U16, I16, U32, I32, F32, Bool, String, U64, I64, F64);
    vec(("[a-z._ äöü]{1,40}", value), 0..12).prop_map(|entries| {
        let mut metadata = Metadata::new();
        for (key, value) in entries {
            metadata.set(key, value);
        }
        metadata
    })
}

fn any_tensors() -> impl Strategy<Value = Vec<(TensorPlan, Vec<u8>)>> {
    let format = proptest::sample::select(vec!["F32", "F16", "BF16", "Q4_0", "Q4_K"]);
    let tensor = ("[a-z0-9._]{1,60}", format, 1usize..4, vec(1usize..4, 0..4), any::<u8>());
    vec(tensor, 0..6).prop_map(|tensors| {
        let with_bytes = tensors.into_iter().enumerate().map(|(idx, tensor)| {
            let (name, format, blocks, mut shape, fill) = tensor;
            let format = DynFormat::by_name(format).unwrap();
            let n_bytes = shape.iter().product::<usize>() * blocks * format.block_bytes;
            shape.push(blocks * format.block_len);
            let name = format!("{name}{idx}");
            let bytes = (0..n_bytes).map(|i| fill.wrapping_add(i as u8)).collect();
            (TensorPlan { name, format, shape }, bytes)
        });
        with_bytes.collect()
    })
}

proptest! {
    #[test]
    fn everything_comes_back(metadata in any_metadata(), tensors in any_tensors()) {
        let gguf = read(write(&metadata, &tensors));
        let values: Vec<_> = gguf.metadata().iter().collect();
        prop_assert_eq!(values, metadata.iter().collect::<Vec<_>>());
        prop_assert_eq!(gguf.tensors().count(), tensors.len());
        for (tensor, (plan, bytes)) in gguf.tensors().zip(&tensors) {
            prop_assert_eq!(&tensor.name, &plan.name);
            prop_assert_eq!(tensor.format, plan.format);
            prop_assert_eq!(&tensor.shape, &plan.shape);
            prop_assert_eq!(&tensor.bytes[..], &bytes[..]);
            prop_assert_eq!(&gguf.tensor(&plan.name).unwrap().shape, &plan.shape);
        }
    }
}

#[test]
fn floats_keep_their_bits() {
    let f32s = [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001), f32::NEG_INFINITY, -0.0, 0.1];
    let f64s = [f64::NAN, f64::INFINITY, -0.0, 0.1, f64::MIN_POSITIVE / 8.0];
    let mut metadata = Metadata::new();
    metadata.set("f32s", Value::Array(Array::F32(f32s.to_vec())));
    metadata.set("f64s", Value::Array(Array::F64(f64s.to_vec())));
    metadata.set("nan", Value::F32(f32::from_bits(0xffc1_2345)));
    let gguf = read(write(&metadata, &[]));
    let Some(Value::Array(Array::F32(found))) = gguf.metadata().get("f32s") else { panic!() };
    assert_eq!(found.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), f32s.map(f32::to_bits));
    let Some(Value::Array(Array::F64(found))) = gguf.metadata().get("f64s") else { panic!() };
    assert_eq!(found.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), f64s.map(f64::to_bits));
    let Some(Value::F32(found)) = gguf.metadata().get("nan") else { panic!() };
    assert_eq!(found.to_bits(), 0xffc1_2345);
}

#[test]
fn the_layout_of_another_file_is_not_copied() {
    let mut metadata = Metadata::new();
    metadata.set("general.alignment", Value::U32(4096));
    metadata.set("split.count", Value::U16(7));
    metadata.set("general.name", Value::String("a model".into()));
    let gguf = read(write(&metadata, &[(plan("w", "F32", &[3]), vec![7; 12])]));
    let keys: Vec<_> = gguf.metadata().iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["general.name"]);
    assert_eq!(gguf.tensor("w").unwrap().bytes[..], [7; 12]);
}

#[test]
fn bytes_of_the_program_itself_are_read_in_place() {
    let file = write(&Metadata::new(), &[(plan("w", "F32", &[3]), vec![7; 12])]);
    let file: &'static [u8] = file.leak();
    let gguf = Gguf::from_bytes("built in", Bytes::from(file)).unwrap();
    let bytes = &gguf.tensor("w").unwrap().bytes;
    assert_eq!(bytes[..], [7; 12]);
    assert!(file.as_ptr_range().contains(&bytes.as_ptr()), "no copy");
}

#[test]
fn getters_accept_what_they_promise_and_name_what_they_refuse() {
    let mut metadata = Metadata::new();
    metadata.set("count", Value::I8(8));
    metadata.set("negative", Value::I32(-1));
    metadata.set("name", Value::String("a model".into()));
    metadata.set("sizes", Value::Array(Array::U16(vec![1, 2])));
    metadata.set("scores", Value::Array(Array::F64(vec![0.5])));
    assert_eq!(metadata.u64("count").unwrap(), Some(8));
    assert_eq!(metadata.f32("count").unwrap(), Some(8.0));
    assert_eq!(metadata.str("name").unwrap(), Some("a model"));
    assert_eq!(metadata.i64s("sizes").unwrap(), Some(vec![1, 2]));
    assert_eq!(metadata.f32s("scores").unwrap(), Some(vec![0.5]));
    assert_eq!(metadata.bool("absent").unwrap(), None);

    let message = metadata.u64("negative").unwrap_err().to_string();
    assert!(message.contains("negative is -1 (i32), and a non-negative integer"), "{message}");
    let message = metadata.strings("name").unwrap_err().to_string();
    assert!(message.contains("name is string, and an array of strings"), "{message}");
    assert!(metadata.i64s("scores").is_err() && metadata.str("sizes").is_err());
    let missing = metadata.required("absent", metadata.u64("absent"));
    assert!(missing.unwrap_err().to_string().contains("no key absent"));
}

#[test]
fn the_writer_holds_to_its_plan() {
    let metadata = Metadata::new();
    let new = |plan| Writer::new(Vec::new(), &metadata, plan);

    let mut writer = new(vec![plan("w", "F32", &[2, 4])]).unwrap();
    writer.chunk(&[1; 5]).unwrap();
    assert!(matches!(writer.chunk(&[1; 28]), Err(WriteError::Size { given: 33, .. })));
    writer.chunk(&[1; 27]).unwrap();
    assert!(matches!(writer.chunk(&[1]), Err(WriteError::Full(1))));
    assert_eq!(read(writer.finish().unwrap()).tensor("w").unwrap().bytes[..], [1; 32]);

    let mut writer = new(vec![plan("w", "F32", &[4])]).unwrap();
    assert!(writer.tensor(&[0; 12]).is_err(), "too few bytes");
    assert!(writer.finish().is_err(), "a tensor is missing");

    let refused = [
        vec![plan(&"n".repeat(65), "F32", &[4])],
        vec![plan("w", "F32", &[4]), plan("w", "F32", &[4])],
        vec![plan("w", "F32", &[])],
        vec![plan("w", "F32", &[1, 1, 1, 1, 4])],
        vec![plan("w", "F32", &[4, 0])],
        vec![plan("w", "Q4_0", &[4, 48])],
        vec![plan("w", "F32", &[usize::MAX, 4])],
    ];
    for tensors in refused {
        let shown = format!("{tensors:?}");
        assert!(new(tensors).is_err(), "{shown}");
    }

    for key in ["", "a\nb", &"k".repeat(65536)] {
        let mut metadata = Metadata::new();
        metadata.set(key, Value::U8(1));
        let error = Writer::new(Vec::new(), &metadata, vec![]).err().expect(key);
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }
}
