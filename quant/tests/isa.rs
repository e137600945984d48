//! Every instruction set gives the bits of the scalar reference.

use gatefold_quant::attention::{RunningSoftmax, TILE_LEN, Tile};
use gatefold_quant::{ActivationKind, Activations, DynFormat, FORMATS, Isa};
use proptest::prelude::*;
use std::io::Write;

/// SplitMix64: reproducible bits.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// In -1..1.
    fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }
}

fn others() -> impl Iterator<Item = Isa> {
    Isa::available().filter(|isa| isa.name() != "scalar")
}

fn scalar() -> Isa {
    Isa::named("scalar").unwrap()
}

/// Random blocks whose weights are of similar magnitude, so that no block drowns the others, and
/// some blocks of zero bytes, whose scale is zero.
fn random_blocks(format: &DynFormat, n: usize, random: &mut Random) -> Vec<u8> {
    let mut weights = vec![0.0; format.block_len];
    let mut bytes = Vec::with_capacity(n * format.block_bytes);
    while bytes.len() < n * format.block_bytes {
        let block: Vec<u8> = (0..format.block_bytes).map(|_| random.next() as u8).collect();
        format.dequantize(scalar(), &block, &mut weights);
        let max = weights.iter().fold(0.0, |max: f32, w| max.max(w.abs()));
        let is_finite = weights.iter().all(|w| w.is_finite());
        if random.next().is_multiple_of(16) {
            bytes.resize(bytes.len() + format.block_bytes, 0);
        } else if is_finite && (0.01..100.0).contains(&max) {
            bytes.extend(block);
        }
    }
    bytes
}

/// Rows of different sizes with a few zero blocks; the first row has a NaN.
fn random_activations(n: usize, cols: usize) -> Vec<f32> {
    let mut random = Random(n as u64);
    let mut x = random.floats(n * cols);
    for block in x.chunks_exact_mut(32) {
        let scale = [0.0, 0.1, 1.0, 1.0, 30.0][random.next() as usize % 5];
        block.iter_mut().for_each(|x| *x *= scale);
    }
    x[cols - 7] = f32::NAN;
    x
}

/// The bits of a value; all NaN alike.
fn bits(value: f32) -> u32 {
    if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() }
}

fn assert_same(expected: &[f32], found: &[f32], what: impl Fn() -> String) {
    assert_eq!(expected.len(), found.len());
    for (i, (&expected, &found)) in expected.iter().zip(found).enumerate() {
        assert_eq!(bits(expected), bits(found), "{}: {expected} or {found} at {i}", what());
    }
}

#[test]
fn products_have_the_reference_bits() {
    const MAX_ROWS: usize = 47;
    const MAX_TOKENS: usize = 44;
    for format in FORMATS {
        let mut all_cols: Vec<usize> = [1, 2, 3, 5].map(|n| n * format.block_len.max(256)).into();
        if format.block_len <= 32 {
            all_cols.extend([32, 96, 576]);
        }
        if format.block_len == 1 {
            all_cols.extend([8, 15, 17]);
        }
        for cols in all_cols {
            let n_blocks = MAX_ROWS * cols / format.block_len;
            let weights = random_blocks(format, n_blocks, &mut Random(cols as u64));
            let rows = random_activations(MAX_TOKENS, cols);
            let x = |first: usize| {
                Activations::new(scalar(), format.activations, cols, &rows[first * cols..])
            };
            let mut expected = vec![0.0; MAX_ROWS * MAX_TOKENS];
            format.multiply(scalar(), &weights, &x(0), &mut expected);
            assert!(expected[..MAX_ROWS].iter().all(|y| y.is_nan()), "{format}: a NaN shows");
            assert!(expected[MAX_ROWS..].iter().all(|y| y.is_finite()));

            let all_rows = [1, 3, 4, 5, 15, 16, 17, 31, 33, 47];
            for (isa, n_rows) in others().flat_map(|isa| all_rows.map(|n| (isa, n))) {
                for n_tokens in [1, 2, 3, 4, 5, 6, 7, 8, 20, 33, 44] {
                    let what = || format!("{} {format} {n_rows}x{cols}x{n_tokens}", isa.name());
                    let weights = &weights[..n_rows * cols / format.block_len * format.block_bytes];
                    // From the end, so that few tokens are not only the NaN.
                    let first = MAX_TOKENS - n_tokens;
                    let mut found = vec![f32::NAN; n_rows * n_tokens];
                    format.multiply(isa, weights, &x(first), &mut found);
                    for (t, found) in found.chunks_exact(n_rows).enumerate() {
                        assert_same(&expected[(first + t) * MAX_ROWS..][..n_rows], found, what);
                    }
                }
            }
        }
    }
}

