//! What hears of an answer in the engine's thread.

use super::metrics::Metrics;
use super::places::Place;
use gatefold::engine::{Event, FinishReason};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::UnboundedSender;

/// Passes the events of an answer on, and counts. It never waits: whoever reads slowly has them lying
/// there, and the engine goes on.
pub(super) struct Listener {
    /// Which answer of its request it is.
    pub idx: usize,
    pub sender: UnboundedSender<(usize, Event)>,
    pub metrics: Arc<Metrics>,
    /// When the request came; then, when the last token did.
    pub last: Instant,
    n_computed: usize,
    n_tokens: usize,
    /// Free again behind the last event, when the engine drops this.
    _place: Place,
}

impl Listener {
    /// For the answer with this number, which was asked for just now.
    pub fn new(
        idx: usize,
        sender: UnboundedSender<(usize, Event)>,
        metrics: Arc<Metrics>,
        arrival: Instant,
        place: Place,
    ) -> Listener {
        let (n_computed, n_tokens) = (0, 0);
        Listener { idx, sender, metrics, last: arrival, n_computed, n_tokens, _place: place }
    }

    /// Hears an event.
    pub fn hear(&mut self, event: Event) {
        match &event {
            &Event::Prefill { n_computed, n_reused } => {
                if self.n_computed == 0 {
                    self.metrics.n_reused.add(n_reused);
                    self.n_computed = n_reused;
                }
                // It falls where the sequence was preempted.
                self.metrics.n_prompt_tokens.add(n_computed.saturating_sub(self.n_computed));
                self.n_computed = self.n_computed.max(n_computed);
            }
            Event::Delta(delta) if !delta.tokens.is_empty() => {
                let elapsed = self.last.elapsed();
                self.last = Instant::now();
                self.metrics.n_tokens.add(delta.tokens.len());
                let times = match self.n_tokens {
                    0 => &self.metrics.first_token,
                    _ => &self.metrics.next_token,
                };
                times.add(elapsed);
                self.n_tokens += delta.tokens.len();
            }
            Event::Done(generated) if generated.finish_reason == FinishReason::Cancelled => {
                self.metrics.n_cancelled.add(1);
            }
            _ => {}
        }
        // Where nobody listens any more, the request is about to be cancelled.
        let _ = self.sender.send((self.idx, event));
    }
}
