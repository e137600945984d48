//! Speed of the kernels on one core: of products, in bytes of weights per second for one token, and
//! multiply-adds ("elements") for several; of quantizing, in weights per second. Beside them what the
//! core can do at most, reading memory and multiplying int8: only figures of one run compare.
//!
//! `cargo bench --bench kernels -- 'Q4_0/avx512'` runs some of them.

#![allow(missing_docs)]

mod random;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gatefold_quant::{Activations, DynFormat, FORMATS, Isa};
use random::Random;
use std::time::Duration;

const COLS: usize = 4096;
/// Tokens that meet a matrix together.
const N_TOKENS: [usize; 8] = [1, 2, 4, 8, 16, 32, 128, 512];
/// More than second-level caches hold.
const STREAM_BYTES: usize = 64 << 20;
/// Rows of the matrix where more tokens than these meet it; fewer meet all that is in the stream.
const FEW_TOKENS: usize = 32;
const N_ROWS: usize = 4096;

fn activations(isa: Isa, format: &DynFormat, n_tokens: usize) -> Activations {
    let x: Vec<f32> = (0..n_tokens * COLS).map(|i| (i as f32 * 0.37).sin()).collect();
    Activations::new(isa, format.activations, COLS, &x)
}

/// Blocks of whatever bits, repeating 29 bytes in which any two are a small positive f16.
fn weights(format: &DynFormat, n_rows: usize) -> Vec<u8> {
    let n_bytes = n_rows * format.row_bytes(COLS).expect("whole blocks");
    (0..n_bytes).map(|i| (i * 37 % 29) as u8 | 1).collect()
}

fn ceilings(criterion: &mut Criterion) {
    let bytes = vec![1; STREAM_BYTES];
    for isa in Isa::available() {
        let mut group = criterion.benchmark_group("ceiling");
        group.throughput(Throughput::BytesDecimal(STREAM_BYTES as u64));
        group.bench_function(BenchmarkId::new("read", isa.name()), |bencher| {
            bencher.iter(|| isa.read_bandwidth::<4>(&bytes));
        });
        group.throughput(Throughput::Elements(isa.int8_peak()));
        group.bench_function(BenchmarkId::new("int8", isa.name()), |bencher| {
            bencher.iter(|| isa.int8_peak());
        });
        group.finish();
    }
}

fn products(criterion: &mut Criterion) {
    for format in FORMATS {
        let mut group = criterion.benchmark_group(format.name);
        let row_bytes = format.row_bytes(COLS).expect("whole blocks");
        let weights = weights(format, STREAM_BYTES / row_bytes);
        for isa in Isa::available().filter(|isa| isa.name() != "scalar") {
            for n_tokens in N_TOKENS {
                let n_rows = match n_tokens {
                    ..=FEW_TOKENS => STREAM_BYTES / row_bytes,
                    _ => N_ROWS.min(STREAM_BYTES / row_bytes),
                };
                let weights = &weights[..n_rows * row_bytes];
                group.throughput(match n_tokens {
                    1 => Throughput::BytesDecimal(weights.len() as u64),
                    _ => Throughput::Elements((n_rows * COLS * n_tokens) as u64),
                });
                let x = activations(isa, format, n_tokens);
                let mut out = vec![0.0; n_rows * n_tokens];
                group.bench_function(BenchmarkId::new(isa.name(), n_tokens), |bencher| {
                    bencher.iter(|| format.multiply(isa, weights, &x, &mut out));
                });
            }
        }
        group.finish();
    }
}

fn quantizers(criterion: &mut Criterion) {
    let weights = Random::new(0).bell_shaped(1 << 18, 0.02);
    for format in FORMATS {
        let mut group = criterion.benchmark_group(format.name);
        group.throughput(Throughput::Elements(weights.len() as u64));
        let mut bytes = vec![0; format.row_bytes(weights.len()).expect("whole blocks")];
        for isa in Isa::available() {
            group.bench_function(BenchmarkId::new("quantize", isa.name()), |bencher| {
                bencher.iter(|| format.quantize(isa, &weights, &mut bytes));
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = kernels;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500));
    targets = ceilings, products, quantizers
}
criterion_main!(kernels);
