//! The numbers that codes stand for.

use super::inverse;
use crate::layout::{Codes, Layout};

/// The numbers that the codes of a format stand for, as floats.
#[derive(Clone, Copy)]
pub enum Grid {
    /// Consecutive integers.
    Integers { lowest: f32, highest: f32 },
    /// The entries of a table, in increasing order.
    Table(&'static [i8; 16]),
}

impl Grid {
    /// The grid of a layout. Of signed bytes it leaves out -128, as everyone does: a kernel may
    /// then negate codes.
    pub const fn of(layout: &Layout) -> Grid {
        let (mut bits, mut plane_idx) = (0, 0);
        while plane_idx < layout.planes.len() {
            bits += layout.planes[plane_idx].bits;
            plane_idx += 1;
        }
        match layout.codes {
            Codes::Offset(offset) => Grid::Integers {
                lowest: -(offset as f32),
                highest: ((1 << bits) - 1 - offset as i32) as f32,
            },
            Codes::Signed => Grid::Integers { lowest: -127.0, highest: 127.0 },
            Codes::Table(table) => Grid::Table(table),
        }
    }

    /// The least and the greatest number.
    #[inline(always)]
    pub fn ends(self) -> [f32; 2] {
        match self {
            Grid::Integers { lowest, highest } => [lowest, highest],
            Grid::Table(table) => [f32::from(table[0]), f32::from(table[15])],
        }
    }

    /// The number nearest to `value`, without branches.
    #[inline(always)]
    pub fn nearest(self, value: f32) -> f32 {
        match self {
            Grid::Integers { lowest, highest } => {
                let value = if value < highest { value } else { highest };
                let value = if value > lowest { value } else { lowest };
                // At this magnitude an f32 has no fraction bits: the sum is rounded to an integer.
                const INTEGERS_ONLY: f32 = 12_582_912.0;
                (value + INTEGERS_ONLY) - INTEGERS_ONLY
            }
            Grid::Table(table) => {
                let mut number = f32::from(table[0]);
                for i in 1..16 {
                    let (low, high) = (f32::from(table[i - 1]), f32::from(table[i]));
                    number += if value > (low + high) / 2.0 { high - low } else { 0.0 };
                }
                number
            }
        }
    }

    /// The bits of the codes nearest to `(x + minimum) / scale`: what [`Layout::pack`] takes.
    pub fn encode(layout: &Layout, x: &[f32], scale: f32, minimum: f32, codes: &mut [u8]) {
        let (grid, inverse) = (Grid::of(layout), inverse(scale));
        for (x, code) in x.iter().zip(codes) {
            *code = Grid::code(layout, grid.nearest((x + minimum) * inverse));
        }
    }

    /// The bits of the code of a number of the grid.
    fn code(layout: &Layout, number: f32) -> u8 {
        match layout.codes {
            Codes::Offset(offset) => (number as i32 + i32::from(offset)) as u8,
            Codes::Signed => number as i8 as u8,
            Codes::Table(table) => {
                table.iter().filter(|&&entry| f32::from(entry) < number).count() as u8
            }
        }
    }
}
