//! Everything that is not a dot product with quantized weights, written once over sixteen virtual
//! lanes (`Lanes`) and stamped into each instruction set by [`crate::isa`].
//!
//! A sum over `n` values runs in sixteen lanes, value `i` in lane `i % 16`, in increasing order, a
//! short last group filled up with zeros; then lanes 8 apart are added, then 4, 2 and 1 apart.

use crate::format::FloatKind;
use half::{bf16, f16};

/// Number of virtual lanes.
pub(crate) const N_LANES: usize = 16;

/// Sixteen f32 lanes. Every operation is exact IEEE arithmetic, lane by lane, so all
/// implementations agree in every bit.
///
/// An implementation's methods may only run where its instruction set is known to exist:
/// [`crate::isa`] sees to that by stamping the functions of this module into target-feature
/// functions that only a detected [`crate::Isa`] reaches.
pub(crate) trait Lanes: Copy {
    /// Whether there are registers for sixteen sums beside their operands.
    const IS_ROOMY: bool = false;

    fn splat(value: f32) -> Self;
    fn from_array(values: [f32; N_LANES]) -> Self;
    fn to_array(self) -> [f32; N_LANES];
    /// Sixteen values from their little-endian bytes; `bytes` has exactly as many as needed.
    fn load(kind: FloatKind, bytes: &[u8]) -> Self;
    /// The inverse of [`Lanes::load`]: each lane, a finite number, rounded to the nearest, ties to
    /// even.
    fn store(self, kind: FloatKind, bytes: &mut [u8]);
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    /// `self * factor + addend`, rounded once.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// The magnitude.
    fn abs(self) -> Self;
    /// The larger; `other` where either is NaN, or both are zero.
    fn max(self, other: Self) -> Self;
    /// The smaller; `other` where either is NaN, or both are zero.
    fn min(self, other: Self) -> Self;
    /// To the nearest integer, ties to even.
    fn round(self) -> Self;
    /// 2 to the power of each lane; the lanes are integers in -126..=127.
    fn exp2_int(self) -> Self;
    /// `less` where `self < other`, else `otherwise`.
    fn if_less(self, other: Self, less: Self, otherwise: Self) -> Self;
    /// Each lane, an integer in -128..=127, as int8.
    fn to_i8(self) -> [i8; N_LANES];
    /// Lanes 8 apart added, then 4, 2 and 1 apart.
    fn sum(self) -> f32;
    /// [`Lanes::sum`] of each, side by side.
    #[inline(always)]
    fn sums(all: [Self; N_LANES]) -> Self {
        let mut sums = [0.0; N_LANES];
        for i in 0..N_LANES {
            sums[i] = all[i].sum();
        }
        Self::from_array(sums)
    }
    /// Lane `i` of row `j` becomes lane `j` of row `i`.
    fn transpose(rows: &mut [Self; N_LANES]);
    /// Prefetches the byte's cache line.
    fn prefetch(_byte: &u8) {}
}

#[inline(always)]
pub(crate) fn zero_filled<L: Lanes>(rest: &[f32]) -> L {
    let mut values = [0.0; N_LANES];
    values[..rest.len()].copy_from_slice(rest);
    L::from_array(values)
}

/// Replaces each value of a slice by an expression of it and the other slice's value, sixteen at a
/// time. A macro, since a closure would not inherit the target features that its intrinsics need in
/// order to be inlined.
macro_rules! update {
    ($lanes:ident, $y:expr, $x:expr, |$a:ident, $b:ident| $step:expr) => {
        let (y_groups, y_rest) = $y.as_chunks_mut::<N_LANES>();
        let (x_groups, x_rest) = $x.as_chunks::<N_LANES>();
        for (y, x) in y_groups.iter_mut().zip(x_groups) {
            let ($a, $b) = ($lanes::from_array(*y), $lanes::from_array(*x));
            *y = $step.to_array();
        }
        if !y_rest.is_empty() {
            let ($a, $b) = (zero_filled::<$lanes>(y_rest), zero_filled::<$lanes>(x_rest));
            y_rest.copy_from_slice(&$step.to_array()[..y_rest.len()]);
        }
    };
}

pub(crate) use update;

