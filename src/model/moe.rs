//! The sparse mixture of experts (arXiv 2401.04088): a router picks `top_k` experts per token, and
//! only those are evaluated, each once for all tokens that picked it.

use super::product::{Inputs, Panels, Product, multiply};
use super::weights::{Expert, Layer, Matrix};
use crate::compute::Compute;
use gatefold_quant::Isa;
use rayon::prelude::*;
use std::mem;

/// An expert that a token was sent to, and how much its output counts.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Choice {
    expert_idx: usize,
    weight: f32,
}

/// Which tokens each expert evaluates. A *slot* is one token at one expert; slots are numbered
/// expert by expert.
struct Routing {
    /// Per expert, its tokens.
    tokens: Vec<Vec<u32>>,
    /// Per token, its slots and their weights, in the order of the router's choice.
    chosen: Vec<Vec<(usize, f32)>>,
    /// Per slot, its expert and its place among the expert's tokens.
    places: Vec<(usize, usize)>,
    /// The numbers of all slots.
    slots: Vec<u32>,
}

impl Routing {
    fn new(n_experts: usize, choices: &[Vec<Choice>]) -> Routing {
        let mut tokens = vec![Vec::new(); n_experts];
        for (token_idx, choices) in choices.iter().enumerate() {
            for choice in choices {
                tokens[choice.expert_idx].push(token_idx as u32);
            }
        }
        let places_of = |(expert_idx, tokens): (usize, &Vec<u32>)| {
            (0..tokens.len()).map(move |place| (expert_idx, place))
        };
        let places: Vec<_> = tokens.iter().enumerate().flat_map(places_of).collect();
        // Tokens reach each expert in order, so its next slot is the next token's.
        let mut next_slot: Vec<usize> = tokens
            .iter()
            .scan(0, |next, tokens| Some(mem::replace(next, *next + tokens.len())))
            .collect();
        let mut slot_of = |choice: &Choice| {
            let next = &mut next_slot[choice.expert_idx];
            (mem::replace(next, *next + 1), choice.weight)
        };
        let chosen =
            choices.iter().map(|choices| choices.iter().map(&mut slot_of).collect()).collect();
        let slots = (0..places.len() as u32).collect();
        Routing { tokens, chosen, places, slots }
    }
}

/// The `top_k` largest logits, the lower index first among equals, weighted by the softmax over
/// just them.
fn route(isa: Isa, logits: &[f32], top_k: usize) -> Vec<Choice> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    // Stable, so equal logits keep their order. NaN ranks as the total order has it.
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    order.truncate(top_k);
    let mut weights: Vec<f32> = order.iter().map(|&expert_idx| logits[expert_idx]).collect();
    let max = weights[0];
    let sum = isa.exp_sum(&mut weights, max);
    let choices = order.into_iter().zip(weights);
    choices.map(|(expert_idx, weight)| Choice { expert_idx, weight: weight / sum }).collect()
}

/// Memory that the layers of a step share.
#[derive(Default)]
pub(super) struct Workspace {
    router: Panels,
    gates: Vec<Panels>,
    ups: Vec<Panels>,
    hidden: Inputs,
    downs: Vec<Panels>,
}

/// Adds the experts' outputs for normalized rows `h` to the residual rows `x`, `[n_tokens, dim]`.
/// `h` must be filled for [`input_matrices`]. Returns the bytes of weights that were read.
pub(super) fn add_experts(
    compute: &Compute,
    layer: &Layer,
    top_k: usize,
    h: &Inputs,
    x: &mut [f32],
    work: &mut Workspace,
) -> u64 {
    let dim = layer.ffn_norm.len();
    let (routing, router_bytes) =
        routing(compute, layer, top_k, h, x.len() / dim, &mut work.router);
    for panels in [&mut work.gates, &mut work.ups, &mut work.downs] {
        panels.resize_with(layer.experts.len(), Panels::default);
    }
    let gate_up_bytes = multiply(compute, h, gate_up(layer, &routing, work));
    activate(compute, layer, &routing, work);
    let down_bytes = multiply(compute, &work.hidden, down(layer, &routing, &mut work.downs));
    combine(compute, &routing, &work.downs, dim, x);
    router_bytes + gate_up_bytes + down_bytes
}

/// `gate x` and `up x` of every expert, for its tokens.
fn gate_up<'a>(
    layer: &'a Layer,
    routing: &'a Routing,
    work: &'a mut Workspace,
) -> Vec<Product<'a>> {
    let experts = layer.experts.iter().zip(&routing.tokens);
    let outs = work.gates.iter_mut().zip(&mut work.ups);
    let products = experts.zip(outs).flat_map(|((expert, tokens), (gate, up))| {
        let gate = Product { matrix: &expert.gate, tokens, out: gate };
        [gate, Product { matrix: &expert.up, tokens, out: up }]
    });
    products.collect()
}

