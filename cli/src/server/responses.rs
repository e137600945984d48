//! `POST /v1/responses`.

use super::answers::ask;
use super::events::{Events, Told, event};
use super::reply::{json, with_flags};
use super::routes::{App, Reply};
use crate::openai::responses::{ResponseEvents, ResponseHead, parse_responses};
use crate::openai::{Fault, Receipt, Usage};
use axum::body::Body;
use axum::extract::State;
use gatefold::engine::{Delta, Generated};
use std::sync::Arc;

/// Answers a request, whole or in pieces.
pub(super) async fn respond(State(shared): App, body: Body) -> Reply {
    let (mut answers, echo) = ask(shared, body, parse_responses).await?;
    let head = ResponseHead::new(answers.heading.clone(), echo);
    let tokenizer = Arc::clone(&answers.service().tokenizer);
    if answers.request.wants.stream {
        let events = ResponseEvents::new(tokenizer, head);
        return Ok(Events::new(answers, Box::new(events)).into_response());
    }
    let (_, generated, receipt) = answers.next_whole().await?;
    let request = &answers.request;
    Ok(json(&head.whole(&tokenizer, request, &generated, &receipt, answers.usage)))
}

impl Told for ResponseEvents {
    fn begin(&mut self) -> String {
        written(ResponseEvents::begin(self))
    }

    fn more(&mut self, _: usize, delta: Delta) -> String {
        written(ResponseEvents::more(self, &delta))
    }

    fn end(&mut self, _: usize, _: &[u32], generated: Generated, receipt: Receipt) -> String {
        written(ResponseEvents::end(self, &generated, receipt))
    }

    fn over(&mut self, usage: Usage) -> String {
        written([ResponseEvents::over(self, usage)])
    }

    fn failed(&mut self, fault: &Fault) -> String {
        written([ResponseEvents::failed(self, &with_flags(fault))])
    }
}

fn written(events: impl IntoIterator<Item = (&'static str, String)>) -> String {
    events.into_iter().map(|(kind, data)| format!("event: {kind}\n{}", event(&data))).collect()
}
