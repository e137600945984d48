//! Block formats of GGUF weights: what their bytes mean, how weights become such bytes, and how
//! they multiply with activations on each instruction set.
//!
//! Read it in this order:
//!
//! 1. `format`: what a block format is, and the three families (float, flat, super)
//!    that fix the arithmetic of its dot product;
//! 2. `layout` and `header`: where a block has its codes and its scales, as data, and `formats`: one
//!    file per format;
//! 3. `fit`: how quantizing finds the scales that lose least;
//! 4. [`registry`]: the list of formats, and [`DynFormat`], the handle the rest of the world uses;
//! 5. [`activations`]: the other operand, quantized to int8;
//! 6. [`vector`]: everything that is not a dot product with weights, written once over sixteen
//!    virtual lanes;
//! 7. [`attention`]: one tile of keys and values, likewise;
//! 8. [`isa`]: the same kernels for scalar code, NEON, AVX2, AVX-512 and AMX.
//!
//! # The numeric contract
//!
//! Every function here returns the same bits on every instruction set. Sums over integers are
//! exact, so their order is free. Sums over floats have one documented order: across the blocks of
//! a row one fused multiply-add per block (two where the format has minimums), blocks in
//! increasing order; elsewhere sixteen lanes and one reduction tree ([`vector`]).
//!
//! # Safety
//!
//! The kernels believe the layout of a format and the lengths that they are given. Both are checked
//! in one place, [`registry`]: a format's layout and header when the program is compiled, lengths at every call
//! of a [`DynFormat`]. The traits behind it are therefore this crate's own.

pub mod activations;
pub mod attention;
mod family;
mod format;
mod formats;
mod header;
pub mod isa;
mod layout;
mod product;
pub mod registry;
mod scale_search;
pub mod vector;

pub use activations::{ActivationKind, Activations};
pub use format::FloatKind;
pub use isa::Isa;
pub use registry::{DynFormat, FORMATS, QUANTIZERS_REVISION};
