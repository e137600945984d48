//! The sparse mixture of experts (arXiv 2401.04088): a router picks `top_k` experts per token, and
//! only those are evaluated, each once for all tokens that picked it.

use super::ReadError;
use super::product::{Inputs, Panels, Product, fill, gather, multiply};
use super::routes::{Choice, Gates};
use super::store::Store;
use super::weights::{Expert, Layer, Matrix};
use crate::compute::Compute;
use gatefold_quant::Isa;
use rayon::prelude::*;

/// Which tokens each expert evaluates (token dispatch).
struct Routing {
    /// Per expert, its tokens.
    tokens: Vec<Vec<u32>>,
    /// Per token, where its experts' outputs are, in the order of the router's choice.
    chosen: Vec<Vec<Place>>,
}

/// A token's place at one of its experts.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    expert_idx: usize,
    /// Its number among the expert's tokens.
    place: usize,
    /// How much the output counts.
    weight: f32,
}

impl Routing {
    fn new(n_experts: usize, choices: &[Vec<Choice>]) -> Routing {
        let mut tokens = vec![Vec::new(); n_experts];
        let mut place_of = |token_idx: usize, &Choice { expert_idx, weight }: &Choice| {
            let tokens = &mut tokens[expert_idx];
            tokens.push(token_idx as u32);
            Place { expert_idx, place: tokens.len() - 1, weight }
        };
        let chosen = choices.iter().enumerate().map(|(token_idx, choices)| {
            choices.iter().map(|choice| place_of(token_idx, choice)).collect()
        });
        let chosen = chosen.collect();
        Routing { tokens, chosen }
    }
}

/// Top-k routing of one token: the experts of the `top_k` largest router logits, the lower index
/// first among equals, weighted by the softmax over just them.
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

/// Memory that the layers of a step share; vectors have an element per expert.
#[derive(Default)]
pub(super) struct Workspace {
    router: Panels,
    random: Panels,
    inputs: Vec<Inputs>,
    gates: Vec<Panels>,
    ups: Vec<Panels>,
    hidden: Vec<Inputs>,
    downs: Vec<Panels>,
    /// How many tokens each expert has evaluated in this step, layer by layer.
    pub expert_tokens: Vec<Vec<u64>>,
}

impl Workspace {
    fn reset(&mut self, layer: &Layer, routing: &Routing, is_watched: bool) {
        let n_experts = layer.experts.len();
        for panels in [&mut self.gates, &mut self.ups, &mut self.downs] {
            panels.resize_with(n_experts, Panels::default);
        }
        for inputs in [&mut self.inputs, &mut self.hidden] {
            inputs.resize_with(n_experts, Inputs::default);
        }
        let inputs = self.inputs.iter_mut().zip(&mut self.hidden);
        for ((expert, tokens), (inputs, hidden)) in
            layer.experts.iter().zip(&routing.tokens).zip(inputs)
        {
            inputs.reset((tokens.len(), expert.gate.cols), [&expert.gate, &expert.up], false);
            hidden.reset((tokens.len(), expert.down.cols), [&expert.down], is_watched);
        }
    }

    fn count(&mut self, routing: &Routing) {
        let n_tokens = routing.tokens.iter().map(|tokens| tokens.len() as u64);
        self.expert_tokens.push(n_tokens.collect());
    }
}

