//! The tests, and what each lets the model do.

use super::random::Random;
use gatefold::Compute;
use gatefold::Isa;
use gatefold::model::{Chunk, KvCache, Model, ModelError, PageLayout, PagePool, TILE_LEN, Wanted};
use std::fmt::{self, Display};
use std::io::{self, Read};
use std::time::{Duration, Instant};

/// Something whose speed is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// Reading a prompt: `pp512`.
    Prompt {
        /// Its length.
        n_tokens: usize,
    },
    /// Going on with sequences: `tg32`, eight at a time `tg32@8`, behind 4096 tokens `tg32@d4096`.
    Decode {
        /// Steps, each a token for every sequence.
        n_steps: usize,
        /// Sequences that go through the model together.
        n_sequences: usize,
        /// Tokens in each KV cache at the beginning.
        depth: usize,
    },
}

/// Tokens in the KV cache of each of several sequences at the beginning.
const SHORT_PROMPT: usize = 64;

impl Test {
    /// All tests: prompts of these lengths, and `n_steps` tokens made behind each of `depths`, and
    /// for each number of sequences in `batches`. Zeros ask for nothing.
    pub fn all(
        prompts: &[usize],
        n_steps: usize,
        depths: &[usize],
        batches: &[usize],
    ) -> Vec<Test> {
        let prompts = prompts.iter().filter(|&&n_tokens| n_tokens > 0);
        let mut tests: Vec<Test> = prompts.map(|&n_tokens| Test::Prompt { n_tokens }).collect();
        let batches = batches
            .iter()
            .filter(|&&n_sequences| n_sequences > 0)
            .map(|&n_sequences| (n_sequences, if n_sequences > 1 { SHORT_PROMPT } else { 0 }));
        let one_at = |&depth: &usize| (1, depth);
        for (n_sequences, depth) in batches.chain(depths.iter().map(one_at)) {
            let test = Test::Decode { n_steps, n_sequences, depth };
            if n_steps > 0 && !tests.contains(&test) {
                tests.push(test);
            }
        }
        tests
    }

    /// Tokens that its speed is counted in, those of all sequences.
    pub fn n_tokens(self) -> usize {
        match self {
            Test::Prompt { n_tokens } => n_tokens,
            Test::Decode { n_steps, n_sequences, .. } => n_steps * n_sequences,
        }
    }

    /// Its sequences, the tokens that each begins with, and those it comes to in the end.
    fn sequences(self) -> (usize, usize, usize) {
        match self {
            Test::Prompt { n_tokens } => (1, 0, n_tokens),
            Test::Decode { n_steps, n_sequences, depth } => (n_sequences, depth, depth + n_steps),
        }
    }

    /// Tokens of each of its sequences in the end.
    pub fn sequence_len(self) -> usize {
        self.sequences().2
    }

    /// Tokens whose keys and values it keeps, of all its sequences, in whole pages.
    pub fn n_cached(self) -> usize {
        let (n_sequences, _, len) = self.sequences();
        n_sequences * len.next_multiple_of(TILE_LEN)
    }

    /// Bytes of the keys and values of all its sequences.
    pub fn cache_bytes(self, layout: PageLayout) -> u64 {
        let (n_sequences, _, len) = self.sequences();
        layout.bytes_of(layout.n_pages(len)).saturating_mul(n_sequences as u64)
    }
}

impl Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Test::Prompt { n_tokens } => write!(f, "pp{n_tokens}"),
            Test::Decode { n_steps, n_sequences: 1, depth: 0 } => write!(f, "tg{n_steps}"),
            Test::Decode { n_steps, n_sequences: 1, depth } => write!(f, "tg{n_steps}@d{depth}"),
            Test::Decode { n_steps, n_sequences, .. } => write!(f, "tg{n_steps}@{n_sequences}"),
        }
    }
}

/// What one run of a test took.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How long it took.
    pub duration: Duration,
    /// Bytes that had to be read: the weights that the steps used, of the experts those chosen, and
    /// the keys and values.
    pub n_bytes: u64,
    /// Bytes that were read from the disk itself.
    pub disk_bytes: u64,
    /// Multiply-adds with weights.
    pub n_multiply_adds: u64,
}

/// A test with its sequences.
pub struct Workload {
    test: Test,
    caches: Vec<KvCache>,
}