/// So many tokens that kernels take the columns of a matrix in stripes, the last one shorter.
#[test]
fn products_with_many_tokens_have_the_reference_bits() {
    let (n_rows, cols, n_tokens) = (17, 1280, 1100);
    for name in ["Q4_1", "Q4_K"] {
        let format = DynFormat::by_name(name).unwrap();
        let weights = random_blocks(format, n_rows * cols / format.block_len, &mut Random(1));
        let x = random_activations(n_tokens, cols);
        let x = Activations::new(scalar(), format.activations, cols, &x);
        let mut expected = vec![0.0; n_rows * n_tokens];
        format.multiply(scalar(), &weights, &x, &mut expected);
        for isa in others() {
            let mut found = vec![f32::NAN; n_rows * n_tokens];
            format.multiply(isa, &weights, &x, &mut found);
            assert_same(&expected, &found, || format!("{} {name}", isa.name()));
        }
    }
}

/// Says which instruction sets the tests of this file could not compare here. It goes to standard
/// error by itself, which the test harness does not capture.
#[test]
fn instruction_sets_that_are_skipped_show() {
    let here: Vec<_> = Isa::available().map(Isa::name).collect();
    assert!(here.iter().all(|name| Isa::NAMES.contains(name)), "{here:?}");
    let skipped: Vec<_> = Isa::NAMES.into_iter().filter(|name| !here.contains(name)).collect();
    if !skipped.is_empty() {
        let _ = writeln!(std::io::stderr(), "SKIPPED, not on this CPU: {skipped:?}");
    }
}

#[test]
fn no_tokens_and_no_rows_are_no_work() {
    for format in FORMATS {
        let row = vec![0; format.row_bytes(256).unwrap()];
        let x = [0, 1, 2].map(|n| Activations::zeros(format.activations, n, 256));
        for isa in Isa::available() {
            // Results of nothing, in the midst of others.
            let mut memory = [7.0; 64];
            let out = &mut memory[32..32];
            format.multiply(isa, &row, &x[0], out);
            format.multiply(isa, &[], &x[1], out);
            format.multiply(isa, &[], &x[2], out);
            assert_eq!(memory, [7.0; 64], "{} {format}", isa.name());
        }
    }
}

/// What a product with these sizes says about them; `None` if it is computed.
fn complaint(n_bytes: usize, n_tokens: usize, out_len: usize) -> Option<String> {
    let format = DynFormat::by_name("Q4_0").unwrap();
    let x = Activations::zeros(format.activations, n_tokens, 64);
    let product = || {
        format.multiply(Isa::detect(), &vec![0; n_bytes], &x, &mut vec![0.0; out_len]);
    };
    let panic = std::panic::catch_unwind(product).err()?;
    Some(*panic.downcast::<String>().expect("a message"))
}

#[test]
fn lengths_are_checked_before_a_kernel_runs() {
    const ROW_BYTES: usize = 36;
    assert_eq!(complaint(2 * ROW_BYTES, 2, 4), None);
    assert!(complaint(2 * ROW_BYTES, 2, 3).is_some(), "too short a result");
    assert!(complaint(2 * ROW_BYTES, 0, 1).is_some(), "a result of nothing");
    let message = complaint(3 * ROW_BYTES / 2, 2, 3).unwrap();
    assert!(message.contains("rows of Q4_0 blocks"), "half a row: {message}");
    assert!(complaint(ROW_BYTES - 1, 1, 1).is_some(), "a cut block");
}

