//! Software prefetch: of blocks a fixed distance ahead (GEMV), and of a tile's successor in portions
//! (GEMM).

use super::transpose::N_ROWS;
use crate::format::Format;
use crate::product::Product;
use std::arch::x86_64::*;

/// Bytes between what a stream of blocks reads and what it prefetches.
pub const STREAM_DISTANCE: usize = 2048;

/// Prefetches as much as a block, `distance` bytes after its start. It need not exist.
#[inline(always)]
pub fn prefetch<T>(block: *const T, distance: usize) {
    let start = block.cast::<i8>().wrapping_add(distance);
    for line in (0..size_of::<T>()).step_by(64) {
        // SAFETY: a prefetch has no effect that could be observed, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line)) };
    }
}

/// Prefetches the packed weights of the next tile's rows, a few lines at a time while this tile is
/// unpacked and multiplied: all at once they would hold up other loads. Four long streams, a quarter
/// of the rows each, come from memory faster than one, or than many short ones.
pub struct Prefetcher {
    /// Where the rows begin.
    start: *const i8,
    row_bytes: usize,
    /// The place in each quarter.
    row: usize,
    line: usize,
    /// Lines of each quarter that are due, in units of [`LINE`].
    due: usize,
    budget: PrefetchBudget,
}

/// Cost model of a tile: roughly the cycles of its two phases. Only the ratio matters.
#[derive(Clone, Copy)]
pub struct Costs {
    /// For unpacking 32 columns of a half.
    pub unpacking: usize,
    /// For multiplying 32 columns of both halves with a token.
    pub multiplying: usize,
}

/// Lines that fall due when a block of a half is unpacked, and when a block is multiplied with a
/// token: in proportion to the time that they take, so that memory is never idle and never behind.
#[derive(Clone, Copy)]
pub struct PrefetchBudget {
    /// Lines of each row.
    n_lines: usize,
    of_unpacking: usize,
    of_token: usize,
}

/// A line, so that budgets can be fractions of it.
const LINE: usize = 1 << 32;

const QUARTER_ROWS: usize = 2 * N_ROWS / 4;

impl PrefetchBudget {
    /// For a tile's rows, of which `n_blocks` each are multiplied with `n_tokens`.
    pub fn new<F: Format>(n_blocks: usize, n_tokens: usize, costs: Costs) -> PrefetchBudget {
        let n_lines = n_blocks * size_of::<F::Block>() / 64 + 1;
        let all = QUARTER_ROWS * n_lines * LINE;
        let Costs { unpacking, multiplying } = costs;
        let cycle = all / n_blocks / (2 * unpacking + n_tokens * multiplying);
        let (of_unpacking, of_token) = (cycle * unpacking, cycle * multiplying);
        PrefetchBudget { n_lines, of_unpacking, of_token }
    }
}

impl Prefetcher {
    /// For the rows that begin at block `next` of the weights, or as far behind their end.
    pub fn new<F: Format>(
        product: &Product<'_, F>,
        next: usize,
        budget: PrefetchBudget,
    ) -> Prefetcher {
        Prefetcher {
            start: product.weights.as_ptr().wrapping_add(next).cast(),
            row_bytes: product.blocks_per_row() * size_of::<F::Block>(),
            row: 0,
            line: 0,
            due: 0,
            budget,
        }
    }

    /// Prefetches what is due while a block of a half is unpacked.
    #[inline(always)]
    pub fn unpacking(&mut self) {
        self.spend(self.budget.of_unpacking);
    }

    /// Prefetches what is due while a block is multiplied with so many tokens.
    #[inline(always)]
    pub fn multiplying(&mut self, n_tokens: usize) {
        self.spend(n_tokens * self.budget.of_token);
    }

    #[inline(always)]
    fn spend(&mut self, budget: usize) {
        self.due += budget;
        while self.due >= LINE {
            self.due -= LINE;
            let at = self.row * self.row_bytes + self.line * 64;
            for quarter in 0..4 {
                let line = self.start.wrapping_add(at + quarter * QUARTER_ROWS * self.row_bytes);
                // SAFETY: a prefetch has no effect that could be observed, wherever it points.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(line) };
            }
            self.line += 1;
            if self.line == self.budget.n_lines {
                (self.row, self.line) = (self.row + 1, 0);
            }
        }
    }
}
