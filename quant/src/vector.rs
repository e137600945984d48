//! Everything that is not a dot product with quantized weights, written once over sixteen virtual
//! lanes ([`Lanes`]) and stamped into each instruction set by [`crate::isa`].
//!
//! A sum over `n` values runs in sixteen lanes, value `i` in lane `i % 16`, in increasing order, a
//! short last group filled up with zeros; then lanes 8 apart are added, then 4, 2 and 1 apart.

use crate::format::FloatKind;

/// Number of virtual lanes.
pub const N_LANES: usize = 16;

/// Sixteen f32 lanes. Every operation is exact IEEE arithmetic, lane by lane, so all
/// implementations agree in every bit.
///
/// An implementation's methods may only run where its instruction set is known to exist:
/// [`crate::isa`] sees to that by stamping the functions of this module into target-feature
/// functions that only a detected [`crate::Isa`] reaches.
pub(crate) trait Lanes: Copy {
    fn splat(value: f32) -> Self;
    fn from_array(values: [f32; N_LANES]) -> Self;
    fn to_array(self) -> [f32; N_LANES];
    /// Sixteen values from their little-endian bytes; `bytes` has exactly as many as needed.
    fn load(kind: FloatKind, bytes: &[u8]) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    /// `self * factor + addend`, rounded once.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// The larger; `other` where either is NaN, or both are zero.
    fn max(self, other: Self) -> Self;
    /// To the nearest integer, ties to even.
    fn round(self) -> Self;
    /// 2 to the power of each lane; the lanes are integers in -126..=127.
    fn exp2_int(self) -> Self;
    /// `self` where `self >= limit`, else zero.
    fn zero_below(self, limit: Self) -> Self;
    /// Each lane, an integer in -128..=127, as int8.
    fn to_i8(self) -> [i8; N_LANES];
    /// Lanes 8 apart added, then 4, 2 and 1 apart.
    fn sum(self) -> f32;
}

/// Calls `step` with each whole group of sixteen and the zero-filled rest.
#[inline(always)]
fn for_groups<L: Lanes>(a: &[f32], b: &[f32], mut step: impl FnMut(L, L)) {
    let (a_groups, a_rest) = a.as_chunks::<N_LANES>();
    let (b_groups, b_rest) = b.as_chunks::<N_LANES>();
    for (a, b) in a_groups.iter().zip(b_groups) {
        step(L::from_array(*a), L::from_array(*b));
    }
    if !a_rest.is_empty() {
        step(zero_filled(a_rest), zero_filled(b_rest));
    }
}

#[inline(always)]
fn zero_filled<L: Lanes>(rest: &[f32]) -> L {
    let mut values = [0.0; N_LANES];
    values[..rest.len()].copy_from_slice(rest);
    L::from_array(values)
}

/// Replaces each value of `y` by `step(y, x)`, sixteen at a time.
#[inline(always)]
fn update<L: Lanes>(y: &mut [f32], x: &[f32], mut step: impl FnMut(L, L) -> L) {
    let (y_groups, y_rest) = y.as_chunks_mut::<N_LANES>();
    let (x_groups, x_rest) = x.as_chunks::<N_LANES>();
    for (y, x) in y_groups.iter_mut().zip(x_groups) {
        *y = step(L::from_array(*y), L::from_array(*x)).to_array();
    }
    if !y_rest.is_empty() {
        let updated = step(zero_filled(y_rest), zero_filled(x_rest)).to_array();
        y_rest.copy_from_slice(&updated[..y_rest.len()]);
    }
}

#[inline(always)]
pub(crate) fn dot<L: Lanes>(a: &[f32], b: &[f32]) -> f32 {
    let mut sum = L::splat(0.0);
    for_groups::<L>(a, b, |a, b| sum = a.mul_add(b, sum));
    sum.sum()
}

#[inline(always)]
pub(crate) fn scores<L: Lanes>(query: &[f32], keys: &[f32], scale: f32, scores: &mut [f32]) {
    for (score, key) in scores.iter_mut().zip(keys.chunks_exact(query.len())) {
        *score = dot::<L>(query, key) * scale;
    }
}

#[inline(always)]
pub(crate) fn weighted_sum<L: Lanes>(weights: &[f32], values: &[f32], out: &mut [f32]) {
    for (&weight, value) in weights.iter().zip(values.chunks_exact(out.len())) {
        add_scaled::<L>(out, weight, value);
    }
}

#[inline(always)]
pub(crate) fn add_scaled<L: Lanes>(y: &mut [f32], factor: f32, x: &[f32]) {
    let factor = L::splat(factor);
    update::<L>(y, x, |y, x| x.mul_add(factor, y));
}

#[inline(always)]
pub(crate) fn rms_norm<L: Lanes>(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let mean_square = dot::<L>(x, x) / x.len() as f32;
    let factor = L::splat(1.0 / (mean_square + epsilon).sqrt());
    out.copy_from_slice(x);
    update::<L>(out, weight, |x, weight| x.mul(factor).mul(weight));
}

