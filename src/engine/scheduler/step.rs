//! What the model says in a step, and what comes of it.

use super::super::held::Held;
use super::super::request::{Delta, Event, FinishReason, GenerateError, RequestId};
use super::super::sequence::{Finished, Sequence};
use super::super::speed::Traffic;
use super::Engine;
use crate::model::{Gates, ModelError, Routes};
use rayon::prelude::*;
use std::mem;

impl Engine {
    /// Takes the step, and chooses tokens for the sequences that have nothing uncomputed.
    pub(super) fn forward(
        &mut self,
        chunk_lens: &[usize],
    ) -> Vec<Result<Option<u32>, GenerateError>> {
        let parts = || self.running.iter().zip(chunk_lens);
        let n_logits: Vec<_> = parts().map(|(sequence, &len)| sequence.n_logits(len)).collect();
        let mut routes = self.running.iter().any(Sequence::wants_routes).then(Routes::default);
        let chunks = self.running.iter_mut().zip(chunk_lens).filter(|&(_, &len)| len > 0);
        let (mut chunks, held): (Vec<_>, Vec<_>) =
            chunks.map(|(sequence, &len)| sequence.chunk(len)).unzip();
        let mut held: Vec<&mut Held> = held.into_iter().flatten().collect();
        let gates = Gates { routes: routes.as_mut(), ..Gates::default() };
        let forward = || self.model.forward_gated(&self.compute, &mut chunks, gates);
        let logits = match held.is_empty() {
            true => forward(),
            // What may come next depends on what has come, not on its logits.
            false => self.compute.run(|| {
                let look_ahead =
                    || held.par_iter_mut().with_max_len(1).for_each(|held| held.look_ahead());
                rayon::join(forward, look_ahead).0
            }),
        };
        let logits = match logits {
            Ok(logits) => logits,
            Err(ModelError::Read(error)) => {
                // Those that had no part in the step wait for the next.
                let failed = |&len: &usize| match len {
                    0 => Ok(None),
                    _ => Err(ModelError::Read(error.clone()).into()),
                };
                return chunk_lens.iter().map(failed).collect();
            }
            Err(error) => {
                panic!("prompts were checked when they came, and have their memory: {error}")
            }
        };
        self.traffic += Traffic::of(&logits);
        self.n_computed += chunk_lens.iter().sum::<usize>();
        self.work.add(&logits.expert_tokens);
        let mut n_tokens = 0;
        for (sequence, &chunk_len) in self.running.iter_mut().zip(chunk_lens) {
            let tokens = n_tokens..n_tokens + chunk_len;
            n_tokens = tokens.end;
            routes.iter().for_each(|routes| sequence.take_routes(routes, tokens.clone()));
        }
        let (n_vocab, mut values) = (self.model.n_vocab(), &logits.values[..]);
        let rows = self.running.iter_mut().zip(n_logits).map(|(sequence, n_rows)| {
            let rows = values.split_off(..n_rows * n_vocab).expect("a row for each that is wanted");
            (sequence, rows)
        });
        let mut rows: Vec<_> = rows.collect();
        self.compute.run(|| {
            let rows = rows.par_iter_mut().with_max_len(1);
            rows.map(|(sequence, rows)| sequence.take_logits(rows, n_vocab)).collect()
        })
    }

    /// Tells what came of a step, and lets go of the requests that it has ended.
    pub(super) fn emit(
        &mut self,
        chunk_lens: &[usize],
        chosen: Vec<Result<Option<u32>, GenerateError>>,
        listener: &mut dyn FnMut(RequestId, Event),
    ) {
        let running = mem::take(&mut self.running).into_iter();
        for ((mut sequence, &chunk_len), chosen) in running.zip(chunk_lens).zip(chosen) {
            if let Some(routes) = sequence.routes.take() {
                let first = sequence.cache.len() - chunk_len;
                listener(sequence.id, Event::Routes { first, routes });
            }
            if chunk_len > 0 && !sequence.is_generating() {
                let (n_computed, n_reused) = (sequence.cache.len(), sequence.n_reused());
                listener(sequence.id, Event::Prefill { n_computed, n_reused });
            }
            let token = match chosen {
                Err(error) => {
                    listener(sequence.id, Event::Failed(error));
                    continue;
                }
                Ok(token) => token,
            };
            if sequence.n_uncomputed() > 0 {
                self.running.push(sequence);
                continue;
            }
            let Some(token) = token else {
                self.finish(sequence, FinishReason::Length, None, listener);
                continue;
            };
            match sequence.push(token, &self.tokenizer, self.traffic) {
                Err(error) => listener(sequence.id, Event::Failed(error)),
                Ok((delta, Some(reason))) => self.finish(sequence, reason, Some(delta), listener),
                Ok((delta, None)) => {
                    listener(sequence.id, Event::Delta(delta));
                    self.running.push(sequence);
                }
            }
        }
    }

    /// Ends a request with its last delta, if it has one.
    pub(super) fn finish(
        &mut self,
        sequence: Sequence,
        reason: FinishReason,
        last: Option<Delta>,
        listener: &mut dyn FnMut(RequestId, Event),
    ) {
        let id = sequence.id;
        let Finished { generated, rest, tokens, cache } = sequence.finish(reason, self.traffic);
        let mut last = last.unwrap_or_default();
        last.text.push_str(&rest);
        if !last.is_empty() {
            listener(id, Event::Delta(last));
        }
        listener(id, Event::Done(generated));
        self.prefix_cache.insert(tokens, cache, &self.pool);
    }
}