/// `silu(gate) * up`, a row per slot.
fn activate(compute: &Compute, layer: &Layer, routing: &Routing, work: &mut Workspace) {
    let Workspace { gates, ups, hidden, .. } = work;
    let shape = (routing.places.len(), layer.experts[0].down.cols);
    let downs = layer.experts.iter().map(|expert| &expert.down);
    hidden.fill(compute, shape, downs, |slot, hidden| {
        let (expert_idx, place) = routing.places[slot];
        gates[expert_idx].copy_token(place, hidden);
        ups[expert_idx].with_token(place, hidden, |gate, up| compute.isa.silu_mul(gate, up));
    });
}

/// The down projection of every expert, for its slots.
fn down<'a>(layer: &'a Layer, routing: &'a Routing, outs: &'a mut [Panels]) -> Vec<Product<'a>> {
    let mut slots = &routing.slots[..];
    let experts = layer.experts.iter().zip(&routing.tokens).zip(outs);
    let products = experts.map(|((expert, tokens), out)| {
        let tokens = slots.split_off(..tokens.len()).expect("a slot per token");
        Product { matrix: &expert.down, tokens, out }
    });
    products.collect()
}

/// Adds each token's experts to its residual row, in the order of the router's choice.
fn combine(compute: &Compute, routing: &Routing, downs: &[Panels], dim: usize, x: &mut [f32]) {
    x.par_chunks_exact_mut(dim).zip(&routing.chosen).for_each(|(x, chosen)| {
        for &(slot, weight) in chosen {
            let (expert_idx, place) = routing.places[slot];
            downs[expert_idx].with_token(place, x, |x, out| compute.isa.add_scaled(x, weight, out));
        }
    });
}

/// The matrices that a layer's normalized rows are multiplied with.
pub(super) fn input_matrices(layer: &Layer) -> impl Iterator<Item = &Matrix> {
    let experts = layer.experts.iter().flat_map(|Expert { gate, up, .. }| [gate, up]);
    layer.router.iter().chain(experts)
}

fn routing(
    compute: &Compute,
    layer: &Layer,
    top_k: usize,
    h: &Inputs,
    n_tokens: usize,
    logits: &mut Panels,
) -> (Routing, u64) {
    let Some(router) = &layer.router else {
        let all = vec![vec![Choice { expert_idx: 0, weight: 1.0 }]; n_tokens];
        return (Routing::new(1, &all), 0);
    };
    let tokens: Vec<u32> = (0..n_tokens as u32).collect();
    let product = Product { matrix: router, tokens: &tokens, out: logits };
    let weight_bytes = multiply(compute, h, vec![product]);
    let mut token_logits = vec![0.0; router.rows];
    let choices: Vec<_> = (0..n_tokens)
        .map(|token_idx| {
            logits.copy_token(token_idx, &mut token_logits);
            route(compute.isa, &token_logits, top_k)
        })
        .collect();
    (Routing::new(layer.experts.len(), &choices), weight_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(logits: &[f32], top_k: usize) -> Vec<usize> {
        route(Isa::detect(), logits, top_k).iter().map(|choice| choice.expert_idx).collect()
    }

    #[test]
    fn ties_go_to_the_lower_index() {
        assert_eq!(picks(&[1.0, 3.0, 3.0, 2.0, 3.0], 2), [1, 2]);
        assert_eq!(picks(&[0.0; 8], 3), [0, 1, 2]);
    }

    #[test]
    fn weights_are_the_softmax_over_the_chosen() {
        let choices = route(Isa::detect(), &[0.0, 2.0, -5.0, 1.0], 2);
        let e = 1f32.exp();
        assert!((choices[0].weight - e / (e + 1.0)).abs() < 1e-6);
        assert!((choices[1].weight - 1.0 / (e + 1.0)).abs() < 1e-6);
    }

    #[test]
    fn slots_are_numbered_expert_by_expert() {
        let choice = |expert_idx| Choice { expert_idx, weight: 0.5 };
        let choices = [vec![choice(2), choice(0)], vec![choice(0), choice(1)]];
        let routing = Routing::new(3, &choices);
        assert_eq!(routing.tokens, [vec![0, 1], vec![1], vec![0]]);
        assert_eq!(routing.chosen, [vec![(3, 0.5), (0, 0.5)], vec![(1, 0.5), (2, 0.5)]]);
        assert_eq!(routing.places, [(0, 0), (0, 1), (1, 0), (2, 0)]);
    }
}