/// Adds the experts' outputs for normalized rows `h` to the residual rows `x`, `[n_tokens, dim]`.
/// `h` must be filled for [`input_matrices`]. Returns the bytes of weights that were read.
///
/// Experts that are not in memory come from `store`, and are computed with as they come, wave by wave.
/// Outputs lie expert by expert, so that waves leave no trace in the result.
///
/// # Errors
/// If the store cannot read them.
pub(super) fn add_experts(
    compute: &Compute,
    (layer_idx, layer): (usize, &Layer),
    top_k: usize,
    h: &Inputs,
    x: &mut [f32],
    (work, store): (&mut Workspace, Option<&mut Store>),
    gates: &mut Gates<'_>,
) -> Result<u64, ReadError> {
    let dim = layer.ffn_norm.len();
    let (choices, router_bytes) = choices(
        compute,
        layer,
        top_k,
        h,
        x.len() / dim,
        &mut work.router,
        gates.left_out(layer_idx),
    );
    if layer.router.is_some() {
        watch(compute, layer_idx, &choices, h, &mut work.random, gates);
    }
    let routing = Routing::new(layer.experts.len(), &choices);
    work.count(&routing);
    if let Some(inputs) = &mut gates.inputs {
        inputs.add_experts(layer_idx, h.floats(), &routing.tokens);
    }
    let is_watched = gates.watch_inputs();
    let mut weight_bytes = router_bytes;
    let gather = |work: &mut Workspace| {
        work.reset(layer, &routing, is_watched);
        gather(&mut work.inputs, h, &routing.tokens);
    };
    match store {
        None => {
            gather(work);
            let experts: Vec<_> = layer.experts.iter().map(Some).collect();
            weight_bytes += evaluate(compute, &experts, work);
        }
        Some(store) => {
            let is_needed = |tokens: &Vec<u32>| !tokens.is_empty();
            store.begin_layer(layer_idx, routing.tokens.iter().map(is_needed).collect());
            gather(work);
            while let Some(wave) = store.next_wave(layer)? {
                let experts: Vec<_> = wave.iter().map(Option::as_ref).collect();
                weight_bytes += evaluate(compute, &experts, work);
            }
        }
    }
    if let Some(inputs) = &mut gates.inputs {
        for (expert_idx, (hidden, tokens)) in work.hidden.iter().zip(&routing.tokens).enumerate() {
            inputs.add_hidden((layer_idx, expert_idx), hidden.floats(), tokens);
        }
    }
    combine(compute, &routing, &work.downs, dim, x);
    Ok(weight_bytes)
}

/// Evaluates those of a layer's experts that are there, for their tokens. Returns the bytes of weights
/// that were read.
fn evaluate(compute: &Compute, experts: &[Option<&Expert>], work: &mut Workspace) -> u64 {
    let gate_up_bytes = multiply(compute, gate_up(experts, work));
    let Workspace { gates, ups, hidden, .. } = work;
    let cols = experts.iter().flatten().next().map_or(0, |expert| expert.down.cols);
    let hidden = hidden.iter_mut().enumerate().filter(|(idx, _)| experts[*idx].is_some());
    fill(compute, hidden, cols, |expert_idx, place, hidden| {
        gates[expert_idx].copy_token(place, hidden);
        ups[expert_idx].with_token(place, hidden, |gate, up| compute.isa.silu_mul(gate, up));
    });
    gate_up_bytes + multiply(compute, down(experts, work))
}

/// The gate and up projections of experts, for their tokens (a grouped GEMM).
fn gate_up<'a>(
    experts: &[Option<&'a Expert>],
    work: &'a mut Workspace,
) -> impl Iterator<Item = Product<'a>> {
    let outs = work.gates.iter_mut().zip(&mut work.ups);
    let experts = experts.iter().zip(&work.inputs).zip(outs);
    experts.flat_map(|((expert, inputs), (gate, up))| {
        let products = expert.map(|expert| {
            let gate = Product { matrix: &expert.gate, inputs, out: gate };
            [gate, Product { matrix: &expert.up, inputs, out: up }]
        });
        products.into_iter().flatten()
    })
}

/// The down projection of experts, applied to the product of the two of [`gate_up`].
fn down<'a>(
    experts: &[Option<&'a Expert>],
    work: &'a mut Workspace,
) -> impl Iterator<Item = Product<'a>> {
    let experts = experts.iter().zip(&work.hidden).zip(&mut work.downs);
    experts.filter_map(|((expert, inputs), out)| {
        expert.map(|expert| Product { matrix: &expert.down, inputs, out })
    })
}

