//! An engine in a thread of its own, and the handle through which any thread uses it.

use super::limits::Limits;
use super::prefix_file::{PrefixFile, PrefixFileError};
use super::request::{Event, GenerateError, Generated, Refusal, Request, RequestId};
use super::scheduler::Engine;
use super::status::Status;
use crossbeam_channel::{Receiver, SendError, Sender, bounded, unbounded};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, ThreadId};

/// Hears what becomes of a request, in the engine's thread.
type Listener = Box<dyn FnMut(Event) + Send>;

/// What the thread is asked for.
enum Command {
    /// An answer.
    Submit { ticket: u64, request: Box<Request>, listener: Listener },
    /// To let go of a request, wherever it is.
    Cancel { ticket: u64 },
    /// Something else, between two steps.
    Call(Box<dyn FnOnce(&mut Engine) + Send>),
}

/// A handle to an [`Engine`] that works in a thread of its own. Clones lead to the same engine.
///
/// The thread ends when all handles, streams and tickets are gone.
#[derive(Clone)]
pub struct Handle {
    commands: Sender<Command>,
    limits: Limits,
    next_ticket: Arc<AtomicU64>,
    status: Weak<Mutex<Status>>,
    thread: ThreadId,
}

impl Engine {
    /// Moves the engine into a thread of its own.
    ///
    /// # Errors
    /// If the system refuses the thread.
    pub fn spawn(self) -> io::Result<Handle> {
        let (commands, received) = unbounded();
        let limits = self.limits();
        let shown = Arc::new(Mutex::new(self.status()));
        let status = Arc::downgrade(&shown);
        let (listeners, ids) = (HashMap::new(), HashMap::new());
        let worker = Worker { engine: self, listeners, ids, status: shown };
        let builder = thread::Builder::new().name("gatefold-engine".into());
        let thread = builder.spawn(move || worker.work(received))?.thread().id();
        Ok(Handle { commands, limits, next_ticket: Arc::default(), status, thread })
    }
}

impl Handle {
    /// Asks for an answer, and returns its events as they come. Dropping the stream cancels the
    /// request.
    ///
    /// # Errors
    /// If it could never be answered. That is known at once, whatever the engine is doing.
    pub fn submit(&self, request: Request) -> Result<Stream, Refusal> {
        let (sender, events) = unbounded();
        let ticket = self.submit_to(request, move |event| {
            // Whoever drops the stream cancels the request too.
            let _ = sender.send(event);
        })?;
        Ok(Stream { events, _ticket: ticket })
    }

    /// Asks for an answer whose events `listener` hears, in the engine's thread: it must not block,
    /// since all requests wait for it. Dropping the ticket cancels the request, whose last event the
    /// listener still hears. A listener that panics hears nothing more, and its request is cancelled.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub fn submit_to(
        &self,
        request: Request,
        listener: impl FnMut(Event) + Send + 'static,
    ) -> Result<Ticket, Refusal> {
        self.limits.check(&request)?;
        let number = self.next_ticket.fetch_add(1, Ordering::Relaxed);
        let (request, listener) = (Box::new(request), Box::new(listener));
        let submit = Command::Submit { ticket: number, request, listener };
        if let Err(SendError(Command::Submit { mut listener, .. })) = self.commands.send(submit) {
            listener(Event::Failed(GenerateError::Stopped));
        }
        Ok(Ticket { number, commands: self.commands.clone() })
    }

    /// How much the engine has to do and has done, as of its last step: unlike [`Self::call`], this waits
    /// for nothing. `None` if its thread has ended.
    pub fn status(&self) -> Option<Status> {
        let status = self.status.upgrade()?;
        let status = status.lock().unwrap_or_else(PoisonError::into_inner);
        Some(status.clone())
    }

    /// Runs `op` on the engine, between two steps, and returns its result: how much it has to do, or
    /// what its prefix cache has. `None` if the engine's thread has ended or `op` panics, or where it
    /// would wait for itself, in the engine's own thread.
    pub fn call<R: Send + 'static>(
        &self,
        op: impl FnOnce(&Engine) -> R + Send + 'static,
    ) -> Option<R> {
        self.change(|engine| op(engine))
    }

    /// As [`Engine::load_prefix`]; `None` as for [`Self::call`].
    pub fn load_prefix(&self, file: PrefixFile) -> Option<Result<Vec<u32>, PrefixFileError>> {
        self.change(move |engine| engine.load_prefix(&file))
    }

    /// As [`Engine::clear_prefix_cache`]; `None` as for [`Self::call`].
    pub fn clear_prefix_cache(&self) -> Option<()> {
        self.change(Engine::clear_prefix_cache)
    }

    /// Ends all requests, whoever has made them: before the next step, with what they have until then.
    pub fn cancel_all(&self) {
        // A thread that has ended works on nothing.
        let _ = self.commands.send(Command::Call(Box::new(Engine::cancel_all)));
    }

    fn change<R: Send + 'static>(
        &self,
        op: impl FnOnce(&mut Engine) -> R + Send + 'static,
    ) -> Option<R> {
        if thread::current().id() == self.thread {
            return None;
        }
        let (sender, result) = bounded(1);
        let call = move |engine: &mut Engine| {
            // Nobody may be waiting any more.
            let _ = sender.send(op(engine));
        };
        self.commands.send(Command::Call(Box::new(call))).ok()?;
        result.recv().ok()
    }
}

