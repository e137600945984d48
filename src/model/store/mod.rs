//! Experts of a model that is larger than memory: some stay there, the others are read from the disk when
//! a step needs them, while those that are at hand are computed with.
//!
//! A step of many tokens needs every expert, layer by layer, and so does the next. What such a sweep finds
//! in memory stays, and what is missing passes through a few buffers, read ahead in the order of the layers:
//! a cache that dropped the oldest would always drop what comes next. A step of few tokens reads exactly
//! what its routers choose; what a layer has not used for longest gives its buffer to what was missing.
//!
//! What an expert's bytes are does not depend on where they come from, and outputs are added in the
//! router's order: the logits are the same bits in any case.

mod place;
mod plan;
mod readers;

pub(super) use place::Files;
pub(super) use plan::least_bytes;
pub(super) use readers::disk_rate;

use super::ReadError;
use super::weights::{Expert, Layer, Matrix};
use crate::gguf::Pages;
use place::Place;
use plan::Plan;
use readers::{Arrival, Readers, Request};
use std::collections::VecDeque;
use std::sync::Arc;

/// The experts of a model that does not fit into memory.
pub(super) struct Store {
    layers: Vec<LayerStore>,
    readers: Readers,
    /// Most buffers of experts that do not stay, those there are, and those of them that nobody uses.
    n_passing: usize,
    n_made: usize,
    free: Vec<Pages>,
    passing_bytes: usize,
    /// What is to be read, in the order of use, and the buffers of what gave way to it.
    queue: VecDeque<(Request, Option<Pages>)>,
    /// Reads that have begun and not arrived.
    n_in_flight: usize,
    /// The layer that is computed; none before the first one of a step.
    layer_idx: Option<usize>,
    /// Its experts that are needed and not yet handed out.
    needed: Vec<bool>,
    /// Whether the step needs every expert.
    is_sweep: bool,
    /// Counts the layers that were computed, to tell what was used before what.
    n_visits: u64,
    /// Bytes that the step has read.
    disk_bytes: u64,
    failure: Option<ReadError>,
}

/// The experts of a layer.
struct LayerStore {
    places: Vec<Arc<Place>>,
    /// Bytes of a buffer that any of them fits into.
    buffer_bytes: usize,
    /// How many may stay, and how many do or are read in order to.
    n_slots: usize,
    n_taken: usize,
    at_hand: Vec<Option<AtHand>>,
}

/// An expert in memory.
struct AtHand {
    pages: Arc<Pages>,
    stays: bool,
    /// The last visit of its layer that used it.
    last_used: u64,
}

/// A step that is expected to leave a larger part of the experts alone is no sweep.
const MOST_UNTOUCHED: f64 = 0.02;

/// Whether a step of so many tokens is expected to need every expert, or all but a few.
fn is_sweep(n_tokens: usize, top_k: usize, n_experts: usize) -> bool {
    let untouched_by_one = 1.0 - top_k.clamp(1, n_experts) as f64 / n_experts as f64;
    untouched_by_one.powf(n_tokens as f64) <= MOST_UNTOUCHED
}

impl Store {
    /// A store that holds experts in at most `n_bytes`, or a few where that is less than
    /// [`least_bytes`]. Nothing is read yet.
    ///
    /// # Errors
    /// If a file cannot be read, or the system refuses threads.
    pub fn new(files: &mut Files<'_>, layers: &[Layer], n_bytes: u64) -> Result<Store, ReadError> {
        let place = |expert: &Expert| files.place(&expert.matrices()).map(Arc::new);
        let places = layers.iter().flat_map(|layer| &layer.experts).map(place);
        let places = places.collect::<Result<Vec<_>, _>>()?;
        let n_experts = layers.first().map_or(1, |layer| layer.experts.len());
        let of_layers = places.chunks(n_experts);
        let largest = |places: &[Arc<Place>]| places.iter().map(|place| place.n_bytes()).max();
        let buffer_bytes: Vec<usize> =
            of_layers.clone().map(|places| largest(places).unwrap_or(0)).collect();
        let layers = of_layers.zip(&buffer_bytes).map(|(places, &buffer_bytes)| LayerStore {
            places: places.to_vec(),
            buffer_bytes,
            n_slots: 0,
            n_taken: 0,
            at_hand: places.iter().map(|_| None).collect(),
        });
        let mut store = Store {
            layers: layers.collect(),
            readers: Readers::new().map_err(|error| files.failed(error))?,
            n_passing: 0,
            n_made: 0,
            free: Vec::new(),
            passing_bytes: buffer_bytes.into_iter().max().unwrap_or(0),
            queue: VecDeque::new(),
            n_in_flight: 0,
            layer_idx: None,
            needed: Vec::new(),
            is_sweep: false,
            n_visits: 0,
            disk_bytes: 0,
            failure: None,
        };
        store.resize(n_bytes);
        Ok(store)
    }