/// Adds each token's experts to its residual row, in the order of the router's choice.
fn combine(compute: &Compute, routing: &Routing, downs: &[Panels], dim: usize, x: &mut [f32]) {
    x.par_chunks_exact_mut(dim).zip(&routing.chosen).for_each(|(x, chosen)| {
        for &Place { expert_idx, place, weight } in chosen {
            downs[expert_idx].with_token(place, x, |x, out| compute.isa.add_scaled(x, weight, out));
        }
    });
}

/// The matrices that a layer's normalized rows are multiplied with.
pub(super) fn input_matrices(layer: &Layer) -> impl Iterator<Item = &Matrix> {
    let experts = layer.experts.iter().flat_map(|Expert { gate, up, .. }| [gate, up]);
    layer.router.iter().chain(experts)
}

/// What the router chooses for each token, without the expert that is `left_out`, and the bytes of
/// weights that were read.
fn choices(
    compute: &Compute,
    layer: &Layer,
    top_k: usize,
    h: &Inputs,
    n_tokens: usize,
    logits: &mut Panels,
    left_out: Option<usize>,
) -> (Vec<Vec<Choice>>, u64) {
    let Some(router) = &layer.router else {
        return (vec![vec![Choice { expert_idx: 0, weight: 1.0 }]; n_tokens], 0);
    };
    let weight_bytes = multiply(compute, [Product { matrix: router, inputs: h, out: logits }]);
    let mut token_logits = vec![0.0; router.rows];
    let choices = (0..n_tokens).map(|token_idx| {
        logits.copy_token(token_idx, &mut token_logits);
        left_out.into_iter().for_each(|expert_idx| token_logits[expert_idx] = f32::NEG_INFINITY);
        route(compute.isa, &token_logits, top_k)
    });
    (choices.collect(), weight_bytes)
}

/// Hands a layer's choices to whoever watches, with those of random routers where they are wanted.
fn watch(
    compute: &Compute,
    layer_idx: usize,
    choices: &[Vec<Choice>],
    h: &Inputs,
    logits: &mut Panels,
    gates: &mut Gates<'_>,
) {
    let mut first_choices = Vec::new();
    if let Some(matrix) = gates.random(layer_idx) {
        multiply(compute, [Product { matrix: &matrix, inputs: h, out: logits }]);
        let n_experts = gates.n_random_experts();
        first_choices = vec![0; choices.len() * (matrix.rows / n_experts)];
        let tokens = first_choices.par_chunks_mut(matrix.rows / n_experts).enumerate();
        tokens.for_each_init(
            || vec![0.0; matrix.rows],
            |token_logits, (token_idx, chosen)| {
                logits.copy_token(token_idx, token_logits);
                for (chosen, logits) in chosen.iter_mut().zip(token_logits.chunks(n_experts)) {
                    *chosen = first_choice(logits);
                }
            },
        );
    }
    if let Some(routes) = &mut gates.routes {
        routes.push_layer(choices, first_choices);
    }
}

/// The expert of the largest logit, the lower index among equals.
fn first_choice(logits: &[f32]) -> u16 {
    let better = |best: usize, idx: usize| if logits[idx] > logits[best] { idx } else { best };
    (1..logits.len()).fold(0, better) as u16
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
    fn every_expert_gets_its_tokens_in_order() {
        let choice = |expert_idx| Choice { expert_idx, weight: 0.5 };
        let choices = [vec![choice(2), choice(0)], vec![choice(0), choice(1)]];
        let routing = Routing::new(3, &choices);
        assert_eq!(routing.tokens, [vec![0, 1], vec![1], vec![0]]);
        let place = |expert_idx, place| Place { expert_idx, place, weight: 0.5 };
        assert_eq!(routing.chosen, [[place(2, 0), place(0, 0)], [place(0, 1), place(1, 0)]]);
    }
}
