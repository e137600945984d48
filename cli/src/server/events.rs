//! Answers in pieces: server-sent events.

use super::answers::{Answers, News};
use super::reply::{error_object, of_type, with_flags};
use crate::openai::responses::ResponseEvents;
use crate::openai::{Chunks, Fault, Progress, Receipt, Usage};
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use gatefold::engine::{Delta, Event, GenerateError, Generated};
use hyper::body::Frame;
use std::convert::Infallible;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Interval, interval_at};

/// How long nothing may be told: proxies and clients give up where all is silent.
const MOST_SILENCE: Duration = Duration::from_secs(10);

/// Bytes of events that are handed over together, if there are more.
const MOST_TOGETHER: usize = 1 << 16;

/// How answers are told in pieces: as events, each written out.
pub(super) trait StreamFormat: Send + 'static {
    /// What comes at once.
    fn begin(&mut self) -> String;

    /// How far a prompt is computed, where that is told.
    fn progress(&mut self, _idx: usize, _progress: Progress) -> String {
        String::new()
    }

    /// More of an answer.
    fn more(&mut self, idx: usize, delta: Delta) -> String;

    /// The end of an answer to this prompt.
    fn end(&mut self, idx: usize, prompt: &[u32], generated: Generated, receipt: Receipt)
    -> String;

    /// What comes behind all answers.
    fn over(&mut self, usage: Usage) -> String;

    /// What comes last where there will be no answer: the status has gone out.
    fn failed(&mut self, fault: &Fault) -> String;
}

impl StreamFormat for Chunks {
    fn begin(&mut self) -> String {
        String::new()
    }

    fn progress(&mut self, idx: usize, progress: Progress) -> String {
        events(Chunks::progress(self, idx, progress))
    }

    fn more(&mut self, idx: usize, delta: Delta) -> String {
        events(Chunks::more(self, idx, delta))
    }

    fn end(
        &mut self,
        idx: usize,
        prompt: &[u32],
        generated: Generated,
        receipt: Receipt,
    ) -> String {
        events(Chunks::end(self, idx, prompt, generated, receipt))
    }

    fn over(&mut self, usage: Usage) -> String {
        events(self.usage(usage).into_iter().chain(["[DONE]".into()]))
    }

    fn failed(&mut self, fault: &Fault) -> String {
        event(&error_object(fault).to_string())
    }
}

impl StreamFormat for ResponseEvents {
    fn begin(&mut self) -> String {
        typed(ResponseEvents::begin(self))
    }

    fn more(&mut self, _: usize, delta: Delta) -> String {
        typed(ResponseEvents::more(self, delta))
    }

    fn end(&mut self, _: usize, prompt: &[u32], generated: Generated, receipt: Receipt) -> String {
        typed(ResponseEvents::end(self, prompt, generated, receipt))
    }

    fn over(&mut self, usage: Usage) -> String {
        typed([ResponseEvents::over(self, usage)])
    }

    fn failed(&mut self, fault: &Fault) -> String {
        typed([ResponseEvents::failed(self, &with_flags(fault))])
    }
}

/// An event with this data.
fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

fn events(data: impl IntoIterator<Item = String>) -> String {
    data.into_iter().map(|data| event(&data)).collect()
}

fn typed(events: impl IntoIterator<Item = (&'static str, String)>) -> String {
    events.into_iter().map(|(kind, data)| format!("event: {kind}\n{}", event(&data))).collect()
}

/// The events of a stream, which come as fast as they are made and read.
pub(super) struct Events {
    answers: Answers,
    format: Box<dyn StreamFormat>,
    /// What is written out, and goes next.
    written: String,
    pings: Interval,
    is_over: bool,
}

impl Events {
    /// Those of these answers.
    pub fn new(answers: Answers, mut format: Box<dyn StreamFormat>) -> Events {
        let pings = interval_at(Instant::now() + MOST_SILENCE, MOST_SILENCE);
        Events { answers, written: format.begin(), format, pings, is_over: false }
    }

    /// As the body of a response.
    pub fn into_response(self) -> Response {
        let mut response = of_type("text/event-stream", Body::new(self));
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // What proxies like nginx would collect, they pass on.
        let unbuffered = HeaderName::from_static("x-accel-buffering");
        headers.insert(unbuffered, HeaderValue::from_static("no"));
        response
    }

    /// Writes out what an event has to tell.
    fn tell(&mut self, idx: usize, event: Event) -> Result<(), Fault> {
        match self.answers.take(idx, event)? {
            News::None => {}
            News::Prefill(progress) => {
                self.written.push_str(&self.format.progress(idx, progress));
            }
            News::More(delta) => self.written.push_str(&self.format.more(idx, delta)),
            News::End(generated, receipt) => {
                let prompt = self.answers.prompt(idx);
                self.written.push_str(&self.format.end(idx, prompt, generated, receipt));
            }
        }
        if self.answers.n_left == 0 {
            self.written.push_str(&self.format.over(self.answers.usage));
            self.is_over = true;
        }
        Ok(())
    }
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        while !self.is_over && self.written.len() < MOST_TOGETHER {
            let Poll::Ready(event) = self.answers.events.poll_recv(cx) else { break };
            let outcome = match event {
                Some((idx, event)) => self.tell(idx, event),
                None => Err(self.answers.request.failed(&GenerateError::Stopped)),
            };
            if let Err(fault) = outcome {
                let last = self.format.failed(&fault);
                self.written.push_str(&last);
                self.is_over = true;
            }
        }
        if !self.written.is_empty() {
            self.pings.reset();
            return Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.written).into()))));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        self.pings.poll_tick(cx).map(|_| Some(Ok(Frame::data(Bytes::from_static(b": ping\n\n")))))
    }
}