    /// Shares out `n_bytes` anew, between two steps. What does not fit any more gives way.
    pub fn resize(&mut self, n_bytes: u64) {
        let n_experts = self.layers.first().map_or(1, |layer| layer.places.len());
        let sizes: Vec<u64> = self.layers.iter().map(|layer| layer.buffer_bytes as u64).collect();
        let plan = Plan::new(n_bytes, n_experts, &sizes, self.is_sweep);
        self.n_passing = plan.n_passing;
        while self.n_made > self.n_passing && self.free.pop().is_some() {
            self.n_made -= 1;
        }
        for (layer, n_slots) in self.layers.iter_mut().zip(plan.n_slots) {
            layer.n_slots = n_slots;
            while layer.n_taken > n_slots && layer.evict(|_| false).is_some() {
                layer.n_taken -= 1;
            }
        }
    }

    /// The same matrix in memory of its own, to which it is read now.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn resident(&self, files: &mut Files<'_>, matrix: &Matrix) -> Result<Matrix, ReadError> {
        let place = files.place(&[matrix])?;
        Ok(place.matrix(matrix, &self.readers.read(&place)?))
    }

    /// Experts that stay in memory once they were read, layer by layer.
    pub fn n_slots(&self) -> impl Iterator<Item = usize> {
        self.layers.iter().map(|layer| layer.n_slots)
    }

    /// Bytes of the buffers there are.
    pub fn held_bytes(&self) -> u64 {
        let passing = self.n_made * self.passing_bytes;
        let stay = self.layers.iter().map(|layer| layer.n_taken * layer.buffer_bytes);
        (passing + stay.sum::<usize>()) as u64
    }

    /// Begins a step of so many tokens, each of which goes to `top_k` experts, with experts in at most
    /// `n_bytes`, or a few where that is less than [`least_bytes`].
    pub fn begin_step(&mut self, n_tokens: usize, top_k: usize, n_bytes: u64) {
        let n_experts = self.layers.first().map_or(1, |layer| layer.places.len());
        (self.layer_idx, self.disk_bytes) = (None, 0);
        self.is_sweep = is_sweep(n_tokens, top_k, n_experts);
        self.resize(n_bytes);
        if self.is_sweep {
            for layer_idx in 0..self.layers.len() {
                self.ask_for(layer_idx, |_| true);
            }
            self.begin_reads();
        }
    }

    /// Begins a layer of which these experts are needed.
    pub fn begin_layer(&mut self, layer_idx: usize, needed: Vec<bool>) {
        self.take_back();
        (self.layer_idx, self.needed) = (Some(layer_idx), needed);
        self.n_visits += 1;
        let at_hand = self.layers[layer_idx].at_hand.iter_mut().zip(&self.needed);
        for (at_hand, _) in at_hand.filter(|(_, needed)| **needed) {
            at_hand.iter_mut().for_each(|at_hand| at_hand.last_used = self.n_visits);
        }
        if self.is_sweep {
            let needed = &self.needed;
            let layer = &mut self.layers[layer_idx];
            self.queue.retain(|(request, _)| {
                let is_wanted = request.layer_idx != layer_idx || needed[request.expert_idx];
                layer.n_taken -= usize::from(!is_wanted && request.stays);
                is_wanted
            });
        } else {
            let needed = self.needed.clone();
            self.ask_for(layer_idx, |expert_idx| needed[expert_idx]);
        }
        self.take_back();
    }

    /// More experts of the layer that are needed and at hand, by their index; none when all were handed
    /// out. What it has returned before must be gone.
    ///
    /// # Errors
    /// If the disk fails. The step is to be ended then.
    pub fn next_wave(&mut self, layer: &Layer) -> Result<Option<Vec<Option<Expert>>>, ReadError> {
        self.take_back();
        let Some(layer_idx) = self.layer_idx.filter(|_| self.needed.contains(&true)) else {
            return Ok(None);
        };
        loop {
            while let Some(arrival) = self.readers.arrived() {
                self.accept(arrival);
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            let LayerStore { places, at_hand, .. } = &self.layers[layer_idx];
            let experts = layer.experts.iter().zip(places).zip(at_hand).zip(&mut self.needed);
            let wave = experts.map(|(((expert, place), at_hand), needed)| {
                let at_hand = at_hand.as_ref().filter(|_| *needed)?;
                *needed = false;
                Some(place.expert(expert, &at_hand.pages))
            });
            let wave: Vec<_> = wave.collect();
            if wave.iter().any(Option::is_some) {
                return Ok(Some(wave));
            }
            let arrival = self.readers.wait();
            self.accept(arrival);
        }
    }

    /// Ends a step, whether all of its layers were computed or not. Returns the bytes that it has read.
    pub fn end_step(&mut self) -> u64 {
        for (request, _) in std::mem::take(&mut self.queue) {
            self.layers[request.layer_idx].n_taken -= usize::from(request.stays);
        }
        self.layer_idx = Some(self.layers.len());
        while self.n_in_flight > 0 {
            let arrival = self.readers.wait();
            self.accept(arrival);
        }
        self.take_back();
        self.failure = None;
        self.disk_bytes
    }

    /// Puts experts of a layer that are wanted and not in memory at the end of the queue.
    fn ask_for(&mut self, layer_idx: usize, is_wanted: impl Fn(usize) -> bool) {
        let layer = &mut self.layers[layer_idx];
        for expert_idx in 0..layer.places.len() {
            if layer.at_hand[expert_idx].is_some() || !is_wanted(expert_idx) {
                continue;
            }
            let mut pages = None;
            let mut stays = layer.n_taken < layer.n_slots;
            layer.n_taken += usize::from(stays);
            if !stays && !self.is_sweep {
                let victim = layer.evict(&is_wanted);
                stays = victim.is_some();
                pages = victim.and_then(Arc::into_inner);
            }
            self.queue.push_back((Request { layer_idx, expert_idx, stays }, pages));
        }
    }

    /// Begins to read what is next in the queue, as long as there are buffers for it.
    fn begin_reads(&mut self) {
        while let Some((request, pages)) = self.queue.front_mut() {
            let mut pages = pages.take();
            let layer = &self.layers[request.layer_idx];
            let mut n_bytes = layer.buffer_bytes;
            if !request.stays {
                n_bytes = self.passing_bytes;
                pages = self.free.pop();
                if pages.is_none() && self.n_made == self.n_passing {
                    return;
                }
                self.n_made += usize::from(pages.is_none());
            }
            let place = &layer.places[request.expert_idx];
            self.disk_bytes += place.n_bytes() as u64;
            self.n_in_flight += 1;
            self.readers.begin(*request, Arc::clone(place), pages, n_bytes);
            self.queue.pop_front();
        }
    }

    /// Takes an expert that was read.
    fn accept(&mut self, Arrival { request, pages, result }: Arrival) {
        let Request { layer_idx, expert_idx, stays } = request;
        self.n_in_flight -= 1;
        let layer = &mut self.layers[layer_idx];
        match (result, pages) {
            (Ok(()), Some(pages)) => {
                let (pages, last_used) = (Arc::new(pages), self.n_visits);
                layer.at_hand[expert_idx] = Some(AtHand { pages, stays, last_used });
            }
            (result, _) => {
                self.failure = self.failure.take().or(result.err());
                layer.n_taken -= usize::from(stays);
                self.n_made -= usize::from(!stays);
            }
        }
        self.take_back_of(layer_idx);
        self.begin_reads();
    }

    /// Takes back the buffers of what has passed, and begins reads with them.
    fn take_back(&mut self) {
        let n_layers = self.layers.len();
        let last = self.layer_idx.map_or(0, |layer_idx| n_layers.min(layer_idx + 1));
        (0..last).for_each(|layer_idx| self.take_back_of(layer_idx));
        self.begin_reads();
    }

    /// Takes back the buffers of a layer's experts that neither stay nor are needed any more.
    fn take_back_of(&mut self, layer_idx: usize) {
        let Some(now) = self.layer_idx.filter(|&now| layer_idx <= now) else { return };
        let at_hand = self.layers[layer_idx].at_hand.iter_mut().enumerate();
        for (expert_idx, at_hand) in at_hand {
            let is_needed = layer_idx == now && self.needed[expert_idx];
            let passed = at_hand.take_if(|at_hand| !at_hand.stays && !is_needed);
            let Some(AtHand { pages, .. }) = passed else { continue };
            match Arc::into_inner(pages) {
                Some(pages) => self.free.push(pages),
                None => self.n_made -= 1,
            }
        }
    }
}

impl LayerStore {
    /// Takes the buffer of the expert that was not used for longest, and is not wanted.
    fn evict(&mut self, is_wanted: impl Fn(usize) -> bool) -> Option<Arc<Pages>> {
        let at_hand = self.at_hand.iter().enumerate();
        let others = at_hand.filter(|&(expert_idx, _)| !is_wanted(expert_idx));
        let stay = others.filter_map(|(expert_idx, at_hand)| {
            let at_hand = at_hand.as_ref().filter(|at_hand| at_hand.stays)?;
            Some((at_hand.last_used, expert_idx))
        });
        let (_, expert_idx) = stay.min()?;
        Some(self.at_hand[expert_idx].take()?.pages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_are_steps_of_many_tokens() {
        let n_tokens: Vec<usize> = (1..64).filter(|&n_tokens| is_sweep(n_tokens, 2, 8)).collect();
        assert_eq!(n_tokens[0], 14);
        assert_eq!(n_tokens.len(), 50);
        assert!(is_sweep(1, 2, 2) && is_sweep(1, 1, 1));
    }
}
