//! Asking memory for the rows that come next.

use super::columns::N_ROWS;
use super::tile::Tile;
use crate::format::Format;
use crate::registry::Product;
use std::arch::x86_64::*;

/// The packed weights of the next rows, to be asked for a few lines at a time while others are
/// unpacked and multiplied: all at once they would hold up other loads. Four long streams, a quarter
/// of the rows each, come from memory faster than one, or than many short ones.
pub struct Ahead {
    /// Where the rows begin.
    start: *const i8,
    row_bytes: usize,
    /// The place in each quarter.
    row: usize,
    line: usize,
    /// Lines of each quarter that are due, in units of [`LINE`].
    due: usize,
    share: Share,
}

/// What falls due when a block of a half is unpacked, and when a block is multiplied with a token:
/// in proportion to the time that they take, so that memory is never idle and never behind.
#[derive(Clone, Copy)]
pub struct Share {
    /// Lines of each row.
    n_lines: usize,
    of_unpacking: usize,
    of_token: usize,
}

/// A line, so that shares can be fractions of it.
const LINE: usize = 1 << 32;

const QUARTER_ROWS: usize = 2 * N_ROWS / 4;

impl Share {
    /// Of a tile's rows, of which `n_blocks` each are multiplied with `n_tokens`.
    pub fn new<F: Format, T: Tile<F>>(n_blocks: usize, n_tokens: usize) -> Share {
        let n_lines = n_blocks * size_of::<F::Block>() / 64 + 1;
        let all = QUARTER_ROWS * n_lines * LINE;
        let cycle = all / n_blocks / (2 * T::UNPACKING + n_tokens * T::MULTIPLYING);
        Share { n_lines, of_unpacking: cycle * T::UNPACKING, of_token: cycle * T::MULTIPLYING }
    }
}

impl Ahead {
    /// For the rows that begin at block `next` of the weights, or as far behind their end.
    pub fn new<F: Format>(product: &Product<'_, F>, next: usize, share: Share) -> Ahead {
        Ahead {
            start: product.weights.as_ptr().wrapping_add(next).cast(),
            row_bytes: product.blocks_per_row() * size_of::<F::Block>(),
            row: 0,
            line: 0,
            due: 0,
            share,
        }
    }

    /// Asks for what is due while a block of a half is unpacked.
    #[inline(always)]
    pub fn unpacking(&mut self) {
        self.ask(self.share.of_unpacking);
    }

    /// Asks for what is due while a block is multiplied with so many tokens.
    #[inline(always)]
    pub fn multiplying(&mut self, n_tokens: usize) {
        self.ask(n_tokens * self.share.of_token);
    }

    #[inline(always)]
    fn ask(&mut self, share: usize) {
        self.due += share;
        while self.due >= LINE {
            self.due -= LINE;
            let at = self.row * self.row_bytes + self.line * 64;
            for quarter in 0..4 {
                let line = self.start.wrapping_add(at + quarter * QUARTER_ROWS * self.row_bytes);
                // SAFETY: a prefetch has no effect that could be observed, wherever it points.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(line) };
            }
            self.line += 1;
            if self.line == self.share.n_lines {
                (self.row, self.line) = (self.row + 1, 0);
            }
        }
    }
}
