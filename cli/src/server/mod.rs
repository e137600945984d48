//! OpenAI's API over HTTP, on one engine.
//!
//! [`Server`] has a thread of its own, in which `connections` takes connections and hands their
//! requests to `routes`; `access` sees each first. The engine is in another thread, behind its
//! handle. From request to answer: `body` reads it, `answers` has it understood by
//! [`openai`](crate::openai) and submits it, `places` bounds how many there are, `listener` hears in
//! the engine's thread what becomes of it, and `events` tells it on in pieces. Whoever drops an answer,
//! as hyper does when its client is gone, cancels the request.
//!
//! `files` and `batches` are the way to what is [kept](crate::store): `multipart` reads forms, `content`
//! is read from the disk, `paging` cuts lists. `page` is what a browser is shown, a client of all that.
//! `tokens` turns text into tokens and back, `metrics` counts, `prefix` knows how prompts begin, `reply`
//! has the form of answers and errors, `openapi` tells programs of all that, [`Service`] what a loaded
//! model is to all of them.

mod access;
mod answers;
mod batches;
mod body;
mod connections;
mod content;
mod events;
mod files;
mod listener;
mod metrics;
mod multipart;
mod openapi;
mod page;
mod paging;
mod places;
mod prefix;
mod reply;
mod routes;
mod service;
mod stalls;
mod tokens;

pub use access::{Access, AccessError};
pub use service::Service;

use crate::store::{self, Store};
use crate::terminal::print_note;
use gatefold::text::printable;
use metrics::Metrics;
use places::Places;
use prefix::FirstPrompts;
use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Once, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::runtime;
use tokio::sync::{Semaphore, watch};

/// Threads that make tokens of prompts: few, since the cores have to compute.
const MOST_BLOCKING_THREADS: usize = 3;

/// Those of them that may wait for a form: the others go on with requests that have none.
const MOST_FORM_THREADS: usize = 2;

/// How long answers that were ended may take to reach their clients, when the server stops.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How often it is looked whether all requests are answered, when the server stops.
const GLANCE: Duration = Duration::from_millis(20);

/// What is set before there is a model.
pub struct Config {
    /// Who may ask.
    pub access: Access,
    /// Answers that are worked on together, at most.
    pub max_running: usize,
    /// Answers that may wait beyond those.
    pub max_queue: usize,
    /// How long a request may take from its arrival, if there is a limit.
    pub deadline: Option<Duration>,
}

/// What all requests share.
struct Shared {
    access: Access,
    deadline: Option<Duration>,
    places: Arc<Places>,
    metrics: Arc<Metrics>,
    first_prompts: FirstPrompts,
    /// Permits to make tokens of a request with a form.
    forms: Arc<Semaphore>,
    /// Whether it was said that conversations are folded.
    told_folded: Once,
    /// None while the model is being loaded.
    service: OnceLock<Service>,
    /// Whether new requests are refused, since the server is about to stop.
    is_stopping: AtomicBool,
    /// Requests for answers that are not done with.
    n_active: AtomicUsize,
}

/// A server at work, in a thread of its own.
pub struct Server {
    shared: Arc<Shared>,
    closing: watch::Sender<bool>,
    thread: JoinHandle<()>,
    /// What works on batches.
    batches: OnceLock<JoinHandle<()>>,
}

impl Server {
    /// Answers whoever connects: at first that the model is being loaded.
    ///
    /// # Errors
    /// If the system refuses threads or the socket.
    pub fn start(listener: TcpListener, config: Config) -> io::Result<Server> {
        listener.set_nonblocking(true)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(MOST_BLOCKING_THREADS)
            .build()?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let Config { access, max_running, max_queue, deadline } = config;
        let shared = Arc::new(Shared {
            access,
            deadline,
            places: Arc::new(Places::new(max_running, max_queue)),
            metrics: Arc::default(),
            first_prompts: FirstPrompts::default(),
            forms: Arc::new(Semaphore::new(MOST_FORM_THREADS)),
            told_folded: Once::new(),
            service: OnceLock::new(),
            is_stopping: AtomicBool::new(false),
            n_active: AtomicUsize::new(0),
        });
        let router = routes::router(Arc::clone(&shared));
        let (closing, is_closing) = watch::channel(false);
        let thread = thread::Builder::new().name("gatefold-server".into()).spawn(move || {
            runtime.block_on(connections::serve(listener, router, is_closing));
            // What still makes tokens has nobody waiting for them.
            runtime.shutdown_background();
        })?;
        Ok(Server { shared, closing, thread, batches: OnceLock::new() })
    }

    /// Has a model from now on, and works on the batches that there are.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn begin(&self, service: Service) -> io::Result<()> {
        let store = service.store.clone();
        // There is one model.
        let _ = self.shared.service.set(service);
        let Some(store) = store else { return Ok(()) };
        let shared = Arc::clone(&self.shared);
        let builder = thread::Builder::new().name("gatefold-batches".into());
        let thread = builder.spawn(move || shared.work_on_batches(&store))?;
        let _ = self.batches.set(thread);
        Ok(())
    }

    /// Refuses new requests, gives those that there are `grace` to come to their end, ends them then, and
    /// closes all connections. Returns the tokens with which the first prompts all began.
    pub fn stop(self, grace: Duration) -> Vec<u32> {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        // The next server goes on with them.
        if let Some(store) = self.shared.service.get().and_then(|service| service.store.as_ref()) {
            store.stop();
        }
        self.wait_for_the_rest(grace);
        if let Some(service) = self.shared.service.get() {
            service.handle.cancel_all();
        }
        self.wait_for_the_rest(LAST_WORDS);
        let _ = self.closing.send(true);
        // It has told all that it had to tell.
        let _ = self.thread.join();
        self.shared.first_prompts.common_prefix()
    }

    /// Waits until all requests are answered and the batches are left as they are. Where a row takes
    /// longer than that, its thread ends with the process, and the next server begins the row anew.
    fn wait_for_the_rest(&self, most: Duration) {
        let start = Instant::now();
        let is_at_work = || {
            self.shared.n_active.load(Ordering::SeqCst) > 0
                || self.batches.get().is_some_and(|thread| !thread.is_finished())
        };
        while is_at_work() && start.elapsed() < most {
            thread::sleep(GLANCE);
        }
    }
}

impl Shared {
    fn work_on_batches(&self, store: &Store) {
        let Some(service) = self.service.get() else { return };
        let setup = service.batches(self.places.n_running());
        store::work(store, &service.handle, &setup, &|trouble| {
            print_note(format_args!("a batch does not go on: {}", printable(trouble)));
        });
    }
}