impl Workload {
    /// The sequences as the test begins. Their keys and values are random: a long prompt would take
    /// minutes, and the speed of reading keys and values does not depend on them.
    ///
    /// # Errors
    /// If the memory for keys and values is used up.
    pub fn new(
        test: Test,
        pool: &PagePool,
        compute: &Compute,
        random: &mut Random,
    ) -> Result<Workload, ModelError> {
        let (n_sequences, depth, len) = test.sequences();
        let mut rows = Rows::random(pool.layout(), compute.isa, random);
        let cache = |_| {
            let mut cache = KvCache::in_pool(pool, len);
            cache.reserve(depth)?;
            cache.read_from(depth, &mut rows).expect("rows never end");
            Ok(cache)
        };
        let caches = (0..n_sequences).map(cache).collect::<Result<_, ModelError>>()?;
        Ok(Workload { test, caches })
    }

    /// The test.
    pub fn test(&self) -> Test {
        self.test
    }

    /// Runs the test once with random tokens, prompts in steps of up to `step_len`.
    ///
    /// # Errors
    /// If the memory for keys and values is used up.
    pub fn run(
        &mut self,
        model: &Model,
        compute: &Compute,
        step_len: usize,
        random: &mut Random,
    ) -> Result<Effort, ModelError> {
        let (n_sequences, depth, _) = self.test.sequences();
        self.caches.iter_mut().for_each(|cache| cache.truncate(depth));
        let ids = random.ids(self.test.n_tokens(), model.n_vocab());
        let is_prompt = matches!(self.test, Test::Prompt { .. });
        let mut steps = ids.chunks(if is_prompt { step_len } else { n_sequences }).peekable();
        let (mut n_bytes, mut disk_bytes, mut n_multiply_adds) = (0, 0, 0);
        let start = Instant::now();
        while let Some(ids) = steps.next() {
            let more_follow = is_prompt && steps.peek().is_some();
            let wanted = if more_follow { Wanted::None } else { Wanted::Last };
            let of_sequences = ids.chunks(ids.len() / n_sequences);
            let chunks = self.caches.iter_mut().zip(of_sequences);
            let mut chunks: Vec<_> =
                chunks.map(|(cache, tokens)| Chunk { cache, tokens, wanted }).collect();
            let logits = model.forward(compute, &mut chunks)?;
            let n_wanted = logits.values.len() / model.n_vocab();
            n_multiply_adds += model.multiply_adds(ids.len(), n_wanted);
            n_bytes += logits.weight_bytes + self.kv_cache_bytes();
            disk_bytes += logits.disk_bytes;
        }
        Ok(Effort { duration: start.elapsed(), n_bytes, disk_bytes, n_multiply_adds })
    }

    /// Bytes of the keys and values that the sequences hold.
    fn kv_cache_bytes(&self) -> u64 {
        let bytes = |cache: &KvCache| (cache.len() * cache.layout().position_bytes()) as u64;
        self.caches.iter().map(bytes).sum()
    }
}

/// Rows of keys and values in a cache's format, over and over.
struct Rows {
    bytes: Vec<u8>,
    at: usize,
}

impl Rows {
    /// A prime number of rows, so that no two tiles begin alike.
    const N_ROWS: usize = 509;

    fn random(layout: PageLayout, isa: Isa, random: &mut Random) -> Rows {
        let values = random.bell_shaped(Rows::N_ROWS * layout.head_dim, 1.0);
        let mut bytes = vec![0; Rows::N_ROWS * layout.row_bytes()];
        layout.format.quantize(isa, &values, &mut bytes);
        Rows { bytes, at: 0 }
    }
}

impl Read for Rows {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[self.at..];
        let n_bytes = rest.len().min(out.len());
        out[..n_bytes].copy_from_slice(&rest[..n_bytes]);
        self.at = (self.at + n_bytes) % self.bytes.len();
        Ok(n_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_named_as_in_tables_of_others() {
        let tests = Test::all(&[512, 0], 32, &[0, 4096], &[1, 8]);
        let names: Vec<_> = tests.iter().map(Test::to_string).collect();
        assert_eq!(names, ["pp512", "tg32", "tg32@8", "tg32@d4096"]);
        assert!(Test::all(&[0], 0, &[0, 100], &[1, 2]).is_empty());
        assert_eq!(tests[2].n_tokens(), 8 * 32);
    }
}
