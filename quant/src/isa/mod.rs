//! The kernels, per instruction set.
//!
//! An [`Isa`] value is a proof: it can only be had from [`Isa::detect`] or [`Isa::named`], which
//! ask the CPU. Every kernel is a method of it, and calling one is therefore safe. Adding an
//! instruction set is one folder here, one line in `Isa::ALL` and one in `dispatch!`.

#![allow(unsafe_code)]

/// An array of an expression's values for the indices given, each time with the index as a
/// constant. It stands in for `array::from_fn` and `map`, into which the compiler does not inline
/// closures that use target features, and others not always.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! each {
    ($index:ident in [$($value:literal)*] => $element:expr) => {
        [$({ let $index: usize = $value; $element }),*]
    };
}

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

use crate::attention::{self, Factors, RunningSoftmax, Scores, TILE_LEN, Tile};
use crate::format::{Flat, Float, FloatKind, Super};
use crate::registry::Product;

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

macro_rules! dispatch {
    ($isa:expr, $function:ident $(::<$format:ident>)? ($($argument:expr),*)) => {
        match $isa.0 {
            Kind::Scalar => scalar::$function$(::<$format>)?($($argument),*),
            // The module's constant checks that NEON is part of the target.
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => neon::$function$(::<$format>)?($($argument),*),
            // SAFETY: an Isa of this kind exists only where `is_available` said so.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { avx2::$function$(::<$format>)?($($argument),*) },
            // SAFETY: likewise.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => unsafe { avx512::$function$(::<$format>)?($($argument),*) },
            // SAFETY: likewise.
            #[cfg(target_arch = "x86_64")]
            Kind::Amx => unsafe { amx::$function$(::<$format>)?($($argument),*) },
        }
    };
}

/// Stamps the functions of [`crate::vector`] into an instruction set's module, over its lanes and
/// with its target features, given as an attribute in brackets.
macro_rules! stamp_vector_functions {
    ($lanes:ty, $features:tt) => {
        crate::isa::stamp_vector_functions! { $lanes, $features,
            dot(a: &[f32], b: &[f32]) -> f32,
            add_scaled(y: &mut [f32], factor: f32, x: &[f32]) -> (),
            rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) -> (),
            silu_mul(gate: &mut [f32], up: &[f32]) -> (),
            exp_sum(values: &mut [f32], max: f32) -> f32,
            quantize_block(x: &[f32], codes: &mut [i8]) -> f32,
            widen(kind: crate::format::FloatKind, bytes: &[u8], out: &mut [f32]) -> (),
            narrow(kind: crate::format::FloatKind, values: &[f32], out: &mut [u8]) -> (),
        }
        crate::isa::stamp_vector_functions! { @generic $lanes, $features }
    };
    ($lanes:ty, $features:tt, $($function:ident $arguments:tt -> $result:ty,)*) => {
        $(crate::isa::stamp_vector_functions! { @one $lanes, $features, $function $arguments -> $result })*
    };
    (@one $lanes:ty, [$($features:tt)*], $function:ident($($argument:ident: $type:ty),*) -> $result:ty) => {
        $($features)*
        pub fn $function($($argument: $type),*) -> $result {
            crate::vector::$function::<$lanes>($($argument),*)
        }
    };
    (@generic $lanes:ty, [$($features:tt)*]) => {
        $($features)*
        pub fn score(
            queries: &[f32],
            scale: f32,
            tile: crate::attention::Tile<'_>,
            scores: &mut crate::attention::Scores,
        ) {
            crate::attention::score::<$lanes>(queries, scale, tile, scores)
        }

        $($features)*
        pub fn weigh(
            n_positions: usize,
            scores: &mut crate::attention::Scores,
            states: &mut [crate::attention::RunningSoftmax],
            factors: &mut [crate::attention::Factors],
        ) {
            crate::attention::weigh::<$lanes>(n_positions, scores, states, factors)
        }

        $($features)*
        pub fn add_values(
            tile: crate::attention::Tile<'_>,
            weights: &crate::attention::Scores,
            factors: &[crate::attention::Factors],
            out: &mut [f32],
        ) {
            crate::attention::add_values::<$lanes>(tile, weights, factors, out)
        }

        $($features)*
        pub fn merge_attention(
            states: &mut [crate::attention::RunningSoftmax],
            out: &mut [f32],
            later: &[crate::attention::RunningSoftmax],
            later_out: &[f32],
        ) {
            crate::attention::merge::<$lanes>(states, out, later, later_out)
        }

        $($features)*
        pub fn multiply_float<F: crate::format::Float>(product: crate::registry::Product<'_, F>) {
            crate::isa::float::multiply::<$lanes, F>(product)
        }

        $($features)*
        pub fn dequantize_flat<F: crate::format::Flat>(blocks: &[F::Block], weights: &mut [f32]) {
            crate::format::dequantize::<F>(blocks, weights)
        }

        $($features)*
        pub fn xor_words<const STREAMS: usize>(bytes: &[u8]) -> u64 {
            crate::isa::peak::xor_words::<STREAMS>(bytes)
        }

        $($features)*
        pub fn quantize_flat<F: crate::format::Flat>(weights: &[f32], blocks: &mut [F::Block]) {
            crate::fit::flat::<$lanes, F>(weights, blocks)
        }

        $($features)*
        pub fn quantize_super<F: crate::format::Super>(weights: &[f32], blocks: &mut [F::Block]) {
            crate::fit::super_block::<$lanes, F>(weights, blocks)
        }
    };
}
pub(crate) use stamp_vector_functions;