#[inline(always)]
pub(crate) fn silu_mul<L: Lanes>(gate: &mut [f32], up: &[f32]) {
    let (one, zero) = (L::splat(1.0), L::splat(0.0));
    update::<L>(gate, up, |gate, up| gate.div(one.add(exp(zero.sub(gate)))).mul(up));
}

/// Replaces each value by `exp(value - max)` and returns their sum.
#[inline(always)]
pub(crate) fn exp_sum<L: Lanes>(values: &mut [f32], max: f32) -> f32 {
    let max = L::splat(max);
    let mut sum = L::splat(0.0);
    let (groups, rest) = values.as_chunks_mut::<N_LANES>();
    for group in groups {
        let exps = exp(L::from_array(*group).sub(max));
        sum = sum.add(exps);
        *group = exps.to_array();
    }
    if !rest.is_empty() {
        let mut values = [0.0; N_LANES];
        let exps = exp(zero_filled::<L>(rest).sub(max)).to_array();
        values[..rest.len()].copy_from_slice(&exps[..rest.len()]);
        sum = sum.add(L::from_array(values));
        rest.copy_from_slice(&values[..rest.len()]);
    }
    sum.sum()
}

/// e to the power of each lane, with an error of at most 2 units in the last place; 0 below -87.3,
/// where the result would be subnormal, and 2^128 - 2^104 or more comes out as infinity.
///
/// Cody-Waite reduction to |r| <= ln(2) / 2, then the Taylor polynomial of degree 7.
#[inline(always)]
pub(crate) fn exp<L: Lanes>(x: L) -> L {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Arguments beyond these would leave the range of exponents; both keep their result.
    let clamped = x.max(L::splat(-87.4));
    let clamped = L::splat(0.0).sub(L::splat(0.0).sub(clamped).max(L::splat(-89.0)));
    let n = clamped.mul(L::splat(std::f32::consts::LOG2_E)).round();
    let r = n.mul_add(L::splat(-LN2_HIGH), clamped);
    let r = n.mul_add(L::splat(-LN2_LOW), r);
    let mut polynomial = L::splat(1.0 / 5040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        polynomial = polynomial.mul_add(r, L::splat(coefficient));
    }
    // Two factors, since n itself can be 128.
    let half = n.mul(L::splat(0.5)).round();
    let result = polynomial.mul(half.exp2_int()).mul(n.sub(half).exp2_int());
    // NaN survives: it fails the comparison below, but zero_below keeps what is not below.
    result.zero_below(L::splat(f32::MIN_POSITIVE))
}

/// The int8 codes of a block of activations and its scale; see [`crate::Activations`].
#[inline(always)]
pub(crate) fn quantize_block<L: Lanes>(x: &[f32], codes: &mut [i8]) -> f32 {
    // Bits of magnitudes order like the magnitudes, with NaN and infinity above all.
    let max_bits = x.iter().fold(0, |max, x| (x.to_bits() & 0x7fff_ffff).max(max));
    let max = f32::from_bits(max_bits);
    if !(1e-30..=f32::MAX).contains(&max) {
        codes.fill(0);
        return if max < 1e-30 { 0.0 } else { f32::NAN };
    }
    let factor = L::splat(127.0 / max);
    for (x, codes) in x.as_chunks::<N_LANES>().0.iter().zip(codes.as_chunks_mut::<N_LANES>().0) {
        *codes = L::from_array(*x).mul(factor).round().to_i8();
    }
    max / 127.0
}

/// The f32 values of floats given as little-endian bytes.
#[inline(always)]
pub(crate) fn widen<L: Lanes>(kind: FloatKind, bytes: &[u8], out: &mut [f32]) {
    let group_bytes = N_LANES * kind.bytes();
    let (groups, rest) = out.as_chunks_mut::<N_LANES>();
    let (whole, tail) = bytes.split_at(groups.len() * group_bytes);
    for (bytes, values) in whole.chunks_exact(group_bytes).zip(groups) {
        *values = L::load(kind, bytes).to_array();
    }
    if !rest.is_empty() {
        let values = load_zero_filled::<L>(kind, tail).to_array();
        rest.copy_from_slice(&values[..rest.len()]);
    }
}

#[inline(always)]
fn load_zero_filled<L: Lanes>(kind: FloatKind, bytes: &[u8]) -> L {
    let mut filled = [0; N_LANES * 4];
    filled[..bytes.len()].copy_from_slice(bytes);
    L::load(kind, &filled[..N_LANES * kind.bytes()])
}

/// One element of a product of float weights, given as bytes, with activations.
#[inline(always)]
pub(crate) fn dot_floats<L: Lanes>(kind: FloatKind, weights: &[u8], x: &[f32]) -> f32 {
    let group_bytes = N_LANES * kind.bytes();
    let mut sum = L::splat(0.0);
    let (groups, rest) = x.as_chunks::<N_LANES>();
    let (whole, tail) = weights.split_at(groups.len() * group_bytes);
    for (weights, x) in whole.chunks_exact(group_bytes).zip(groups) {
        sum = L::load(kind, weights).mul_add(L::from_array(*x), sum);
    }
    if !rest.is_empty() {
        sum = load_zero_filled::<L>(kind, tail).mul_add(zero_filled(rest), sum);
    }
    sum.sum()
}
