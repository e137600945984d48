//! The formats against independent implementations: see `fixtures/make.py`.

use gatefold_quant::{Activations, DynFormat, FORMATS, Isa};
use std::collections::HashSet;

type Known = (&'static str, u32, usize, usize);

/// The formats of `fixtures/blocks.bin`, in its order, with the bytes and weights of a block as the
/// format's description states them.
const QUANTIZED: [Known; 13] = [
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

/// Those of `fixtures/codebooks.bin`.
const CODEBOOKS: [Known; 7] = [
    ("IQ3_S", 21, 110, 256),
    ("IQ3_XXS", 18, 98, 256),
    ("IQ2_S", 22, 82, 256),
    ("IQ2_XS", 17, 74, 256),
    ("IQ2_XXS", 16, 66, 256),
    ("IQ1_M", 29, 56, 256),
    ("IQ1_S", 19, 50, 256),
];

const WEIGHTS_PER_FORMAT: usize = 1024;

#[test]
fn the_registry_has_every_format_once() {
    let known =
        || QUANTIZED.into_iter().chain(CODEBOOKS).chain([("F32", 0, 4, 1), ("F16", 1, 2, 1)]);
    assert_eq!(FORMATS.len(), known().count());
    let names: HashSet<_> = FORMATS.iter().map(|format| format.name).collect();
    let types: HashSet<_> = FORMATS.iter().map(|format| format.gguf_type).collect();
    assert_eq!((names.len(), types.len()), (FORMATS.len(), FORMATS.len()));
    for (name, gguf_type, block_bytes, block_len) in known() {
        let format = DynFormat::by_name(name).expect(name);
        assert_eq!(Some(format), DynFormat::by_gguf_type(gguf_type));
        assert_eq!(Some(format), DynFormat::by_name(&name.to_lowercase()));
        assert_eq!((format.block_bytes, format.block_len), (block_bytes, block_len), "{name}");
        assert_eq!(format.activations.block_len(), block_len, "{name}");
        assert_eq!(format.row_bytes(3 * block_len), Some(3 * block_bytes));
        let needs_importance = name.starts_with("IQ1") || name.starts_with("IQ2");
        assert_eq!(format.needs_importance(), needs_importance, "{name}");
        if block_len > 1 {
            assert_eq!(format.row_bytes(block_len + 1), None);
        }
    }
}

#[test]
fn dequantized_blocks_equal_the_gguf_package_bit_for_bit() {
    equal_blocks(&QUANTIZED, include_bytes!("fixtures/blocks.bin"));
    equal_blocks(&CODEBOOKS, include_bytes!("fixtures/codebooks.bin"));
}

fn equal_blocks(formats: &[Known], mut fixture: &[u8]) {
    for &(name, ..) in formats {
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

/// Blocks of the high bytes of a linear congruential generator, with one scale after another, which
/// are f16: see `numbered_blocks` of `fixtures/make.py`. They have every entry of every codebook.
fn numbered_blocks(format: &DynFormat) -> Vec<u8> {
    const N_BLOCKS: usize = 1024;
    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let mut blocks: Vec<u8> = (0..N_BLOCKS * format.block_bytes).map(|_| random()).collect();
    for (scale, block) in (0x2000u16..).step_by(3).zip(blocks.chunks_exact_mut(format.block_bytes))
    {
        if format.name == "IQ1_M" {
            for i in 0..4 {
                let byte = &mut block[49 + 2 * i];
                *byte = *byte & 0x0f | ((scale >> (4 * i)) as u8) << 4;
            }
        } else {
            block[..2].copy_from_slice(&scale.to_le_bytes());
        }
    }
    blocks
}

#[test]
fn every_entry_of_a_codebook_equals_the_gguf_package() {
    for line in include_str!("fixtures/codebooks.tsv").lines() {
        let (name, expected) = line.split_once('\t').expect(line);
        let format = DynFormat::by_name(name).expect(name);
        let blocks = numbered_blocks(format);
        let mut weights = vec![0.0; blocks.len() / format.block_bytes * format.block_len];
        format.dequantize(Isa::detect(), &blocks, &mut weights);
        let hash = weights.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, weight| {
            (hash ^ u64::from(weight.to_bits())).wrapping_mul(0x0100_0000_01b3)
        });
        assert_eq!(format!("{hash:016x}"), expected, "{name}");
    }
}

#[test]
fn blocks_of_any_bits_are_read() {
    let row = |byte: u8, format: &DynFormat| vec![byte; format.row_bytes(256).unwrap()];
    for format in FORMATS {
        let mut weights = vec![0.0; 256];
        for isa in Isa::available() {
            let x = Activations::new(isa, format.activations, 256, &[1.0; 9 * 256]);
            for byte in [0, 0x55, 0x7f, 0x80, 0xaa, 0xff] {
                format.dequantize(isa, &row(byte, format), &mut weights);
                format.multiply(isa, &row(byte, format).repeat(17), &x, &mut [0.0; 17 * 9]);
            }
        }
    }
}
