//! Block formats of GGUF weights: what their bytes mean, how weights become such bytes, and how
//! they multiply with activations on each instruction set.
//!
//! ```
//! use gatefold_quant::{Activations, DynFormat, Isa};
//!
//! let isa = Isa::detect();
//! let format = DynFormat::by_name("Q4_K").unwrap();
//! // A matrix of two rows and 256 columns, and one token.
//! let weights: Vec<f32> = (0..512).map(|i| (i as f32 * 0.1).sin()).collect();
//! let mut blocks = vec![0; 2 * format.row_bytes(256).unwrap()];
//! format.quantize(isa, &weights, &mut blocks);
//! let x = Activations::new(isa, format.activations, 256, &[1.0; 256]);
//! let mut out = [0.0; 2];
//! format.multiply(isa, &blocks, &x, &mut out);
//! let exact: f32 = weights[..256].iter().sum();
//! assert!((out[0] - exact).abs() < 0.5);
//! ```
//!
//! The source, from the ground up:
//!
//! 1. `layout`, `codebook` and `header`: where a block has its codes and its scales, as data;
//!    `format`: what a block format is, and the three families (floats, legacy formats, K-quants)
//!    that fix the arithmetic of its dot product; `formats`: one file per format, and the list of
//!    them all;
//! 2. `activations`: the other operand, quantized to int8; `product`: both operands;
//! 3. `vector`: everything that is not a dot product with weights, written once over sixteen virtual
//!    lanes; on it [`attention`], one tile of the KV cache with an online softmax, and `scale_search`,
//!    how quantizing finds the scales that lose least;
//! 4. `isa`: the kernels for scalar code, NEON, AVX2, AVX-512 and AMX, GEMV (`rows`) and GEMM
//!    (`tiles`), and [`Isa`], which chooses among them;
//! 5. `family` and `registry`: [`DynFormat`], the handle that other crates use, and [`FORMATS`].
//!
//! # The numeric contract
//!
//! Every function here returns the same bits on every instruction set. Sums over integers are
//! exact, so their order is free. Sums over floats have one documented order: across the blocks of
//! a row one fused multiply-add per block (two where the format has minimums), blocks in
//! increasing order; elsewhere value `i` of a sum runs in lane `i % 16`, and one tree adds the lanes.
//!
//! # Safety
//!
//! The kernels believe the layout of a format and the lengths that they are given. Both are checked
//! in one place, `registry`: a format's layout and header when the program is compiled, lengths at
//! every call of a [`DynFormat`]. The traits behind it are therefore this crate's own.

#![cfg_attr(
    test,
    allow(dead_code, reason = "the registry, which uses it all, is not built for unit tests")
)]

mod activations;
pub mod attention;
mod codebook;
mod family;
mod format;
mod formats;
mod header;
mod isa;
mod layout;
mod product;
// It instantiates every kernel of every format, and unit tests reach the few that they take directly:
// without it they are built in half the time.
#[cfg(not(test))]
mod registry;
mod scale_search;
mod vector;

pub use activations::{Activations, GROUP_LEN, GroupMut};
pub use format::{ActivationKind, FloatKind};
pub use isa::{Isa, IsaError};
#[cfg(not(test))]
pub use registry::{DynFormat, FORMATS, QUANTIZERS_REVISION};
