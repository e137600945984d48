//! Speed of the products, on one core: bytes of weights per second for one token, multiply-adds per
//! second for several. Beside them, what reading memory alone gives: machines are noisy, and only
//! figures of one run compare.
//!
//! `cargo bench -p gatefold-quant -- 'Q4_0/avx512'` runs some of them.

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

/// Blocks of some bits or other with small positive scales, wherever a format may have them.
fn weights(format: &DynFormat, n_rows: usize) -> Vec<u8> {
    let n_bytes = n_rows * format.row_bytes(COLS).expect("whole blocks");
    (0..n_bytes).map(|i| (i * 37 % 29) as u8 | 1).collect()
}

fn read_memory(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    let words = vec![1u64; STREAM_BYTES / 8];
    group.throughput(Throughput::Bytes(STREAM_BYTES as u64));
    group.bench_function("memory", |bencher| {
        bencher.iter(|| black_box(&words).iter().fold(0u64, |sum, word| sum ^ word));
    });
    group.finish();
}

fn products(criterion: &mut Criterion) {
    for format in FORMATS {
        let mut group = criterion.benchmark_group(format.name);
        let row_bytes = format.row_bytes(COLS).expect("whole blocks");
        let weights = weights(format, STREAM_BYTES / row_bytes);
        for isa in Isa::available().filter(|isa| isa.name() != "scalar") {
            for n_tokens in [1, 2, 4, 8, 16, 32, 64, 512] {
                let n_rows = if n_tokens == 1 { STREAM_BYTES / row_bytes } else { N_ROWS };
                let weights = &weights[..n_rows * row_bytes];
                group.throughput(if n_tokens == 1 {
                    Throughput::Bytes(weights.len() as u64)
                } else {
                    Throughput::Elements((n_rows * COLS * n_tokens) as u64)
                });
                let x = activations(isa, format, n_tokens);
                let tokens: Vec<u32> = (0..n_tokens as u32).collect();
                let mut out = vec![0.0; n_rows * n_tokens];
                group.bench_function(BenchmarkId::new(isa.name(), n_tokens), |bencher| {
                    bencher.iter(|| format.multiply(isa, weights, &x, &tokens, &mut out));
                });
            }
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
    targets = read_memory, products
}
criterion_main!(kernels);