mod float;
mod peak;

impl Isa {
    pub(crate) fn multiply_float<F: Float>(self, product: Product<'_, F>) {
        dispatch!(self, multiply_float::<F>(product))
    }

    pub(crate) fn multiply_flat<F: Flat>(self, product: Product<'_, F>) {
        dispatch!(self, multiply_flat::<F>(product))
    }

    pub(crate) fn multiply_super<F: Super>(self, product: Product<'_, F>) {
        dispatch!(self, multiply_super::<F>(product))
    }

    /// The weights of blocks, by code that the compiler makes of [`crate::format::Format`]'s.
    pub(crate) fn dequantize_flat<F: Flat>(self, blocks: &[F::Block], weights: &mut [f32]) {
        dispatch!(self, dequantize_flat::<F>(blocks, weights))
    }

    pub(crate) fn quantize_flat<F: Flat>(self, weights: &[f32], blocks: &mut [F::Block]) {
        dispatch!(self, quantize_flat::<F>(weights, blocks))
    }

    pub(crate) fn quantize_super<F: Super>(self, weights: &[f32], blocks: &mut [F::Block]) {
        dispatch!(self, quantize_super::<F>(weights, blocks))
    }

    /// The inverse of [`Isa::widen`]: the nearest that are finite.
    pub(crate) fn narrow(self, kind: FloatKind, values: &[f32], out: &mut [u8]) {
        dispatch!(self, narrow(kind, values, out))
    }

    /// The int8 codes of a block of activations, whose length is a multiple of 16, and its scale.
    pub(crate) fn quantize_block(self, x: &[f32], codes: &mut [i8]) -> f32 {
        dispatch!(self, quantize_block(x, codes))
    }

    /// The f32 values of floats given as little-endian bytes.
    pub(crate) fn widen(self, kind: FloatKind, bytes: &[u8], out: &mut [f32]) {
        dispatch!(self, widen(kind, bytes, out))
    }

