//! The formats against independent implementations: see `fixtures/make.py`.

use gatefold_quant::{DynFormat, FORMATS, Isa};
use std::collections::HashSet;

/// The formats of `fixtures/blocks.bin`, in its order, with the bytes and weights of a block as the
/// format's description states them.
const KNOWN: [(&str, u32, usize, usize); 13] = [
    ("BF16", 30, 2, 1),
    ("Q4_0", 2, 18, 32),
    ("Q4_1", 3, 20, 32),
    ("Q5_0", 6, 22, 32),
    ("Q5_1", 7, 24, 32),
    ("Q8_0", 8, 34, 32),
    ("Q2_K", 10, 84, 256),
    ("Q3_K", 11, 110, 256),
    ("Q4_K", 12, 144, 256),
    ("Q5_K", 13, 176, 256),
    ("Q6_K", 14, 210, 256),
    ("IQ4_NL", 20, 18, 32),
    ("IQ4_XS", 23, 136, 256),
];

const WEIGHTS_PER_FORMAT: usize = 1024;

#[test]
fn the_registry_has_every_format_once() {
    assert_eq!(FORMATS.len(), KNOWN.len() + 2, "besides the known ones, F32 and F16");
    let names: HashSet<_> = FORMATS.iter().map(|format| format.name).collect();
    let types: HashSet<_> = FORMATS.iter().map(|format| format.gguf_type).collect();
    assert_eq!((names.len(), types.len()), (FORMATS.len(), FORMATS.len()));
    for (name, gguf_type, block_bytes, block_len) in
        KNOWN.into_iter().chain([("F32", 0, 4, 1), ("F16", 1, 2, 1)])
    {
        let format = DynFormat::by_name(name).expect(name);
        assert_eq!(Some(format), DynFormat::by_gguf_type(gguf_type));
        assert_eq!(Some(format), DynFormat::by_name(&name.to_lowercase()));
        assert_eq!((format.block_bytes, format.block_len), (block_bytes, block_len), "{name}");
        assert_eq!(format.activations.block_len(), block_len, "{name}");
        assert_eq!(format.row_bytes(3 * block_len), Some(3 * block_bytes));
        if block_len > 1 {
            assert_eq!(format.row_bytes(block_len + 1), None);
        }
    }
}

#[test]
fn dequantized_blocks_equal_the_gguf_package_bit_for_bit() {
    let mut fixture = &include_bytes!("fixtures/blocks.bin")[..];
    for (name, ..) in KNOWN {
        let format = DynFormat::by_name(name).expect(name);
        let n_bytes = format.row_bytes(WEIGHTS_PER_FORMAT).expect("whole blocks");
        let (bytes, expected);
        (bytes, fixture) = fixture.split_at(n_bytes);
        (expected, fixture) = fixture.split_at(4 * WEIGHTS_PER_FORMAT);
        let mut weights = vec![0.0; WEIGHTS_PER_FORMAT];
        for isa in Isa::available() {
            format.dequantize(isa, bytes, &mut weights);
            for (i, (weight, expected)) in weights.iter().zip(expected.as_chunks().0).enumerate() {
                let expected = f32::from_le_bytes(*expected);
                assert_eq!(weight.to_bits(), expected.to_bits(), "{name} {i}: {weight} {expected}");
            }
        }
    }
    assert!(fixture.is_empty());
}
