//! What results are made of has a revision, which goes up where their bits change.

use gatefold::FORMATS;
use gatefold::engine::{NUMERICS_REVISION, Options, Request};
use gatefold::sampler::Sampling;
use gatefold::tokenizer::{ChatTemplate, Message, Tokenizer};
use gatefold_cli::summarize::{Cutter, Length, PromptOptions};
use gatefold_fixtures::small_engine::{Small, run, tokens};
use gatefold_fixtures::vocabulary;

/// Those of revision 1.
const HASHES: [&str; 27] = [
    "F32, F16: ce32f08ee7b5416d",
    "F16, F16: c1299eff728458f5",
    "BF16, F16: 0f71299f857b1cc0",
    "Q4_0, F16: a8f36123bdb91321",
    "Q4_1, F16: 702e5733fda7d483",
    "Q5_0, F16: 321064945ea4f9f2",
    "Q5_1, F16: d394c1240dc2e324",
    "Q8_0, F16: 226bf0367aa0d530",
    "Q2_K, F16: 582f71fd4438640e",
    "Q3_K, F16: e7280d3e64756a34",
    "Q4_K, F16: 6cdcac61705435f3",
    "Q5_K, F16: 32679d5cc1b2ace6",
    "Q6_K, F16: ae5dcdec0979d1aa",
    "IQ4_NL, F16: acf3582aab396cd2",
    "IQ4_XS, F16: c0f8b0262c1be4f2",
    "IQ3_S, F16: 4cadf915e5470009",
    "IQ3_XXS, F16: 3b531a5338947bc8",
    "IQ2_S, F16: bae9fae67002965c",
    "IQ2_XS, F16: a29e7bcc1fd37cf9",
    "IQ2_XXS, F16: 16f536f8cfa084bd",
    "IQ1_M, F16: a3fb0f72fc6016a8",
    "IQ1_S, F16: 9c314c663184ba64",
    "Q8_0, F32: 1e857ecaa9ea65f9",
    "Q8_0, Q8_0: d4f1b7b940ab034c",
    "Q8_0, F16, in three spans of attention: 800bf1cbd43284ec",
    "prompts of summaries: cbecea851fa54fc5",
    "prompts of chats: 1676b67e7f344094",
];

/// Results of one revision may lie in one output, so their bits are the same for good: those of
/// every format of weights and of the cache, of contexts beyond a span of attention, and the tokens
/// that prompts become.
#[test]
fn other_bits_are_another_revision() {
    let request = |n_tokens: usize| {
        let sampling = Sampling { seed: 7, ..Sampling::default() };
        Request { max_tokens: Some(9), ..Request::new(tokens(n_tokens, 1), sampling) }
    };
    let in_format = |format: &str, cache_format: &str| {
        let hash = Small::in_format(format).alone(cache_format, request(100)).logits_hash();
        (format!("{format}, {cache_format}"), hash)
    };
    let mut found: Vec<(String, u64)> =
        FORMATS.iter().map(|format| in_format(format.name, "F16")).collect();
    found.extend(["F32", "Q8_0"].map(|cache_format| in_format("Q8_0", cache_format)));
    found.push(("Q8_0, F16, in three spans of attention".into(), long_context(request(2_100))));
    let tokenizer = Tokenizer::from_metadata(&vocabulary::mistral()).unwrap();
    found.push(("prompts of summaries".into(), hash(&summary_prompts(&tokenizer))));
    found.push(("prompts of chats".into(), hash(&[chat_prompt(&tokenizer)])));
    let found: Vec<String> =
        found.iter().map(|(name, hash)| format!("{name}: {hash:016x}")).collect();
    let expected: Vec<String> = HASHES.map(String::from).into();
    assert_eq!(
        (NUMERICS_REVISION, found),
        (1, expected),
        "results have other bits than those of this revision: if that is meant, raise \
         NUMERICS_REVISION, and put it here with the new hashes (those of weights are also others \
         where quantizing makes others of the same values, which is no reason to raise it)"
    );
}

/// The last logits of a request, of whatever length. Spans are joined in order, at multiples of 1024
/// positions: with three of them, another order shows.
fn long_context(request: Request) -> u64 {
    let small = Small::new();
    let context_len = request.prompt.len() + 16;
    let mut engine = small.engine(Options { context_len, ..small.options("F16") });
    let id = engine.submit(request).unwrap();
    run(&mut engine)[&id].as_ref().unwrap().logits_hash()
}

/// FNV-1a over the ids of prompts.
fn hash(prompts: &[Vec<u32>]) -> u64 {
    let bytes = prompts.iter().flatten().flat_map(|id| id.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What a model is asked about a text that takes several prompts.
fn summary_prompts(tokenizer: &Tokenizer) -> Vec<Vec<u32>> {
    let wishes = PromptOptions {
        language: Some("German".into()),
        length: Some(Length::Bullets),
        ..PromptOptions::default()
    };
    let prompts = wishes.prompts(ChatTemplate::mistral()).unwrap();
    let cutter = Cutter::new(tokenizer, prompts, 128, 24).unwrap();
    let text = "It was a dark and stormy night; the rain fell in torrents (as it does).\n\n\
        \u{201c}Who\u{2019}s there?\u{201d} \u{2013} \u{4f60}\u{597d}, said the r\u{e9}sum\u{e9}. \
        12,345.67 times? Yes!\n- one\n- two\n";
    let found = cutter.prompts(&text.repeat(4)).unwrap();
    assert!(found.len() > 3);
    found
}

fn chat_prompt(tokenizer: &Tokenizer) -> Vec<u32> {
    let messages = [
        Message::new("system", "Answer in one word."),
        Message::new("user", "What is  the capital of France?\n"),
        Message::new("assistant", "Paris"),
        Message::new("user", "\u{1f600}?"),
    ];
    ChatTemplate::mistral().encode(tokenizer, &messages).unwrap()
}
