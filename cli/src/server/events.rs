//! Answers in pieces: server-sent events.

use super::answers::{Answers, News};
use super::reply::{error_object, of_type};
use crate::openai::{Chunks, Fault};
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use gatefold::engine::{Event, GenerateError};
use hyper::body::Frame;
use std::convert::Infallible;
use std::fmt::Display;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Interval, interval_at};

/// How long nothing may be told: proxies and clients give up where all is silent.
const MOST_SILENCE: Duration = Duration::from_secs(10);

/// Bytes of events that are handed over together, if there are more.
const MOST_TOGETHER: usize = 1 << 16;

/// The events of a stream, which come as fast as they are made and read.
pub(super) struct Events {
    answers: Answers,
    chunks: Chunks,
    pings: Interval,
    is_over: bool,
}

impl Events {
    /// Those of these answers.
    pub fn new(answers: Answers) -> Events {
        let tokenizer = Arc::clone(&answers.service().tokenizer);
        let request = Arc::clone(&answers.request);
        let chunks = Chunks::new(tokenizer, answers.heading.clone(), request);
        let pings = interval_at(Instant::now() + MOST_SILENCE, MOST_SILENCE);
        Events { answers, chunks, pings, is_over: false }
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

    /// Adds what an event has to tell.
    fn tell(&mut self, idx: usize, event: Event, told: &mut String) -> Result<(), Fault> {
        match self.answers.take(idx, event)? {
            News::None => {}
            News::Prefill(progress) => push_all(told, self.chunks.progress(idx, progress)),
            News::More(delta) => push_all(told, self.chunks.more(idx, delta)),
            News::End(generated, receipt) => {
                let prompt = self.answers.prompt(idx);
                push_all(told, self.chunks.end(idx, prompt, generated, receipt));
            }
        }
        if self.answers.n_left == 0 {
            push_all(told, self.chunks.usage(self.answers.usage));
            push(told, "[DONE]");
            self.is_over = true;
        }
        Ok(())
    }
}

fn push(told: &mut String, data: impl Display) {
    told.push_str(&format!("data: {data}\n\n"));
}

fn push_all(told: &mut String, chunks: impl IntoIterator<Item = String>) {
    chunks.into_iter().for_each(|chunk| push(told, chunk));
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut told = String::new();
        while !self.is_over && told.len() < MOST_TOGETHER {
            let Poll::Ready(event) = self.answers.events.poll_recv(cx) else { break };
            let outcome = match event {
                Some((idx, event)) => self.tell(idx, event, &mut told),
                None => Err(self.answers.request.failed(&GenerateError::Stopped)),
            };
            // The status has gone out: an error is one more event, and the last.
            if let Err(fault) = outcome {
                push(&mut told, error_object(&fault));
                self.is_over = true;
            }
        }
        if !told.is_empty() {
            self.pings.reset();
            return Poll::Ready(Some(Ok(Frame::data(told.into()))));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        self.pings.poll_tick(cx).map(|_| Some(Ok(Frame::data(Bytes::from_static(b": ping\n\n")))))
    }
}
