//! What works on requests.

use gatefold::engine::{
    Engine, Event, GenerateError, Handle, Priority, Refusal, Request, RequestId, Ticket,
};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// How long is waited for an event before it is looked whether to go on.
const GLANCE: Duration = Duration::from_millis(100);

/// Hears what becomes of requests.
pub type Listener<'a> = &'a mut dyn FnMut(RequestId, Event);

/// What works on requests.
pub trait Worker {
    /// Asks for an answer.
    ///
    /// # Errors
    /// If there could never be one.
    fn submit(&mut self, request: Request) -> Result<RequestId, Refusal>;

    /// Ends a request.
    fn cancel(&mut self, id: RequestId);

    /// Works a while, and tells what has become of requests.
    fn step(&mut self, listener: Listener<'_>);

    /// Whether all requests are answered.
    fn is_idle(&self) -> bool;
}

impl Worker for Engine {
    fn submit(&mut self, request: Request) -> Result<RequestId, Refusal> {
        Engine::submit(self, request)
    }

    fn cancel(&mut self, id: RequestId) {
        Engine::cancel(self, id);
    }

    fn step(&mut self, listener: Listener<'_>) {
        Engine::step(self, listener);
    }

    fn is_idle(&self) -> bool {
        Engine::is_idle(self)
    }
}

/// The background of an engine that others ask too. Dropping it ends the requests. Where the engine has
/// died, they wait for ever: that is no fault of theirs, and another run can answer them.
pub struct Background<'h> {
    handle: &'h Handle,
    tickets: HashMap<u64, Ticket>,
    n_submitted: u64,
    sender: Sender<(u64, Event)>,
    events: Receiver<(u64, Event)>,
}

impl<'h> Background<'h> {
    /// That of the engine behind `handle`.
    pub fn of(handle: &'h Handle) -> Background<'h> {
        let (sender, events) = channel();
        Background { handle, tickets: HashMap::new(), n_submitted: 0, sender, events }
    }
}

impl Worker for Background<'_> {
    fn submit(&mut self, request: Request) -> Result<RequestId, Refusal> {
        let request = Request { priority: Priority::Background, ..request };
        let (number, sender) = (self.n_submitted, self.sender.clone());
        let ticket = self.handle.submit_to(request, move |event| {
            // Whoever does not listen any more has ended the request.
            let _ = sender.send((number, event));
        })?;
        let id = ticket.id();
        self.n_submitted += 1;
        self.tickets.insert(number, ticket);
        Ok(id)
    }

    fn cancel(&mut self, id: RequestId) {
        self.tickets.retain(|_, ticket| ticket.id() != id);
    }

    fn step(&mut self, listener: Listener<'_>) {
        let first = self.events.recv_timeout(GLANCE).ok();
        for (number, event) in first.into_iter().chain(self.events.try_iter()) {
            if matches!(event, Event::Failed(GenerateError::Stopped)) {
                continue;
            }
            let is_last = matches!(event, Event::Done(_) | Event::Failed(_));
            let Some(id) = self.tickets.get(&number).map(Ticket::id) else { continue };
            if is_last {
                self.tickets.remove(&number);
            }
            listener(id, event);
        }
    }

    fn is_idle(&self) -> bool {
        self.tickets.is_empty()
    }
}
