//! The headers of legacy formats' blocks, sixteen at a time: what tiles multiply blocks with.

use crate::format::Flat;
use crate::isa::avx512::transpose::{N_ROWS, SixteenBlocks};
use crate::isa::avx512::unpack::{high_f16, low_f16};
use std::arch::x86_64::*;

/// Blocks of each row of a tile: 16 KB of codes.
pub const N_BLOCKS: usize = 16;

/// The headers of a tile's blocks, by block and half of the rows.
///
/// While codes are unpacked, headers are only copied, one by one, which takes none of the vector
/// units' time; they are converted sixteen at a time when the tile is complete.
pub struct FlatHeaders {
    /// A block's first four bytes.
    packed: [[[u32; N_ROWS]; 2]; N_BLOCKS],
    /// The scales, as f32.
    pub scales: [[__m512; 2]; N_BLOCKS],
    /// The minimums, as f32.
    pub minimums: [[__m512; 2]; N_BLOCKS],
}

impl FlatHeaders {
    /// Headers of zeros, to be overwritten.
    pub fn zeroed() -> FlatHeaders {
        // SAFETY: numbers of zeros are as good as any.
        unsafe { std::mem::zeroed() }
    }

    /// Copies the headers of a block of each of sixteen rows.
    ///
    /// # Safety
    /// The blocks must be readable.
    #[inline(always)]
    pub unsafe fn copy<F: Flat>(
        &mut self,
        half: usize,
        block: usize,
        rows: &SixteenBlocks<F::Block>,
    ) {
        for (row, packed) in self.packed[block][half].iter_mut().enumerate() {
            // SAFETY: the caller's promise; no flat block is smaller.
            *packed = unsafe { rows.of_row(row).cast::<u32>().read_unaligned() };
        }
    }

    /// Converts the headers of the first `n_blocks` to f32.
    ///
    /// # Safety
    /// The CPU must have this module's features.
    #[inline(always)]
    pub unsafe fn convert<F: Flat>(&mut self, n_blocks: usize) {
        for block in 0..n_blocks {
            for half in 0..2 {
                // SAFETY: the load is of the array's size; the features are the caller's promise.
                unsafe {
                    let packed = &self.packed[block][half];
                    let packed = _mm512_loadu_si512(packed.as_ptr().cast());
                    self.scales[block][half] = low_f16(packed);
                    if F::HAS_MINIMUM {
                        self.minimums[block][half] = high_f16(packed);
                    }
                }
            }
        }
    }
}
