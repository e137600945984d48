//! What computes: an instruction set and a pool of threads.

use gatefold_quant::Isa;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use std::thread;

/// An instruction set and a pool of threads.
pub struct Compute {
    /// The instruction set whose kernels run.
    pub isa: Isa,
    pool: ThreadPool,
}

impl Compute {
    /// A pool of `n_threads`, or of [`default_threads`].
    ///
    /// # Errors
    /// If the system refuses the threads.
    pub fn new(isa: Isa, n_threads: Option<usize>) -> Result<Compute, ThreadPoolBuildError> {
        let n_threads = n_threads.unwrap_or_else(default_threads);
        let pool = ThreadPoolBuilder::new()
            .num_threads(n_threads)
            .thread_name(|thread_idx| format!("gatefold-{thread_idx}"))
            .build()?;
        Ok(Compute { isa, pool })
    }

    /// Threads in the pool.
    pub fn n_threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Runs `op` inside the pool: rayon's parallel iterators in it use these threads.
    pub fn run<R: Send>(&self, op: impl FnOnce() -> R + Send) -> R {
        self.pool.install(op)
    }
}

/// The physical cores that this process may use: a second hardware thread per core shares the
/// core's dot-product units and only adds contention.
pub fn default_threads() -> usize {
    let allowed = thread::available_parallelism().map_or(1, usize::from);
    num_cpus::get_physical().clamp(1, allowed)
}
