//! Windows of text through a model, at the speed of prefill, for what its matrices are multiplied with.

use super::{Imatrix, Problem};
use crate::compute::Compute;
use crate::model::{
    Chunk, Gates, InputSums, KvCache, Model, ModelError, PageLayout, PagePool, SUM_BLOCK_LEN,
    Wanted,
};
use gatefold_quant::DynFormat;

/// Adds up the squared inputs of a model's matrices. The sums are the same bits for any threads,
/// instruction set, length of steps and order of windows.
pub struct Collector<'m> {
    model: &'m Model,
    compute: &'m Compute,
    pool: PagePool,
    window_len: usize,
    batch_len: usize,
    sums: InputSums,
    n_windows: u64,
}

impl<'m> Collector<'m> {
    /// A collector for windows of `window_len` tokens, in steps of about `batch_len`. Keys and values
    /// are kept in `cache_format`.
    ///
    /// # Errors
    /// If the model's heads do not fit the cache's format.
    pub fn new(
        model: &'m Model,
        compute: &'m Compute,
        cache_format: &'static DynFormat,
        (window_len, batch_len): (usize, usize),
    ) -> Result<Collector<'m>, ModelError> {
        let pool = PagePool::new(PageLayout::new(model.config(), cache_format)?, u64::MAX);
        let sums = InputSums::new(model.config());
        Ok(Collector { model, compute, pool, window_len, batch_len, sums, n_windows: 0 })
    }

    /// How many windows go through the model together.
    pub fn windows_per_step(&self) -> usize {
        (self.batch_len / self.window_len.max(1)).max(1)
    }

    /// Reads windows together.
    ///
    /// # Errors
    /// If one has a token that the model does not, or is too long.
    pub fn read(&mut self, windows: &[&[u32]]) -> Result<(), ModelError> {
        for window in windows {
            self.model.check(window, 0, self.window_len)?;
        }
        let piece_len = match self.window_len <= self.batch_len {
            true => self.window_len,
            false => (self.batch_len / SUM_BLOCK_LEN).max(1) * SUM_BLOCK_LEN,
        };
        let cache = || KvCache::in_pool(&self.pool, self.window_len);
        let mut caches: Vec<_> = windows.iter().map(|_| cache()).collect();
        for start in (0..self.window_len).step_by(piece_len) {
            let pieces = caches.iter_mut().zip(windows).filter_map(|(cache, window)| {
                let rest = window.get(start..).filter(|rest| !rest.is_empty())?;
                let tokens = &rest[..rest.len().min(piece_len)];
                Some(Chunk { cache, tokens, wanted: Wanted::None })
            });
            let gates = Gates { inputs: Some(&mut self.sums), ..Gates::default() };
            self.model.forward_gated(self.compute, &mut pieces.collect::<Vec<_>>(), gates)?;
        }
        self.n_windows += windows.len() as u64;
        Ok(())
    }

    /// What was added up so far, of texts that are called `dataset`.
    ///
    /// # Errors
    /// If inputs are beyond all numbers: the weights are damaged.
    pub fn imatrix(&self, dataset: &str) -> Result<Imatrix, Problem> {
        Ok(Imatrix {
            datasets: vec![dataset.to_owned()],
            n_chunks: self.n_windows,
            chunk_len: self.window_len as u64,
            ..Imatrix::of_sums(self.model.config(), &self.sums)?
        })
    }
}
