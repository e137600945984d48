//! Answers that are ended from outside.

mod random_mixtral;
mod vocabulary;

use gatefold::compute::Compute;
use gatefold::engine::{FinishReason, Generated, Generation, Sequence};
use gatefold::model::Model;
use gatefold::sampler::{Sampler, Sampling};
use gatefold::tokenizer::Tokenizer;
use gatefold_quant::{DynFormat, Isa};
use random_mixtral::{ExpertLayout, N_VOCAB};
use std::ops::ControlFlow;

const PROMPT: [u32; 7] = [1, 415, 5565, 302, 4843, 349, 264];
const BATCH_LEN: usize = 2;

/// Generates after `PROMPT` until one of these says so, with these numbers of tokens: read by
/// chunks, and made.
fn generate(
    sequence: &mut Sequence<'_>,
    tokenizer: &Tokenizer,
    ends_prompt: impl Fn(usize) -> bool,
    ends_answer: impl Fn(usize) -> bool,
) -> Generated {
    let flow = |ends| if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let mut n_made = 0;
    let generation = Generation {
        is_own_text: false,
        prompt: &PROMPT,
        max_tokens: Some(6),
        stops: &[],
        prompt_progress: &mut |n_read| flow(ends_prompt(n_read)),
        on_text: &mut |_| {
            n_made += 1;
            flow(ends_answer(n_made))
        },
    };
    let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
    let mut sampler = Sampler::new(Isa::detect(), greedy);
    generation.run(sequence, tokenizer, &mut sampler).unwrap()
}

#[test]
fn an_ended_answer_can_be_taken_up_again() {
    let model =
        Model::load(&random_mixtral::gguf(N_VOCAB, "Q8_0", ExpertLayout::Separate)).unwrap();
    let compute = Compute::new(Isa::detect(), None).unwrap();
    let tokenizer = Tokenizer::from_metadata(&vocabulary::mistral()).unwrap();
    let f16 = DynFormat::by_name("F16").unwrap();
    let new_sequence = || Sequence::new(&model, &compute, f16, 100, BATCH_LEN).unwrap();
    let whole = generate(&mut new_sequence(), &tokenizer, |_| false, |_| false);
    assert_eq!((whole.finish_reason, whole.tokens.len()), (FinishReason::Length, 6));

    let mut sequence = new_sequence();
    let in_prompt = generate(&mut sequence, &tokenizer, |n_read| n_read >= 4, |_| false);
    assert_eq!((in_prompt.finish_reason, in_prompt.tokens.len()), (FinishReason::Cancelled, 0));
    assert!(in_prompt.text.is_empty() && in_prompt.last_logits.is_empty());
    assert_eq!((in_prompt.prompt_speed.n_tokens, sequence.tokens()), (4, &PROMPT[..4]));

    let in_answer = generate(&mut sequence, &tokenizer, |_| false, |n_made| n_made == 3);
    assert_eq!(in_answer.finish_reason, FinishReason::Cancelled);
    assert_eq!(in_answer.tokens, whole.tokens[..3]);
    assert!(whole.text.starts_with(&in_answer.text), "{:?}", in_answer.text);
    assert_eq!(in_answer.prompt_speed.n_tokens, PROMPT.len() - 4, "the rest of the prompt");

    let again = generate(&mut sequence, &tokenizer, |_| false, |_| false);
    assert_eq!((again.tokens, again.text), (whole.tokens, whole.text));
    assert_eq!(again.last_logits, whole.last_logits);
    assert_eq!(again.prompt_speed.n_tokens, 1, "one token is read again for its logits");
}
