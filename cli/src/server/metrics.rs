//! Counters, in the form that Prometheus reads.
//!
//! Their names have the meaning of llama.cpp's.

use super::reply::of_type;
use super::routes::App;
use axum::extract::State;
use axum::response::Response;
use std::collections::BTreeMap;
use std::fmt::{Arguments, Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper ends of the buckets of times, in seconds: a step of a small model takes milliseconds, a long
/// prompt of a large one minutes.
const ENDS: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0, 300.0, 600.0,
];

/// Prometheus' text.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is counted.
#[derive(Default)]
pub(super) struct Metrics {
    pub n_prompt_tokens: Counter,
    pub n_reused: Counter,
    pub n_tokens: Counter,
    pub n_cancelled: Counter,
    pub first_token: Times,
    pub next_token: Times,
    pub answers: Times,
    /// Requests by their path and the status of their answer.
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
}

/// A number that grows.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

/// How often something took how long.
#[derive(Default)]
pub(super) struct Times(Mutex<Histogram>);

#[derive(Clone, Copy, Default)]
struct Histogram {
    /// Per bucket, the last of which has no end.
    counts: [u64; ENDS.len() + 1],
    sum: Duration,
}

impl Counter {
    /// Counts more.
    pub fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Times {
    /// Takes note of a time.
    pub fn add(&self, time: Duration) {
        let bucket = ENDS.iter().position(|&end| time.as_secs_f64() <= end).unwrap_or(ENDS.len());
        let mut histogram = lock(&self.0);
        histogram.counts[bucket] += 1;
        histogram.sum += time;
    }

    /// The mean, in seconds, if there is one.
    pub fn mean(&self) -> Option<f64> {
        let Histogram { counts, sum } = *lock(&self.0);
        let n: u64 = counts.iter().sum();
        (n > 0).then(|| sum.as_secs_f64() / n as f64)
    }
}

/// The value, also if whoever had it last has panicked: it is but numbers.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Metrics {
    /// Counts a request.
    pub fn count(&self, path: &'static str, status: u16) {
        *lock(&self.requests).entry((path, status)).or_default() += 1;
    }
}

/// `GET /metrics`: all counters.
pub(super) async fn page(State(shared): App) -> Response {
    let Metrics { n_prompt_tokens, n_reused, n_tokens, n_cancelled, .. } = &*shared.metrics;
    let service = shared.service.get();
    let status = service.and_then(|service| service.handle.status()).unwrap_or_default();
    let limit = service.map_or(0, |service| service.memory_bytes);
    let mut page = Page::default();
    page.number("prompt_tokens_total", "Prompt tokens that were computed", n_prompt_tokens.get());
    page.number(
        "prompt_tokens_cached_total",
        "Prompt tokens that were computed before",
        n_reused.get(),
    );
    page.number("tokens_predicted_total", "Tokens of answers", n_tokens.get());
    page.number("steps_total", "Steps of the model", status.work.n_steps);
    page.number("answers_cancelled_total", "Answers that were ended early", n_cancelled.get());
    let n_running = status.n_running - status.n_background_running;
    let n_waiting = status.n_waiting - status.n_background_waiting;
    page.number("requests_processing", "Answers that are worked on", n_running as u64);
    page.number("requests_deferred", "Answers that wait", n_waiting as u64);
    page.number("answers_open", "Places of answers that are taken", shared.places.n_taken() as u64);
    page.number(
        "requests_open",
        "Requests for answers that are not done with",
        shared.n_active.load(Ordering::SeqCst) as u64,
    );
    let batches = service.and_then(|service| service.store.as_ref());
    let batches = batches.map(|store| store.tally()).unwrap_or_default();
    page.number("batches_open", "Batches that are not done", batches.n_open as u64);
    page.number("batches_processing", "Batches that are worked on", batches.n_running as u64);
    page.number(
        "batch_rows_total",
        "Rows of batches that were answered or refused",
        batches.n_rows,
    );
    page.number("kv_cache_bytes", "Bytes of keys and values", status.memory_bytes);
    page.number("kv_cache_limit_bytes", "Bytes that they may take", limit);
    let top_k = service.map_or(0, |service| service.top_k);
    page.number("experts_per_token", "Experts of a layer that take each token", top_k as u64);
    page.head("expert_tokens_total", "Tokens that each expert of each layer has taken", "counter");
    for (layer, experts) in status.work.expert_tokens.iter().enumerate() {
        for (expert, n_tokens) in experts.iter().enumerate() {
            let labels = format!("layer=\"{layer}\",expert=\"{expert}\"");
            page.line(&format!("expert_tokens_total{{{labels}}}"), n_tokens);
        }
    }
    let Metrics { first_token, next_token, answers, .. } = &*shared.metrics;
    page.times("time_to_first_token_seconds", "From a request to its first token", first_token);
    page.times("time_between_tokens_seconds", "From a token to the next", next_token);
    page.times("answer_seconds", "From a request to the end of its answers", answers);
    page.head("requests_total", "Requests by path and status", "counter");
    for (&(path, status), n) in lock(&shared.metrics.requests).iter() {
        page.line(&format!("requests_total{{path=\"{path}\",status=\"{status}\"}}"), n);
    }
    of_type(CONTENT_TYPE, page.text)
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn head(&mut self, name: &str, what: &str, kind: &str) {
        self.line_of(format_args!("# HELP gatefold_{name} {what}."));
        self.line_of(format_args!("# TYPE gatefold_{name} {kind}"));
    }

    fn line(&mut self, name: &str, value: impl Display) {
        self.line_of(format_args!("gatefold_{name} {value}"));
    }

    fn line_of(&mut self, line: Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a string takes all that is written");
    }

    fn number(&mut self, name: &str, what: &str, value: u64) {
        self.head(name, what, if name.ends_with("_total") { "counter" } else { "gauge" });
        self.line(name, value);
    }

    fn times(&mut self, name: &str, what: &str, times: &Times) {
        let Histogram { counts, sum } = *lock(&times.0);
        self.head(name, what, "histogram");
        let mut n = 0;
        for (count, end) in counts.iter().zip(ENDS) {
            n += count;
            self.line(&format!("{name}_bucket{{le=\"{end}\"}}"), n);
        }
        n += counts[ENDS.len()];
        self.line(&format!("{name}_bucket{{le=\"+Inf\"}}"), n);
        self.line(&format!("{name}_sum"), sum.as_secs_f64());
        self.line(&format!("{name}_count"), n);
    }
}