/// Values as they come up, and ones at which functions change their course.
fn any_value() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => -10.0f32..10.0,
        2 => -100.0f32..100.0,
        1 => prop::sample::select(vec![
            0.0, -0.0, 88.7, 88.8, 89.5, -87.3, -87.4, -104.0, 1e-30, 1e30, -1e30, 1e-40,
            f32::MAX, f32::INFINITY, f32::NEG_INFINITY, f32::NAN,
        ]),
    ]
}

/// Vectors of one length.
fn vectors<const N: usize>() -> impl Strategy<Value = [Vec<f32>; N]> {
    (1usize..70)
        .prop_flat_map(|len| std::array::from_fn(|_| proptest::collection::vec(any_value(), len)))
}

/// The formats of plain floats, in which keys and values are stored.
fn float_formats() -> Vec<&'static DynFormat> {
    FORMATS.iter().filter(|format| format.float_kind.is_some()).collect()
}

/// Runs `function` on every instruction set and compares what it leaves in its first argument.
fn assert_same_everywhere(start: &[f32], function: impl Fn(Isa, &mut [f32])) {
    let mut expected = start.to_vec();
    function(scalar(), &mut expected);
    for isa in others() {
        let mut found = start.to_vec();
        function(isa, &mut found);
        assert_same(&expected, &found, || isa.name().to_owned());
    }
}

