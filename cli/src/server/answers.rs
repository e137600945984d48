//! From a request to its answers.

use super::Shared;
use super::body;
use super::events::{Events, StreamFormat};
use super::listener::Listener;
use super::places::Place;
use super::reply::{Refused, json};
use super::service::Service;
use crate::args::template::tell_folded;
use crate::openai::responses::ResponseEvents;
use crate::openai::{
    CachedTokens, Choice, Chunks, Completion, Encoded, Endpoint, Fault, Heading, Progress, Receipt,
    Request, Usage,
};
use axum::body::Body;
use axum::response::Response;
use gatefold::engine::{Delta, Event, FinishReason, GenerateError, Generated, Ticket};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task;
use tokio::time::timeout_at;

/// Seconds after which there may be a place for a form: as many as it was waited for.
const FORMS_RETRY: u64 = 10;

/// Answers a request, whole or in pieces.
pub(super) async fn answer(
    shared: Arc<Shared>,
    endpoint: Endpoint,
    body: Body,
) -> Result<Response, Refused> {
    let answers = ask(shared, endpoint, body).await?;
    if !answers.request.wants.stream {
        return Ok(json(&answers.whole().await?));
    }
    let tokenizer = Arc::clone(&answers.service().tokenizer);
    let (heading, request) = (answers.heading.clone(), Arc::clone(&answers.request));
    let format: Box<dyn StreamFormat> = match endpoint {
        Endpoint::Responses => Box::new(ResponseEvents::new(tokenizer, heading, request)),
        Endpoint::Chat | Endpoint::Texts => Box::new(Chunks::new(tokenizer, heading, request)),
    };
    Ok(Events::new(answers, format).into_response())
}

/// Has a body understood, and asks the engine.
async fn ask(shared: Arc<Shared>, endpoint: Endpoint, body: Body) -> Result<Answers, Refused> {
    let (arrival, active) = (Instant::now(), Active::new(&shared));
    let bytes = body::read(body).await?;
    // Before the work that tokens are.
    shared.service()?;
    if shared.places.are_full() {
        return Err(shared.queue_is_full());
    }
    let parse = move || Ok(Request::parse(endpoint, body::fields(&bytes)?)?);
    let request = blocking(parse).await?;
    // Before it waits for anything, so that no more wait than may.
    let places = shared.places.take(request.n_answers()).ok_or_else(|| shared.queue_is_full())?;
    let own = Arc::clone(&shared);
    let encoded = async move {
        let permit = match request.params.form {
            // It is never closed.
            Some(_) => Some(Arc::clone(&own.forms).acquire_owned().await),
            None => None,
        };
        let encoded = move || {
            // Also where nobody waits for it any more, it is at work.
            let _permit = permit;
            encode(&own, &request).map(|encoded| (request, encoded))
        };
        blocking(encoded).await
    };
    let (request, encoded) = match shared.deadline {
        Some(most) => {
            let encoded = timeout_at((arrival + most).into(), encoded).await;
            encoded.map_err(|_| deadline_exceeded())??
        }
        None => encoded.await?,
    };
    Answers::submit(active, request, encoded, places, arrival)
}

/// Runs what takes its time beside the connections.
pub(super) async fn blocking<T: Send + 'static>(
    op: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let failed = |_| Fault::ours("internal_error", "the request could not be understood").into();
    task::spawn_blocking(op).await.unwrap_or_else(|error| Err(failed(error)))
}

/// What the prompts and the form of a request are for the engine.
fn encode(shared: &Shared, request: &Request) -> Result<Encoded, Refused> {
    let service = shared.service()?;
    if service.is_name_required {
        request.expect_model(&service.name)?;
    }
    let encoded = service.prompts().encode(request).map_err(|fault| match fault.status {
        503 => Refused { fault, retry_after: Some(FORMS_RETRY) },
        _ => fault.into(),
    })?;
    if let Some(why) = &encoded.folded {
        shared.told_folded.call_once(|| tell_folded("a conversation", why));
    }
    Ok(encoded)
}

impl Shared {
    /// The model, if it can be asked.
    pub(super) fn service(&self) -> Result<&Service, Refused> {
        if self.is_stopping.load(Ordering::SeqCst) {
            return Err(Refused::busy("server_stopping", "the server is about to stop", 5));
        }
        let loading = || Refused::busy("model_loading", "the model is being loaded", 5);
        self.service.get().ok_or_else(loading)
    }

    /// That there is no place, and when there may be one: when as many requests are answered as are
    /// worked on together.
    fn queue_is_full(&self) -> Refused {
        let n_waves = self.places.n_taken() as f64 / self.places.n_running() as f64;
        let seconds = n_waves.max(1.0) * self.metrics.answers.mean().unwrap_or(5.0) / 2.0;
        let message = format!(
            "{} answers are worked on or waiting, and no more may wait (--max-queue); try again later",
            self.places.n_taken()
        );
        Refused::busy("queue_full", &message, (seconds as u64).clamp(1, 120))
    }
}

/// Counts a request until its answers are delivered, or its client is gone.
struct Active(Arc<Shared>);

