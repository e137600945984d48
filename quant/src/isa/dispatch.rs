//! Dispatch: every kernel as a method of [`Isa`], which leads to the instruction set's folder.

#[cfg(target_arch = "aarch64")]
use super::neon;
use super::{Isa, Kind, scalar};
#[cfg(target_arch = "x86_64")]
use super::{amx, avx2, avx512};
use crate::attention::{Rescale, RunningSoftmax, Scores, Tile};
use crate::format::{Flat, Float, FloatKind, Super};
use crate::product::Product;

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
            // SAFETY: an Isa of this kind exists only where `is_available` said so.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => unsafe { avx512::$function$(::<$format>)?($($argument),*) },
            // SAFETY: an Isa of this kind exists only where `is_available` said so.
            #[cfg(target_arch = "x86_64")]
            Kind::Amx => unsafe { amx::$function$(::<$format>)?($($argument),*) },
        }
    };
}

impl Isa {
    /// GEMM, or GEMV for a single token, with float weights.
    pub(crate) fn multiply_float<F: Float>(self, product: Product<'_, F>) {
        dispatch!(self, multiply_float::<F>(product))
    }

    /// GEMM, or GEMV for a few tokens, with the weights of a legacy format.
    pub(crate) fn multiply_flat<F: Flat>(self, product: Product<'_, F>) {
        dispatch!(self, multiply_flat::<F>(product))
    }

    /// GEMM, or GEMV for a few tokens, with the weights of a K-quant.
    pub(crate) fn multiply_super<F: Super>(self, product: Product<'_, F>) {
        dispatch!(self, multiply_super::<F>(product))
    }

    /// The weights of blocks, by code that the compiler makes of [`crate::format::Format`]'s.
    pub(crate) fn dequantize_flat<F: Flat>(self, blocks: &[F::Block], weights: &mut [f32]) {
        dispatch!(self, dequantize_flat::<F>(blocks, weights))
    }

    /// Makes blocks of a legacy format.
    pub(crate) fn quantize_flat<F: Flat>(
        self,
        weights: &[f32],
        importance: Option<&[f32]>,
        blocks: &mut [F::Block],
    ) {
        dispatch!(self, quantize_flat::<F>(weights, importance, blocks))
    }

    /// Makes super-blocks of a K-quant.
    pub(crate) fn quantize_super<F: Super>(
        self,
        weights: &[f32],
        importance: Option<&[f32]>,
        blocks: &mut [F::Block],
    ) {
        dispatch!(self, quantize_super::<F>(weights, importance, blocks))
    }

    /// The floats of a kind that are nearest to the values and finite, as little-endian bytes.
    pub(crate) fn encode_floats(self, kind: FloatKind, values: &[f32], out: &mut [u8]) {
        dispatch!(self, encode_floats(kind, values, out))
    }

    /// The int8 codes of a block of activations, whose length is a multiple of 16, and its scale.
    pub(crate) fn quantize_block(self, x: &[f32], codes: &mut [i8]) -> f32 {
        dispatch!(self, quantize_block(x, codes))
    }

    /// The f32 values of floats of a kind, given as little-endian bytes.
    pub(crate) fn decode_floats(self, kind: FloatKind, bytes: &[u8], out: &mut [f32]) {
        dispatch!(self, decode_floats(kind, bytes, out))
    }

    /// The sum of products of two vectors of one length.
    #[must_use]
    pub fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        dispatch!(self, dot(a, b))
    }

    /// The first step of attention to a tile, scores: `scale * dot(query, key)` (QK^T). Its arguments
    /// are checked by [`Self::attend`].
    pub(crate) fn score(self, queries: &[f32], scale: f32, tile: Tile<'_>, scores: &mut Scores) {
        dispatch!(self, score(queries, scale, tile, scores))
    }

    /// The second step of attention to a tile, the online-softmax update: scores become weights
    /// (their exponentials), and the running maximums and sums take them in.
    pub(crate) fn softmax_update(
        self,
        n_positions: usize,
        scores: &mut Scores,
        states: &mut [RunningSoftmax],
        factors: &mut [Rescale],
    ) {
        dispatch!(self, softmax_update(n_positions, scores, states, factors))
    }

    /// The third step of attention to a tile, PV accumulation: adds the values, weighted, to the
    /// rescaled outputs.
    pub(crate) fn accumulate_pv(
        self,
        tile: Tile<'_>,
        weights: &Scores,
        factors: &[Rescale],
        out: &mut [f32],
    ) {
        dispatch!(self, accumulate_pv(tile, weights, factors, out))
    }

    /// Merges what the same queries have seen at later positions into `states` and `out`, both
    /// rescaled to the larger maximum; see [`Self::attend`].
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

    /// Probe of the memory bandwidth for reading: reads the bytes as fast as this instruction set can,
    /// to be timed by the caller. Returns the XOR of all words of 8 bytes, little-endian, the last one
    /// filled up with zeros. The bytes are read as `STREAMS` stretches side by side, of which some CPUs
    /// like one and others four.
    pub fn read_bandwidth<const STREAMS: usize>(self, bytes: &[u8]) -> u64 {
        dispatch!(self, read_bandwidth::<STREAMS>(bytes))
    }

    /// Probe of the peak of int8 multiply-adds: does some million of them as fast as this instruction
    /// set can, to be timed by the caller. It takes some microseconds, without SIMD some hundred.
    /// Returns the sum of the products, which are all one, and so their number.
    pub fn int8_peak(self) -> u64 {
        dispatch!(self, int8_peak())
    }
}
