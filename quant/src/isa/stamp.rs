//! Macros for every instruction set's folder: constant indices, and the functions over virtual lanes.

/// An array of an expression's values for the indices given, each time with the index as a
/// constant. It stands in for `array::from_fn` and `map`, into which the compiler does not inline
/// closures that use target features, and others not always.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! each {
    ($index:ident in [$($value:literal)*] => $element:expr) => {
        [$({ let $index: usize = $value; $element }),*]
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) use each;

/// Runs a block of code once per number, each time with the number as a constant item, which types
/// can depend on.
#[cfg(target_arch = "x86_64")]
macro_rules! unroll {
    ($index:ident in [$($n:literal)*] $body:block) => {
        $({
            const $index: usize = $n;
            $body
        })*
    };
}
#[cfg(target_arch = "x86_64")]
pub(crate) use unroll;

/// Stamps all that is written over [`crate::vector::Lanes`] into an instruction set's module, over its
/// lanes and with its target features, given as an attribute in brackets: the functions of
/// [`crate::vector`], the steps of attention, products with float weights, the quantizers.
macro_rules! stamp_vector_functions {
    ($lanes:ty, $features:tt) => {
        crate::isa::stamp::stamp_vector_functions! { $lanes, $features,
            dot(a: &[f32], b: &[f32]) -> f32,
            add_scaled(y: &mut [f32], factor: f32, x: &[f32]) -> (),
            rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) -> (),
            silu_mul(gate: &mut [f32], up: &[f32]) -> (),
            exp_sum(values: &mut [f32], max: f32) -> f32,
            quantize_block(x: &[f32], codes: &mut [i8]) -> f32,
            decode_floats(kind: crate::format::FloatKind, bytes: &[u8], out: &mut [f32]) -> (),
            encode_floats(kind: crate::format::FloatKind, values: &[f32], out: &mut [u8]) -> (),
        }
        crate::isa::stamp::stamp_vector_functions! { @generic $lanes, $features }
    };
    ($lanes:ty, $features:tt, $($function:ident $arguments:tt -> $result:ty,)*) => {
        $(crate::isa::stamp::stamp_vector_functions! { @one $lanes, $features, $function $arguments -> $result })*
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
        pub fn softmax_update(
            n_positions: usize,
            scores: &mut crate::attention::Scores,
            states: &mut [crate::attention::RunningSoftmax],
            factors: &mut [crate::attention::Rescale],
        ) {
            crate::attention::softmax_update::<$lanes>(n_positions, scores, states, factors)
        }

        $($features)*
        pub fn accumulate_pv(
            tile: crate::attention::Tile<'_>,
            weights: &crate::attention::Scores,
            factors: &[crate::attention::Rescale],
            out: &mut [f32],
        ) {
            crate::attention::accumulate_pv::<$lanes>(tile, weights, factors, out)
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
        pub fn multiply_float<F: crate::format::Float>(product: crate::product::Product<'_, F>) {
            crate::isa::float::multiply::<$lanes, F>(product)
        }

        $($features)*
        pub fn dequantize_flat<F: crate::format::Flat>(blocks: &[F::Block], weights: &mut [f32]) {
            crate::format::dequantize::<F>(blocks, weights)
        }

        $($features)*
        pub fn read_bandwidth<const STREAMS: usize>(bytes: &[u8]) -> u64 {
            crate::isa::peak::read_bandwidth::<STREAMS>(bytes)
        }

        $($features)*
        pub fn quantize_flat<F: crate::format::Flat>(
            weights: &[f32],
            importance: Option<&[f32]>,
            blocks: &mut [F::Block],
        ) {
            crate::scale_search::flat::<$lanes, F>(weights, importance, blocks)
        }

        $($features)*
        pub fn quantize_super<F: crate::format::Super>(
            weights: &[f32],
            importance: Option<&[f32]>,
            blocks: &mut [F::Block],
        ) {
            crate::scale_search::super_block::<$lanes, F>(weights, importance, blocks)
        }
    };
}
pub(crate) use stamp_vector_functions;