#[inline(always)]
pub(crate) fn dot<L: Lanes>(a: &[f32], b: &[f32]) -> f32 {
    let mut sum = L::splat(0.0);
    let (a_groups, a_rest) = a.as_chunks::<N_LANES>();
    let (b_groups, b_rest) = b.as_chunks::<N_LANES>();
    for (a, b) in a_groups.iter().zip(b_groups) {
        sum = L::from_array(*a).mul_add(L::from_array(*b), sum);
    }
    if !a_rest.is_empty() {
        sum = zero_filled::<L>(a_rest).mul_add(zero_filled(b_rest), sum);
    }
    sum.sum()
}

#[inline(always)]
pub(crate) fn add_scaled<L: Lanes>(y: &mut [f32], factor: f32, x: &[f32]) {
    let factor = L::splat(factor);
    update!(L, y, x, |y, x| x.mul_add(factor, y));
}

#[inline(always)]
pub(crate) fn rms_norm<L: Lanes>(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let mean_square = dot::<L>(x, x) / x.len() as f32;
    let factor = L::splat(1.0 / (mean_square + epsilon).sqrt());
    out.copy_from_slice(x);
    update!(L, out, weight, |x, weight| x.mul(factor).mul(weight));
}

#[inline(always)]
pub(crate) fn silu_mul<L: Lanes>(gate: &mut [f32], up: &[f32]) {
    let (one, zero) = (L::splat(1.0), L::splat(0.0));
    update!(L, gate, up, |gate, up| gate.div(one.add(exp(zero.sub(gate)))).mul(up));
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
    // Arguments beyond these would leave the range of exponents; both keep their result. NaN stays:
    // it is the second operand of `max`.
    let zero = L::splat(0.0);
    let clamped = L::splat(-87.4).max(x);
    let clamped = zero.sub(L::splat(-89.0).max(zero.sub(clamped)));
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
    result.if_less(L::splat(f32::MIN_POSITIVE), zero, result)
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

/// Decodes floats of a kind, given as little-endian bytes, to f32.
#[inline(always)]
pub(crate) fn decode_floats<L: Lanes>(kind: FloatKind, bytes: &[u8], out: &mut [f32]) {
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

/// Encodes values as floats of a kind, the nearest that are finite, as little-endian bytes.
#[inline(always)]
pub(crate) fn encode_floats<L: Lanes>(kind: FloatKind, values: &[f32], out: &mut [u8]) {
    let limit = match kind {
        FloatKind::F32 => f32::MAX,
        FloatKind::F16 => f16::MAX.to_f32(),
        FloatKind::Bf16 => bf16::MAX.to_f32(),
    };
    let (lowest, highest) = (L::splat(-limit), L::splat(limit));
    let group_bytes = N_LANES * kind.bytes();
    let (groups, rest) = values.as_chunks::<N_LANES>();
    let (whole, tail) = out.split_at_mut(groups.len() * group_bytes);
    for (values, bytes) in groups.iter().zip(whole.chunks_exact_mut(group_bytes)) {
        L::from_array(*values).max(lowest).min(highest).store(kind, bytes);
    }
    if !rest.is_empty() {
        let mut filled = [0; N_LANES * 4];
        let values = zero_filled::<L>(rest).max(lowest).min(highest);
        values.store(kind, &mut filled[..group_bytes]);
        tail.copy_from_slice(&filled[..tail.len()]);
    }
}

#[inline(always)]
pub(crate) fn load_zero_filled<L: Lanes>(kind: FloatKind, bytes: &[u8]) -> L {
    let mut filled = [0; N_LANES * 4];
    filled[..bytes.len()].copy_from_slice(bytes);
    L::load(kind, &filled[..N_LANES * kind.bytes()])
}

/// The micro-kernel of float GEMM: results of `R` rows of weights, given as bytes, with `T` rows of
/// activations.
#[inline(always)]
pub(crate) fn dot_floats<L: Lanes, const R: usize, const T: usize>(
    kind: FloatKind,
    rows: [&[u8]; R],
    tokens: [&[f32]; T],
) -> [[f32; R]; T] {
    let group_bytes = N_LANES * kind.bytes();
    let n_groups = tokens[0].len() / N_LANES;
    let (n_bytes, n_values) = (n_groups * group_bytes, n_groups * N_LANES);
    // Slices of visibly the same length take one check of bounds for all.
    let (mut whole_rows, mut whole_tokens) = (rows, tokens);
    for r in 0..R {
        whole_rows[r] = &rows[r][..n_bytes];
    }
    for t in 0..T {
        whole_tokens[t] = &tokens[t][..n_values];
    }
    let mut sums = [[L::splat(0.0); R]; T];
    for group in 0..n_groups {
        let mut weights = [L::splat(0.0); R];
        for r in 0..R {
            weights[r] = L::load(kind, &whole_rows[r][group * group_bytes..][..group_bytes]);
        }
        for t in 0..T {
            let x = L::from_array(whole_tokens[t].as_chunks().0[group]);
            for r in 0..R {
                sums[t][r] = weights[r].mul_add(x, sums[t][r]);
            }
        }
    }
    if n_values < tokens[0].len() {
        for t in 0..T {
            for r in 0..R {
                let weights = load_zero_filled::<L>(kind, &rows[r][n_bytes..]);
                sums[t][r] = weights.mul_add(zero_filled(&tokens[t][n_values..]), sums[t][r]);
            }
        }
    }
    all_sums(sums)
}

/// The sum of each: sixteen of them side by side, or one by one.
#[inline(always)]
fn all_sums<L: Lanes, const R: usize, const T: usize>(lanes: [[L; R]; T]) -> [[f32; R]; T] {
    let mut out = [[0.0; R]; T];
    if R * T == N_LANES {
        let mut all = [L::splat(0.0); N_LANES];
        for i in 0..N_LANES {
            all[i] = lanes[i / R][i % R];
        }
        out.as_flattened_mut().copy_from_slice(&L::sums(all).to_array());
    } else {
        for t in 0..T {
            for r in 0..R {
                out[t][r] = lanes[t][r].sum();
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::N_LANES;
    use crate::isa::Isa;

    fn scalar() -> Isa {
        Isa::SCALAR
    }

    fn exp(x: f32) -> f32 {
        scalar().exp_sum(&mut [x], 0.0)
    }

    #[test]
    fn exp_is_accurate_over_its_whole_range() {
        // Miri is some thousand times slower.
        let step = if cfg!(miri) { 19_990_007 } else { 1999 };
        let steps = (0..f32::INFINITY.to_bits()).step_by(step).map(f32::from_bits);
        for x in steps.flat_map(|x| [x, -x]).filter(|x| x.abs() < 90.0) {
            let (exact, found) = (f64::from(x).exp(), exp(x));
            let rounding = 1.0 + f64::from(f32::EPSILON);
            if exact * rounding < f64::from(f32::MIN_POSITIVE) {
                assert_eq!(found, 0.0, "exp({x})");
            } else if exact > f64::from(f32::MAX) * rounding {
                assert_eq!(found, f32::INFINITY, "exp({x})");
            } else if (f64::from(f32::MIN_POSITIVE) * rounding..f64::from(f32::MAX) / rounding)
                .contains(&exact)
            {
                let ulp = f64::from(found.next_up()) - f64::from(found);
                let error = (f64::from(found) - exact).abs() / ulp;
                assert!(error <= 2.0, "exp({x}) = {found}, off by {error} ulp");
            }
        }
    }

    #[test]
    fn exp_at_the_edges() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!([-88.0, -1e30, f32::NEG_INFINITY].map(exp), [0.0; 3]);
        assert_eq!([88.8, 1e30, f32::INFINITY].map(exp), [f32::INFINITY; 3]);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn silu_at_the_edges() {
        let mut gate = [0.0, 200.0, -200.0, 1.0, f32::NAN];
        scalar().silu_mul(&mut gate, &[3.0, 2.0, 2.0, 2.0, 1.0]);
        assert_eq!(gate[..3], [0.0, 400.0, 0.0]);
        assert!((gate[3] - 2.0 / (1.0 + (-1.0f32).exp())).abs() < 1e-6);
        assert!(gate[4].is_nan());
    }

    /// The order that the module's documentation states, in plain code.
    #[test]
    fn sums_have_the_documented_order() {
        let a: Vec<f32> = (0..70).map(|i| (i as f32 * 0.7).sin()).collect();
        let b: Vec<f32> = (0..70).map(|i| (i as f32 * 0.3).cos() * 1e3).collect();
        for len in 1..=a.len() {
            let mut lanes = [0.0f32; N_LANES];
            for i in 0..len {
                lanes[i % N_LANES] = a[i].mul_add(b[i], lanes[i % N_LANES]);
            }
            for apart in [8, 4, 2, 1] {
                for lane in 0..apart {
                    lanes[lane] += lanes[lane + apart];
                }
            }
            assert_eq!(scalar().dot(&a[..len], &b[..len]).to_bits(), lanes[0].to_bits());
        }
    }
}