/// Keeps a request alive: dropping it cancels the request, if that has not ended.
#[must_use = "dropping the ticket cancels the request"]
pub struct Ticket {
    number: u64,
    commands: Sender<Command>,
}

impl Ticket {
    /// Names the request among those of its engine's handles.
    pub fn id(&self) -> RequestId {
        RequestId(self.number)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // A thread that has ended works on nothing.
        let _ = self.commands.send(Command::Cancel { ticket: self.number });
    }
}

/// The events of a request, as they come: an iterator that waits for each, and ends after
/// [`Event::Done`] or [`Event::Failed`]. Dropping it cancels the request.
#[must_use = "dropping the stream cancels the request"]
pub struct Stream {
    events: Receiver<Event>,
    _ticket: Ticket,
}

impl Stream {
    /// Waits for the whole answer.
    ///
    /// # Errors
    /// If generation failed.
    pub fn wait(self) -> Result<Generated, GenerateError> {
        for event in self {
            match event {
                Event::Done(generated) => return Ok(generated),
                Event::Failed(error) => return Err(error),
                Event::Prefill { .. } | Event::Routes { .. } | Event::Delta(_) => {}
            }
        }
        Err(GenerateError::Stopped)
    }
}

impl Iterator for Stream {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.events.recv().ok()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("thread", &self.thread).finish_non_exhaustive()
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("number", &self.number).finish_non_exhaustive()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("n_events", &self.events.len()).finish_non_exhaustive()
    }
}

/// The engine's side.
struct Worker {
    engine: Engine,
    listeners: HashMap<RequestId, (u64, Listener)>,
    ids: HashMap<u64, RequestId>,
    /// What handles see of the engine.
    status: Arc<Mutex<Status>>,
}

impl Worker {
    /// Takes commands and steps until nobody can give commands any more and all work is done.
    fn work(mut self, commands: Receiver<Command>) {
        loop {
            if self.engine.is_idle() {
                let Ok(command) = commands.recv() else { return };
                self.obey(command);
            }
            while let Ok(command) = commands.try_recv() {
                self.obey(command);
            }
            self.show_status();
            self.step();
            self.show_status();
        }
    }

    fn show_status(&self) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = self.engine.status();
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Call(op) => {
                // Its sender is dropped then, which is what its caller hears.
                let _ = catch_unwind(AssertUnwindSafe(|| op(&mut self.engine)));
            }
            Command::Cancel { ticket } => {
                if let Some(&id) = self.ids.get(&ticket) {
                    self.engine.cancel(id);
                }
            }
            Command::Submit { ticket, request, mut listener } => {
                match self.engine.submit(*request) {
                    Ok(id) => {
                        self.ids.insert(ticket, id);
                        self.listeners.insert(id, (ticket, listener));
                    }
                    // The handle has checked by the same limits.
                    Err(refusal) => {
                        hears(&mut listener, Event::Failed(refusal.into()));
                    }
                }
            }
        }
    }

    fn step(&mut self) {
        let Worker { engine, listeners, ids, .. } = self;
        let mut deaf = Vec::new();
        engine.step(&mut |id, event| {
            let is_last = matches!(event, Event::Done(_) | Event::Failed(_));
            let Some((ticket, listener)) = listeners.get_mut(&id) else { return };
            let is_alive = hears(listener, event);
            if !is_alive && !is_last {
                deaf.push(id);
            }
            if !is_alive || is_last {
                ids.remove(ticket);
                listeners.remove(&id);
            }
        });
        deaf.into_iter().for_each(|id| engine.cancel(id));
    }
}

impl Drop for Worker {
    /// Tells those who still wait, where the thread ends by a panic.
    fn drop(&mut self) {
        for (_, (_, mut listener)) in self.listeners.drain() {
            hears(&mut listener, Event::Failed(GenerateError::Stopped));
        }
    }
}

/// Hands an event to a listener; false if that panics, which is no one else's trouble.
fn hears(listener: &mut Listener, event: Event) -> bool {
    catch_unwind(AssertUnwindSafe(|| listener(event))).is_ok()
}