impl Active {
    fn new(shared: &Arc<Shared>) -> Active {
        shared.n_active.fetch_add(1, Ordering::SeqCst);
        Active(Arc::clone(shared))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.n_active.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The answers to a request, on their way. Dropping them cancels those that are not complete.
pub(super) struct Answers {
    pub request: Arc<Request>,
    pub heading: Heading,
    pub events: UnboundedReceiver<(usize, Event)>,
    pub usage: Usage,
    /// How many are not complete.
    pub n_left: usize,
    prompts: Vec<Vec<u32>>,
    /// Of the first answer.
    seed: u64,
    arrival: Instant,
    active: Active,
    _tickets: Vec<Ticket>,
}

/// What an event is to the answers.
pub(super) enum News {
    /// Nothing that is told.
    None,
    /// How far its prompt is computed.
    Prefill(Progress),
    /// More of one.
    More(Delta),
    /// All of one.
    End(Generated, Receipt),
}

impl Answers {
    /// Asks the engine for them.
    fn submit(
        active: Active,
        request: Request,
        encoded: Encoded,
        places: Vec<Place>,
        arrival: Instant,
    ) -> Result<Answers, Refused> {
        let shared = &active.0;
        let service = shared.service()?;
        let seed = request.params.seed.unwrap_or_else(random_seed);
        let (sender, events) = unbounded_channel();
        let mut tickets = Vec::new();
        let asked = request.of_engine(&encoded, service.max_tokens, seed);
        for ((idx, mut asked), place) in asked.enumerate().zip(places) {
            asked.deadline = shared.deadline.map(|most| arrival + most);
            let metrics = Arc::clone(&shared.metrics);
            let mut listener = Listener::new(idx, sender.clone(), metrics, arrival, place);
            let ticket = service.handle.submit_to(asked, move |event| listener.hear(event));
            // Nothing of this server can answer it, however often it is asked.
            let ticket = ticket.map_err(|refusal| request.refused(&refusal).with_status(400))?;
            tickets.push(ticket);
        }
        let prompts = encoded.prompts;
        shared.first_prompts.see(&prompts);
        let name = random_name();
        let model = request.model.clone().unwrap_or_else(|| service.name.clone());
        Ok(Answers {
            heading: Heading::new(request.endpoint(), &name, model, service.basis.as_str()),
            events,
            usage: Usage {
                prompt_tokens_details: Some(CachedTokens::default()),
                ..Usage::of_prompts(&prompts)
            },
            n_left: request.n_answers(),
            request: Arc::new(request),
            prompts,
            seed,
            arrival,
            active,
            _tickets: tickets,
        })
    }

    /// The model that makes them.
    pub fn service(&self) -> &Service {
        self.active.0.service.get().expect("it was asked")
    }

    /// The prompt of an answer.
    pub fn prompt(&self, idx: usize) -> &[u32] {
        &self.prompts[idx / self.request.params.n]
    }

    /// Takes an event.
    ///
    /// # Errors
    /// If there will be no answer.
    pub fn take(&mut self, idx: usize, event: Event) -> Result<News, Fault> {
        match event {
            Event::Prefill { n_computed, n_reused } => Ok(News::Prefill(Progress {
                total: self.prompt(idx).len(),
                cache: n_reused,
                processed: n_computed,
                time_ms: self.arrival.elapsed().as_millis() as u64,
            })),
            Event::Delta(delta) => Ok(News::More(delta)),
            Event::Done(generated) => {
                check(&generated)?;
                self.usage.add_answer(generated.tokens.len());
                // Those to one prompt share it.
                if let Some(details) = &mut self.usage.prompt_tokens_details
                    && idx.is_multiple_of(self.request.params.n)
                {
                    details.cached_tokens += generated.n_reused;
                }
                self.n_left -= 1;
                if self.n_left == 0 {
                    self.active.0.metrics.answers.add(self.arrival.elapsed());
                }
                let receipt = Receipt::new(self.seed.wrapping_add(idx as u64), &generated);
                Ok(News::End(generated, receipt))
            }
            Event::Failed(error) => Err(self.request.failed(&error)),
            _ => Ok(News::None),
        }
    }

    /// Waits until another one is complete: its number, and what it is.
    async fn next_whole(&mut self) -> Result<(usize, Generated, Receipt), Fault> {
        loop {
            let event = self.events.recv().await;
            let (idx, event) = event.ok_or_else(|| self.request.failed(&GenerateError::Stopped))?;
            if let News::End(generated, receipt) = self.take(idx, event)? {
                return Ok((idx, generated, receipt));
            }
        }
    }

    /// Waits until all are complete.
    async fn whole(mut self) -> Result<Completion, Fault> {
        let mut choices: Vec<Option<Choice>> = Vec::new();
        choices.resize_with(self.n_left, || None);
        while self.n_left > 0 {
            let (idx, generated, receipt) = self.next_whole().await?;
            let tokenizer = &self.service().tokenizer;
            let prompt = self.prompt(idx);
            let choice = Choice::new(tokenizer, &self.request, idx, prompt, generated, receipt);
            choices[idx] = Some(choice);
        }
        let choices = choices.into_iter().flatten().collect();
        Ok(Completion::new(&self.request, self.heading, choices, self.usage))
    }
}

/// That an answer has come to its own end.
fn check(generated: &Generated) -> Result<(), Fault> {
    match generated.finish_reason {
        FinishReason::Cancelled => {
            let message = "the server has stopped before the answer was complete";
            Err(Fault::ours("server_stopping", message).with_status(503))
        }
        FinishReason::Deadline => Err(deadline_exceeded()),
        _ => Ok(()),
    }
}

/// That time is over.
fn deadline_exceeded() -> Fault {
    let message = "the answer has not come within the time that it may take (--deadline)";
    Fault::ours("deadline_exceeded", message).with_status(504)
}

/// A name that nothing else has.
pub(super) fn random_name() -> String {
    format!("{:016x}{:08x}", random_seed(), random_seed() as u32)
}

/// A number that nobody has chosen, and that programs which count in floats keep as it is.
fn random_seed() -> u64 {
    RandomState::new().hash_one(()) >> 11
}
