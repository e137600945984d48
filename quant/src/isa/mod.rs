//! The kernels, per instruction set, and the choice among them.
//!
//! From the ground up: `stamp` (macros), `peak` and `float` (code over virtual lanes); a folder per
//! instruction set, in each the same names; this file, which knows the CPU; `dispatch`, and
//! `attend` and `activations`, which call it.
//!
//! | in each folder | |
//! | --- | --- |
//! | `mod` | which kernel a product gets; detection |
//! | `lanes` | the virtual lanes of [`crate::vector`] |
//! | `unpack` | from bit planes to bytes in registers |
//! | `codebook` | from indices and signs to a byte for each weight, before all else |
//! | `dot` | integer dot products, with and without the CPU's instructions for them |
//! | `rows` | GEMV micro-kernels: a few tokens, four or eight rows of weights straight from the blocks |
//! | `tiles` | GEMM micro-kernels: more tokens; a tile of rows is unpacked once, then multiplied with `MR x NR` results in registers |
//! | `peak` | the most int8 products that registers allow |
//!
//! Both `rows` and `tiles` have `flat` for legacy formats and `super_block` for K-quants.
//!
//! An [`Isa`] value is a proof: but for [`Isa::SCALAR`], which every CPU runs, it can only be had
//! from [`Isa::detect`], [`Isa::available`] or [`Isa::named`], which ask the CPU. Every kernel is a
//! method of it, and calling one is therefore safe.
//!
//! # Target features
//!
//! Helper functions follow one of two conventions:
//!
//! - Safe, with `#[target_feature]` and `#[inline]`: for one set of features and arguments that are
//!   values, not constants in disguise (`avx2::rows`, the helpers of `lanes`). The compiler checks who
//!   calls them. What must be constant can be a type or a constant parameter (`unpack_super`): the
//!   function is then reduced to its few instructions before it is inlined, which spares kernels that
//!   have it some hundred times minutes in the compiler.
//! - `unsafe` with `#[inline(always)]`: what is generic over a way to multiply, with and without
//!   VNNI, for a function cannot take over its caller's features; and what takes a layout or an index
//!   that must be a constant in the kernel, where mere hints to inline would not do (`tiles`, and
//!   AVX-512's `unpack`, `headers` and `rows`). Each is reached from a stamped function alone, which
//!   enables the features.
//!
//! Small helpers that only move registers could be of the first kind everywhere, where the generated
//! code is seen to stay the same.
//!
//! NEON is part of its target, so that neither is needed there.
//!
//! Adding an instruction set is a folder with the functions of `scalar`, and here a [`Kind`], its
//! name (also in [`Isa::NAMES`]), its detection and its line in `Isa::ALL`; then a line of `dispatch!`.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod kernel_check;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

mod activations;
mod attend;
mod dispatch;
mod float;
mod peak;
mod stamp;

/// An instruction set that this CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Scalar,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Amx,
}

/// Why [`Isa::named`] refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IsaError {
    /// No instruction set has this name.
    Unknown(String),
    /// The CPU lacks it.
    Missing(String),
}

impl std::fmt::Display for IsaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = Isa::NAMES.join(", ");
        let here: Vec<_> = Isa::available().map(Isa::name).collect();
        let here = here.join(", ");
        match self {
            IsaError::Unknown(name) => {
                write!(f, "unknown instruction set '{name}'; there are {known}")
            }
            IsaError::Missing(name) => write!(f, "this CPU does not have '{name}'; it has {here}"),
        }
    }
}

impl std::error::Error for IsaError {}

impl Isa {
    /// The names of all instruction sets, on whatever machine, slowest first.
    pub const NAMES: [&str; 5] = ["scalar", "neon", "avx2", "avx512", "amx"];

    /// Plain code, which every CPU runs.
    pub const SCALAR: Isa = Isa(Kind::Scalar);

    const ALL: &[Kind] = &[
        Kind::Scalar,
        #[cfg(target_arch = "aarch64")]
        Kind::Neon,
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2,
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512,
        #[cfg(target_arch = "x86_64")]
        Kind::Amx,
    ];

    /// The fastest that this CPU has.
    #[must_use]
    pub fn detect() -> Isa {
        Isa::available().last().expect("scalar is always there")
    }

    /// All that this CPU has, slowest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.iter().filter(|kind| kind.is_available()).map(|&kind| Isa(kind))
    }

    /// The one with this name (`scalar`, `avx2`, `avx512`, ...), if the CPU has it.
    pub fn named(name: &str) -> Result<Isa, IsaError> {
        if !Isa::NAMES.contains(&name) {
            return Err(IsaError::Unknown(name.to_owned()));
        }
        Isa::available()
            .find(|isa| isa.name() == name)
            .ok_or_else(|| IsaError::Missing(name.to_owned()))
    }

    /// Its name, as [`Isa::named`] takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Scalar => "scalar",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "neon",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Amx => "amx",
        }
    }
}

impl Kind {
    fn is_available(self) -> bool {
        match self {
            Kind::Scalar => true,
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => true,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => avx2::is_available(),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => avx512::is_available(),
            #[cfg(target_arch = "x86_64")]
            Kind::Amx => amx::is_available(),
        }
    }
}