    /// The sum of products of two vectors of one length.
    pub fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        dispatch!(self, dot(a, b))
    }

    /// Takes a tile into what some queries have seen, which see all of it: scores are
    /// `scale * dot(query, key)`. `queries` and `out` are `[states.len(), head_dim]`; `out` has the
    /// values seen so far, weighted by the exponentials of their scores relative to the state's
    /// maximum, and becomes the attention when it is divided by the state's sum.
    pub fn attend(
        self,
        queries: &[f32],
        scale: f32,
        tile: Tile<'_>,
        states: &mut [RunningSoftmax],
        out: &mut [f32],
    ) {
        assert!(!states.is_empty() && queries.len() == out.len(), "{} queries", states.len());
        let row_bytes = queries.len() / states.len() * tile.kind.bytes();
        assert!(queries.len().is_multiple_of(states.len()) && row_bytes > 0);
        assert_eq!(tile.keys.len(), tile.values.len());
        assert!(tile.keys.len().is_multiple_of(row_bytes));
        assert!(tile.keys.len() / row_bytes <= TILE_LEN, "{} bytes of keys", tile.keys.len());
        attention::attend(self, queries, scale, tile, states, out);
    }

    /// The first step of [`Self::attend`]; its arguments are checked there.
    pub(crate) fn score(self, queries: &[f32], scale: f32, tile: Tile<'_>, scores: &mut Scores) {
        dispatch!(self, score(queries, scale, tile, scores))
    }

    /// The second.
    pub(crate) fn weigh(
        self,
        n_positions: usize,
        scores: &mut Scores,
        states: &mut [RunningSoftmax],
        factors: &mut [Factors],
    ) {
        dispatch!(self, weigh(n_positions, scores, states, factors))
    }

    /// The third.
    pub(crate) fn add_values(
        self,
        tile: Tile<'_>,
        weights: &Scores,
        factors: &[Factors],
        out: &mut [f32],
    ) {
        dispatch!(self, add_values(tile, weights, factors, out))
    }

    /// Takes what the same queries have seen at later positions into `states` and `out`; see
    /// [`Self::attend`].
    pub fn merge_attention(
        self,
        states: &mut [RunningSoftmax],
        out: &mut [f32],
        later: &[RunningSoftmax],
        later_out: &[f32],
    ) {
        assert!(!states.is_empty() && states.len() == later.len() && out.len() == later_out.len());
        assert!(!out.is_empty() && out.len().is_multiple_of(states.len()));
        dispatch!(self, merge_attention(states, out, later, later_out))
    }

    /// `y += factor * x`.
    pub fn add_scaled(self, y: &mut [f32], factor: f32, x: &[f32]) {
        assert_eq!(y.len(), x.len());
        dispatch!(self, add_scaled(y, factor, x))
    }

    /// `out = x / sqrt(mean(x * x) + epsilon) * weight` (arXiv 1910.07467).
    pub fn rms_norm(self, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
        assert!(x.len() == weight.len() && x.len() == out.len());
        dispatch!(self, rms_norm(x, weight, epsilon, out))
    }

    /// `gate = gate / (1 + exp(-gate)) * up`, the activation of SwiGLU (arXiv 2002.05202).
    pub fn silu_mul(self, gate: &mut [f32], up: &[f32]) {
        assert_eq!(gate.len(), up.len());
        dispatch!(self, silu_mul(gate, up))
    }

    /// Replaces each value by `exp(value - max)` and returns their sum.
    pub fn exp_sum(self, values: &mut [f32], max: f32) -> f32 {
        dispatch!(self, exp_sum(values, max))
    }

    /// Reads memory at the best speed, and nothing else: the XOR of all words of 8 bytes,
    /// little-endian, the last one filled up with zeros. The bytes are read as `STREAMS` stretches
    /// side by side, of which some CPUs like one and others four.
    pub fn xor_words<const STREAMS: usize>(self, bytes: &[u8]) -> u64 {
        dispatch!(self, xor_words::<STREAMS>(bytes))
    }

    /// Multiplies and adds int8 at the best speed of this instruction set, and nothing else: the sum
    /// of some million products of ones, and so their number. What it takes is some microseconds,
    /// without SIMD some hundred.
    pub fn sum_of_ones(self) -> u64 {
        dispatch!(self, burst_of_ones())
    }
}