proptest! {
    #[test]
    fn vector_functions_have_the_reference_bits([a, b] in vectors(), factor in any_value()) {
        assert_same_everywhere(&[0.0], |isa, out| out[0] = isa.dot(&a, &b));
        assert_same_everywhere(&a, |isa, y| isa.add_scaled(y, factor, &b));
        assert_same_everywhere(&a, |isa, out| isa.rms_norm(&a, &b, 1e-5, out));
        assert_same_everywhere(&a, |isa, gate| isa.silu_mul(gate, &b));
        assert_same_everywhere(&a, |isa, values| {
            let sum = isa.exp_sum(values, factor);
            values[0] += sum;
        });
    }

    #[test]
    fn attention_has_the_reference_bits(
        format in prop::sample::select(float_formats()),
        head_dim in 1usize..150,
        n_queries in prop_oneof![1usize..8, 60..70usize],
        n_positions in 1usize..=TILE_LEN,
        seed: u64,
    ) {
        let random = &mut Random(seed);
        let stored = |floats: Vec<f32>| {
            let mut bytes = vec![0; format.row_bytes(floats.len()).unwrap()];
            format.quantize(scalar(), &floats, &mut bytes);
            bytes
        };
        let queries = random.floats(n_queries * head_dim);
        let keys = stored(random.floats(n_positions * head_dim));
        let values = stored(random.floats(n_positions * head_dim));
        let kind = format.float_kind.expect("a format of floats");
        let tile = Tile { kind, keys: &keys, values: &values, next: &keys };
        let (before, later) = (random.floats(n_queries * head_dim), random.floats(n_queries * head_dim));
        assert_same_everywhere(&before, |isa, out| {
            let mut states = vec![RunningSoftmax { max: 0.1, sum: 1.5 }; n_queries];
            isa.attend(&queries, 0.3, tile, &mut states, out);
            let later_states = vec![RunningSoftmax { max: 0.2, sum: 0.5 }; n_queries];
            isa.merge_attention(&mut states, out, &later_states, &later);
            out[0] += states.iter().map(|state| state.max + state.sum).sum::<f32>();
        });
    }

    #[test]
    fn quantizers_make_the_reference_bytes(
        bits in proptest::collection::vec(any::<u32>(), 512),
        kinds in proptest::array::uniform4(0usize..7),
    ) {
        // A stretch of 128 weights of each kind: blocks of one kind, and blocks of two.
        let finite = |bits: u32| {
            let value = f32::from_bits(bits);
            if value.is_finite() { value } else { 0.0 }
        };
        let stretches = bits.chunks_exact(128).zip(kinds);
        let weights: Vec<f32> = stretches.flat_map(|(bits, kind)| {
            let (constant, mut n) = (bits[0] as i32 as f32 * 1e-10, 0);
            bits.iter().map(move |&bits| {
                n += 1;
                let unit = bits as i32 as f32 / (1u32 << 31) as f32;
                match kind {
                    0 => 0.0,
                    1 => constant,
                    2 => finite(bits),
                    3 => finite(bits & 0x807f_ffff),
                    4 => unit.powi(3) * f32::MAX,
                    5 => unit * if n % 40 == 1 { 100.0 } else { 0.1 },
                    _ => unit * 0.02,
                }
            })
        }).collect();
        let importance: Vec<f32> = bits.iter().map(|bits| 16.0 / (1 + bits % 4096) as f32).collect();
        // The search in a codebook takes ten times as long as others: it has every fourth case.
        let is_slow = |format: &DynFormat| {
            ["IQ1", "IQ2", "IQ3"].iter().any(|name| format.name.starts_with(name))
        };
        let formats = FORMATS.iter().filter(|format| bits[0].is_multiple_of(4) || !is_slow(format));
        for format in formats {
            let mut expected = vec![0; format.row_bytes(weights.len()).unwrap()];
            format.quantize(scalar(), &weights, &mut expected);
            let mut weighted = expected.clone();
            format.quantize_weighted(scalar(), &weights, &importance, &mut weighted);
            for isa in others() {
                let mut found = vec![0; expected.len()];
                format.quantize(isa, &weights, &mut found);
                prop_assert_eq!(&found, &expected, "{} {}", format, isa.name());
                format.quantize_weighted(isa, &weights, &importance, &mut found);
                prop_assert_eq!(&found, &weighted, "{} {}, weighted", format, isa.name());
            }
        }
    }

    #[test]
    fn activations_have_the_reference_bits(
        x in proptest::collection::vec(any_value(), 512),
        is_tiny: bool,
    ) {
        let x: Vec<f32> = x.iter().map(|x| if is_tiny { x * 1e-31 } else { *x }).collect();
        for kind in [ActivationKind::Int8Per32, ActivationKind::Int8Per256] {
            let expected = Activations::new(scalar(), kind, x.len(), &x);
            for isa in others() {
                let found = Activations::new(isa, kind, x.len(), &x);
                for block in 0..x.len() / kind.block_len() {
                    prop_assert_eq!(found.codes(0, block), expected.codes(0, block));
                    prop_assert_eq!(found.sums(0, block), expected.sums(0, block));
                    let scales = [expected.scale(0, block), found.scale(0, block)];
                    assert_same(&scales[..1], &scales[1..], || isa.name().to_owned());
                }
            }
        }
    }
}

#[test]
fn the_probe_of_read_bandwidth_skips_nothing() {
    let mut random = Random(3);
    let bytes: Vec<u8> = (0..5000).map(|_| random.next() as u8).collect();
    for len in [0, 1, 63, 64, 65, 8 * 64, 9 * 64 + 7, 5000] {
        let bytes = &bytes[..len];
        let mut words = bytes.to_vec();
        words.resize(len.next_multiple_of(8), 0);
        let expected =
            words.as_chunks().0.iter().fold(0, |sum, &word| sum ^ u64::from_le_bytes(word));
        for isa in Isa::available() {
            assert_eq!(isa.read_bandwidth::<1>(bytes), expected, "{len} bytes, {}", isa.name());
            assert_eq!(isa.read_bandwidth::<4>(bytes), expected, "{len} bytes, {}", isa.name());
        }
    }
}

#[test]
fn the_int8_probe_has_as_many_products_as_its_registers_hold() {
    for isa in Isa::available() {
        let (n_rounds, per_round) = match isa.name() {
            "amx" => (256, 4 * 16 * 16 * 64),
            "neon" | "avx512" => (4096, 16 * 64),
            "avx2" => (4096, 10 * 32),
            _ => (256, 256),
        };
        assert_eq!(isa.int8_peak(), n_rounds * per_round, "{}", isa.name());
    }
}
