//! What computes: an instruction set and a pool of threads.

use crate::machine::n_cores;
use gatefold_quant::Isa;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder, Yield};
use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An instruction set and a pool of threads.
pub struct Compute {
    /// The instruction set whose kernels run.
    pub isa: Isa,
    pool: ThreadPool,
}

impl Compute {
    /// A pool of `n_threads`, or of one per physical core that this process may use, on macOS
    /// per fast one.
    ///
    /// # Errors
    /// If the system refuses the threads.
    pub fn new(isa: Isa, n_threads: Option<usize>) -> Result<Compute, ThreadPoolBuildError> {
        let n_threads = n_threads.unwrap_or_else(n_cores);
        let pool = ThreadPoolBuilder::new()
            .num_threads(n_threads)
            .thread_name(|thread_idx| format!("gatefold-{thread_idx}"))
            .build()?;
        Ok(Compute { isa, pool })
    }

    /// The best that this machine has.
    ///
    /// # Errors
    /// If the system refuses the threads.
    pub fn detect() -> Result<Compute, ThreadPoolBuildError> {
        Compute::new(Isa::detect(), None)
    }

    /// Threads in the pool.
    pub fn n_threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Runs `op` inside the pool: rayon's parallel iterators in it use these threads.
    pub fn run<R: Send>(&self, op: impl FnOnce() -> R + Send) -> R {
        self.pool.install(op)
    }

    /// As [`Self::run`], for hundreds of short parallel loops in a row: from one to the next the
    /// threads spin before they park, since waking one takes longer than many a loop.
    pub fn run_spinning<R: Send>(&self, op: impl FnOnce() -> R + Send) -> R {
        self.pool.install(|| {
            let (own_idx, end) = (rayon::current_thread_index(), End::default());
            let reached = Arc::clone(&end.0);
            rayon::spawn_broadcast(move |thread| {
                if Some(thread.index()) != own_idx {
                    spin_until(&reached);
                }
            });
            op()
        })
    }
}

/// Tells that it was dropped, if only by a panic.
#[derive(Default)]
struct End(Arc<AtomicBool>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How often a thread spins without finding work before it parks: longer than the pauses between a
/// step's loops. Offering the core to others between spins loses more than it gives: what runs then
/// stays for milliseconds.
const SPIN_LIMIT: usize = 2000;

/// Takes part in the pool's loops, and spins between them without parking. Nobody waits for it, so
/// that it does no harm where the system runs other threads in its place, and it waits for nothing
/// for good.
fn spin_until(reached: &AtomicBool) {
    let mut n_spins = 0;
    while n_spins < SPIN_LIMIT && !reached.load(Ordering::Relaxed) {
        if rayon::yield_now() == Some(Yield::Executed) {
            n_spins = 0;
        } else {
            n_spins += 1;
            hint::spin_loop();
        }
    }
}
