//! Speed on one core: of the products, in bytes of weights per second for one token and
//! multiply-adds per second for several; of quantizing, in weights per second. Beside them, what reading memory alone gives: machines are noisy, and only
//! figures of one run compare.
//!
//! `cargo bench -p gatefold-quant -- 'Q4_0/avx512'` runs some of them.

#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gatefold_quant::{Activations, DynFormat, FORMATS, Isa};
use std::hint::black_box;
use std::time::Duration;

const COLS: usize = 4096;
/// More than second-level caches hold.
const STREAM_BYTES: usize = 64 << 20;
/// Rows of the matrix that many tokens meet.
const N_ROWS: usize = 1024;

fn activations(isa: Isa, format: &DynFormat, n_tokens: usize) -> Activations {
    let x: Vec<f32> = (0..n_tokens * COLS).map(|i| (i as f32 * 0.37).sin()).collect();
    Activations::new(isa, format.activations, COLS, &x)
}

/// Blocks of whatever bits, repeating 29 bytes in which any two are a small positive f16.
fn weights(format: &DynFormat, n_rows: usize) -> Vec<u8> {
    let n_bytes = n_rows * format.row_bytes(COLS).expect("whole blocks");
    (0..n_bytes).map(|i| (i * 37 % 29) as u8 | 1).collect()
}

fn read_memory(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    let words = vec![1u64; STREAM_BYTES / 8];
    // Four streams, as the kernels have: one alone does not get all there is.
    let (low, high) = words.split_at(words.len() / 2);
    let (streams_a, streams_b) = (low.split_at(low.len() / 2), high.split_at(high.len() / 2));
    let streams = [streams_a.0, streams_a.1, streams_b.0, streams_b.1];
    group.throughput(Throughput::Bytes(STREAM_BYTES as u64));
    group.bench_function("memory", |bencher| {
        bencher.iter(|| {
            let [a, b, c, d] = black_box(streams);
            let four = a.iter().zip(b).zip(c).zip(d);
            four.fold(0, |sum, (((a, b), c), d)| sum ^ a ^ b ^ c ^ d)
        });
    });
    group.finish();
}

fn products(criterion: &mut Criterion) {
    for format in FORMATS {
        let mut group = criterion.benchmark_group(format.name);
        let row_bytes = format.row_bytes(COLS).expect("whole blocks");
        let weights = weights(format, STREAM_BYTES / row_bytes);
        for isa in Isa::available().filter(|isa| isa.name() != "scalar") {
            for n_tokens in [1, 8, 64, 512] {
                let n_rows = if n_tokens == 1 { STREAM_BYTES / row_bytes } else { N_ROWS };
                let weights = &weights[..n_rows * row_bytes];
                group.throughput(if n_tokens == 1 {
                    Throughput::Bytes(weights.len() as u64)
                } else {
                    Throughput::Elements((n_rows * COLS * n_tokens) as u64)
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

/// Weights like a model's: sums of four uniform numbers are nearly Gaussian.
fn bell_shaped(n: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..n).map(|_| 0.03 * (uniform() + uniform() + uniform() + uniform())).collect()
}

fn quantizers(criterion: &mut Criterion) {
    let weights = bell_shaped(1 << 18);
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
    targets = read_memory, products, quantizers
}
criterion_main!(kernels);
