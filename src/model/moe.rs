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

/// Tokens of experts that are evaluated together, if there are more than one: enough work to hand out to
/// all threads, and few enough for little memory between the projections.
const MOST_TOGETHER: usize = 512;

/// Memory that the layers of a step share.
#[derive(Default)]
pub(super) struct Workspace {
    router: Panels,
    random: Panels,
    /// What is between the projections, for each of some experts that are evaluated together.
    between: Vec<Between>,
    /// The outputs of each expert.
    downs: Vec<Panels>,
    /// How many tokens each expert has evaluated in this step, layer by layer.
    pub expert_tokens: Vec<Vec<u64>>,
}

/// What goes into an expert, and what is between its projections.
#[derive(Default)]
struct Between {
    inputs: Inputs,
    gate: Panels,
    up: Panels,
    hidden: Inputs,
}

/// An expert with the tokens that it evaluates.
struct Task<'a> {
    expert_idx: usize,
    expert: &'a Expert,
    tokens: &'a [u32],
}

impl Workspace {
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
    work.downs.resize_with(layer.experts.len(), Panels::default);
    let mut weight_bytes = router_bytes;
    let mut evaluate = |experts: &[Option<&Expert>]| {
        let tasks = tasks(experts, &routing);
        for tasks in together(&tasks) {
            weight_bytes += evaluate(compute, layer_idx, tasks, h, work, gates);
        }
    };
    match store {
        None => evaluate(&layer.experts.iter().map(Some).collect::<Vec<_>>()),
        Some(store) => {
            let is_needed = |tokens: &Vec<u32>| !tokens.is_empty();
            store.begin_layer(layer_idx, routing.tokens.iter().map(is_needed).collect());
            while let Some(wave) = store.next_wave(layer)? {
                evaluate(&wave.iter().map(Option::as_ref).collect::<Vec<_>>());
            }
        }
    }
    combine(compute, &routing, &work.downs, dim, x);
    Ok(weight_bytes)
}

/// Those of a layer's experts that are there and have tokens.
fn tasks<'a>(experts: &[Option<&'a Expert>], routing: &'a Routing) -> Vec<Task<'a>> {
    let experts = experts.iter().zip(&routing.tokens).enumerate();
    let tasks = experts.filter_map(|(expert_idx, (expert, tokens))| {
        let expert = expert.filter(|_| !tokens.is_empty())?;
        Some(Task { expert_idx, expert, tokens })
    });
    tasks.collect()
}

/// Experts in groups of up to [`MOST_TOGETHER`] tokens, or of one.
fn together<'t, 'a>(tasks: &'t [Task<'a>]) -> impl Iterator<Item = &'t [Task<'a>]> {
    let mut n_tokens = 0;
    tasks.chunk_by(move |task, next| {
        n_tokens += task.tokens.len();
        let do_fit = n_tokens + next.tokens.len() <= MOST_TOGETHER;
        if !do_fit {
            n_tokens = 0;
        }
        do_fit
    })
}

/// Evaluates experts for their tokens. Returns the bytes of weights that were read.
fn evaluate(
    compute: &Compute,
    layer_idx: usize,
    tasks: &[Task<'_>],
    h: &Inputs,
    work: &mut Workspace,
    gates: &mut Gates<'_>,
) -> u64 {
    let Workspace { between, downs, .. } = work;
    if between.len() < tasks.len() {
        between.resize_with(tasks.len(), Between::default);
    }
    let between = &mut between[..tasks.len()];
    let mut cols = 0;
    for (Between { inputs, hidden, .. }, Task { expert, tokens, .. }) in
        between.iter_mut().zip(tasks)
    {
        let Expert { gate, up, down, .. } = expert;
        inputs.reset((tokens.len(), gate.cols), [gate, up], false);
        hidden.reset((tokens.len(), down.cols), [down], gates.watch_inputs());
        cols = down.cols;
    }
    let inputs = between.iter_mut().map(|between| &mut between.inputs);
    gather(inputs.zip(tasks.iter().map(|task| task.tokens)), h);
    let gate_up_bytes = multiply(compute, gate_up(tasks, between));

    let mut projected = Vec::new();
    let mut hiddens = Vec::new();
    for (idx, Between { gate, up, hidden, .. }) in between.iter_mut().enumerate() {
        projected.push((&*gate, &*up));
        hiddens.push((idx, &mut *hidden));
    }
    fill(compute, hiddens, cols, |idx, place, hidden| {
        let (gate, up) = projected[idx];
        gate.copy_token(place, hidden);
        up.with_token(place, hidden, |gate, up| compute.isa.silu_mul(gate, up));
    });
    if let Some(sums) = &mut gates.inputs {
        for (Between { hidden, .. }, task) in between.iter().zip(tasks) {
            sums.add_hidden((layer_idx, task.expert_idx), hidden.floats(), task.tokens);
        }
    }
    gate_up_bytes + multiply(compute, down(tasks, between, downs))
}

/// The gate and up projections of experts, for their tokens (a grouped GEMM).
fn gate_up<'a>(
    tasks: &'a [Task<'_>],
    between: &'a mut [Between],
) -> impl Iterator<Item = Product<'a>> {
    tasks.iter().zip(between).flat_map(|(Task { expert, .. }, between)| {
        let Between { inputs, gate, up, .. } = between;
        let gate = Product { matrix: &expert.gate, inputs, out: gate };
        [gate, Product { matrix: &expert.up, inputs, out: up }]
    })
}

/// The down projection of experts, applied to the product of the two of [`gate_up`].
fn down<'a>(
    tasks: &'a [Task<'_>],
    between: &'a [Between],
    downs: &'a mut [Panels],
) -> impl Iterator<Item = Product<'a>> {
    let mut tasks = tasks.iter().zip(between).peekable();
    downs.iter_mut().enumerate().filter_map(move |(expert_idx, out)| {
        let (task, between) = tasks.next_if(|(task, _)| task.expert_idx == expert_idx)?;
        Some(Product { matrix: &task.expert.down, inputs: &between.hidden, out })
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
