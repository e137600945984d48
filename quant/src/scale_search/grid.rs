//! The numbers that codes stand for.

use crate::codebook::Codebook;
use crate::layout::{Codes, Layout};
use crate::vector::{Lanes, N_LANES};

/// The numbers that the codes of a format stand for, as floats.
#[derive(Clone, Copy)]
pub enum Grid {
    /// Consecutive integers.
    Integers { lowest: f32, highest: f32 },
    /// The entries of a table, in increasing order.
    Table(&'static [i8; 16]),
    /// Those of a codebook, for several weights each: see [`super::entries`].
    Codebook(&'static Codebook),
}

const NOT_ONE_BY_ONE: &str = "numbers of a codebook are not chosen one by one";

impl Grid {
    /// The grid of a layout. Of signed bytes it leaves out -128, as everyone does: a kernel may
    /// then negate codes.
    pub const fn of(layout: &Layout) -> Grid {
        match layout.codes {
            Codes::Offset(offset) => Grid::Integers {
                lowest: -(offset as f32),
                highest: (layout.max_code() - offset as i32) as f32,
            },
            Codes::Signed => Grid::Integers { lowest: -127.0, highest: 127.0 },
            Codes::Table(table) => Grid::Table(table),
            Codes::Codebook(book) => Grid::Codebook(book),
        }
    }

    /// The least and the greatest number.
    #[inline(always)]
    pub fn ends(self) -> [f32; 2] {
        match self {
            Grid::Integers { lowest, highest } => [lowest, highest],
            Grid::Table(table) => [f32::from(table[0]), f32::from(table[15])],
            Grid::Codebook(_) => unreachable!("{NOT_ONE_BY_ONE}"),
        }
    }

    /// The number nearest to each lane, without branches.
    #[inline(always)]
    pub fn nearest<L: Lanes>(self, value: L) -> L {
        match self {
            Grid::Integers { lowest, highest } => {
                // At this magnitude an f32 has no fraction bits: the sum is rounded to an integer.
                let integers_only = L::splat(12_582_912.0);
                let value = value.min(L::splat(highest)).max(L::splat(lowest));
                value.add(integers_only).sub(integers_only)
            }
            Grid::Table(table) => {
                let mut number = L::splat(f32::from(table[0]));
                for i in 1..16 {
                    let (low, high) = (f32::from(table[i - 1]), f32::from(table[i]));
                    let is_above = L::splat((low + high) / 2.0);
                    number = is_above.if_less(value, L::splat(high), number);
                }
                number
            }
            Grid::Codebook(_) => unreachable!("{NOT_ONE_BY_ONE}"),
        }
    }

    /// The bits of the codes nearest to `(weight + minimum) * inverse`, for [`Layout::pack`];
    /// the number of weights is a multiple of sixteen.
    #[inline(always)]
    pub fn encode<L: Lanes>(self, weights: &[f32], inverse: f32, minimum: f32, codes: &mut [u8]) {
        let (weights, codes) = (weights.as_chunks::<N_LANES>().0, codes.as_chunks_mut().0);
        for (weights, codes) in weights.iter().zip(codes) {
            let value = L::from_array(*weights).add(L::splat(minimum)).mul(L::splat(inverse));
            *codes = self.codes(self.nearest(value));
        }
    }

    /// The bits of the codes of numbers of the grid.
    #[inline(always)]
    fn codes<L: Lanes>(self, numbers: L) -> [u8; N_LANES] {
        let code = match self {
            // Signed codes are two's complement bytes.
            Grid::Integers { lowest: -127.0, .. } => numbers,
            Grid::Integers { lowest, .. } => numbers.sub(L::splat(lowest)),
            Grid::Table(table) => {
                let mut index = L::splat(0.0);
                for i in 1..16 {
                    let previous = L::splat(f32::from(table[i - 1]));
                    index = previous.if_less(numbers, L::splat(i as f32), index);
                }
                index
            }
            Grid::Codebook(_) => unreachable!("{NOT_ONE_BY_ONE}"),
        };
        bytemuck::cast(code.to_i8())
    }
}
