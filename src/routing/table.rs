//! Counts with several indices.

use std::ops::{Index, IndexMut};

/// Counts in a box of `N` dimensions, the last index running fastest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table<const N: usize> {
    dims: [usize; N],
    cells: Vec<u64>,
}

impl<const N: usize> Table<N> {
    /// All zero.
    pub fn new(dims: [usize; N]) -> Table<N> {
        Table { dims, cells: vec![0; dims.iter().product()] }
    }

    /// The counts that begin with these indices, one after the other.
    pub fn with<const M: usize>(&self, indices: [usize; M]) -> &[u64] {
        let len: usize = self.dims[M..].iter().product();
        let start = indices.iter().zip(self.dims).fold(0, |at, (&idx, dim)| at * dim + idx);
        &self.cells[start * len..][..len]
    }

    /// All of them.
    pub fn cells(&self) -> &[u64] {
        &self.cells
    }

    /// All of them, to be read back.
    pub fn cells_mut(&mut self) -> &mut [u64] {
        &mut self.cells
    }

    fn at(&self, indices: [usize; N]) -> usize {
        indices.iter().zip(self.dims).fold(0, |at, (&idx, dim)| {
            debug_assert!(idx < dim);
            at * dim + idx
        })
    }
}

impl<const N: usize> Index<[usize; N]> for Table<N> {
    type Output = u64;

    fn index(&self, indices: [usize; N]) -> &u64 {
        &self.cells[self.at(indices)]
    }
}

impl<const N: usize> IndexMut<[usize; N]> for Table<N> {
    fn index_mut(&mut self, indices: [usize; N]) -> &mut u64 {
        let at = self.at(indices);
        &mut self.cells[at]
    }
}
