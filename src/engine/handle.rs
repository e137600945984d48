//! An engine in a thread of its own, and the handle through which any thread uses it.

use super::limits::Limits;
use super::request::{Event, GenerateError, Generated, Refusal, Request, RequestId};
use super::scheduler::Engine;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Hears what becomes of a request, in the engine's thread.
type Listener = Box<dyn FnMut(Event) + Send>;

/// What the thread is asked for.
enum Command {
    /// An answer.
    Submit { ticket: u64, request: Request, listener: Listener },
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
}

impl Engine {
    /// Moves the engine into a thread of its own.
    ///
    /// # Errors
    /// If the system refuses the thread.
    pub fn spawn(self) -> io::Result<Handle> {
        let (commands, received) = unbounded();
        let limits = self.limits();
        let worker = Worker { engine: self, listeners: HashMap::new(), ids: HashMap::new() };
        thread::Builder::new().name("gatefold-engine".into()).spawn(|| worker.work(received))?;
        Ok(Handle { commands, limits, next_ticket: Arc::default() })
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
    /// since all requests wait for it. Dropping the ticket cancels the request.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub fn submit_to(
        &self,
        request: Request,
        listener: impl FnMut(Event) + Send + 'static,
    ) -> Result<Ticket, Refusal> {
        self.limits.check(&request)?;
        let ticket = self.next_ticket.fetch_add(1, Ordering::Relaxed);
        let listener = Box::new(listener);
        // If the thread is gone, so is the listener, and with it a stream's sender.
        let _ = self.commands.send(Command::Submit { ticket, request, listener });
        Ok(Ticket { number: ticket, commands: self.commands.clone() })
    }

    /// Does something with the engine between two steps, and returns what came of it; `None` if the
    /// thread has ended.
    pub fn call<R: Send + 'static>(
        &self,
        op: impl FnOnce(&mut Engine) -> R + Send + 'static,
    ) -> Option<R> {
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
                Event::Prefill { .. } | Event::Delta(_) => {}
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

/// The engine's side.
struct Worker {
    engine: Engine,
    listeners: HashMap<RequestId, (u64, Listener)>,
    ids: HashMap<u64, RequestId>,
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
            self.step();
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Call(op) => op(&mut self.engine),
            Command::Cancel { ticket } => {
                if let Some(&id) = self.ids.get(&ticket) {
                    self.engine.cancel(id);
                }
            }
            Command::Submit { ticket, request, mut listener } => {
                match self.engine.submit(request) {
                    Ok(id) => {
                        self.ids.insert(ticket, id);
                        self.listeners.insert(id, (ticket, listener));
                    }
                    // The handle has checked by the same limits.
                    Err(refusal) => listener(Event::Failed(refusal.into())),
                }
            }
        }
    }

    fn step(&mut self) {
        let Worker { engine, listeners, ids } = self;
        engine.step(&mut |id, event| {
            let is_last = matches!(event, Event::Done(_) | Event::Failed(_));
            let Some((ticket, listener)) = listeners.get_mut(&id) else { return };
            listener(event);
            if is_last {
                ids.remove(ticket);
                listeners.remove(&id);
            }
        });
    }
}
