//! What tells one model from another.

use gatefold::gguf::{Bytes, FileLayout, Gguf, Value, Writer};
use gatefold_fixtures::tiny_model::Model;
use std::fs;

fn fingerprint(model: &Model) -> [u8; 32] {
    Gguf::from_bytes("tiny.gguf", Bytes::from(model.file())).unwrap().fingerprint()
}

/// A model whose tensors are larger than what is sampled of them.
fn wide() -> Model {
    let mut model = Model::with_merged_experts();
    model.add("blk.1.ffn_up_exps", "F32", &[4, 64, 64]);
    model
}

#[test]
fn the_same_under_another_name_and_split() {
    let model = wide();
    let (_folder, path) = model.write();
    let whole = Gguf::open(&path).unwrap();
    assert_eq!(whole.fingerprint(), fingerprint(&model));

    let folder = tempfile::tempdir().unwrap();
    let plans =
        |part: &[_]| part.iter().map(|(plan, _): &(_, Vec<u8>)| Clone::clone(plan)).collect();
    let (first, second) = model.tensors.split_at(6);
    let layouts = FileLayout::of_parts(&model.metadata, vec![plans(first), plans(second)]).unwrap();
    let parts = [(0, first), (1, second)];
    for ((idx, tensors), layout) in parts.into_iter().zip(layouts) {
        let mut writer = Writer::begin(Vec::new(), layout).unwrap();
        tensors.iter().for_each(|(_, bytes)| writer.tensor(bytes).unwrap());
        let path = gatefold::gguf::part_path(&folder.path().join("x.gguf"), idx, 2);
        fs::write(path, writer.finish().unwrap()).unwrap();
    }
    let split = Gguf::open(&folder.path().join("x-00001-of-00002.gguf")).unwrap();
    assert_eq!(split.fingerprint(), whole.fingerprint());
}

#[test]
fn another_where_anything_that_is_sampled_differs() {
    let original = fingerprint(&wide());
    let changes: [fn(&mut Model); 7] = [
        |model| model.metadata.set("general.name", Value::String("other".into())),
        |model| model.metadata.set("general.version", Value::U32(1)),
        |model| model.metadata.set("llama.context_length", Value::U64(100)),
        |model| model.tensors[1].0.name = "blk.0.attn_morn.weight".into(),
        |model| model.tensors[1].0.shape = vec![4, 8],
        |model| model.bytes_of("blk.1.ffn_up_exps.weight")[0] = 1,
        |model| *model.bytes_of("blk.1.ffn_up_exps.weight").last_mut().unwrap() = 1,
    ];
    for (idx, change) in changes.into_iter().enumerate() {
        let mut model = wide();
        change(&mut model);
        assert_ne!(fingerprint(&model), original, "{idx}");
    }
    let mut model = wide();
    let bytes = model.bytes_of("blk.1.ffn_up_exps.weight");
    let middle = bytes.len() / 2;
    bytes[middle] = 1;
    assert_ne!(fingerprint(&model), original);
}
