//! The pre-tokenizers, by the names that llama.cpp gives them, with the patterns that the makers
//! of the models publish in `tokenizer.json` (or tiktoken's files). Possessive repetitions are left
//! out, which change no match.
//!
//! Not here are the names of vocabularies that are not byte-level, whatever `tokenizer.ggml.model`
//! says (`gemma4`, `granite-embed-multi-311m`, `sarvam-moe`, `whitespace`), and those of Cohere's
//! later models, which look ahead across words (`tiny_aya`, `cohere2moe`).

use super::Cut::{self, BlanksByPowersOfTwo, DigitsByThree, Matches};
use super::PreTokenizer;

/// GPT-2's.
pub(super) const GPT2: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Llama 3's, and GPT-4's before it: three digits at most, line breaks apart.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As Llama 3's, with each digit by itself.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As Qwen 2's, with combining marks in words.
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Mistral's: words also end where a capital follows a small letter.
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As tekken's, with contractions behind their words and up to three digits.
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const YOUTU: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const KIMI_K2: &str = r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const BAILINGMOE: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const SEED_CODER: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const UFAKZEKA: &str =
    r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const EXAONE_MOE: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+";
const MINICPM5: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK_V3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const SPARK2_5: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+"##;
const BLOOM: &str = r" ?[^(\s|[.,!?…。，、।۔،])]+";
const CASED_LETTERS: &str = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
const SYMBOLS: &str = r"\s?[!-/:-~！-／：-～‘-‟　-。]+";
/// Meant for CJK; from U+0800 on, it takes most scripts of Asia.
const CJK_OF_DEEPSEEK: &str = r"[一-龥ࠀ-一가-퟿]+";
const HAN_AND_KANA: &str = r"[一-龥぀-ゟ゠-ヿ]+";
const ASIAN: &str = r"[一-鿿㐀-䶿豈-﫿぀-ゟ゠-ヿ･-ﾟ⼀-⿟เ-๿຀-໿ក-៿က-႟ꩠ-ꩿꧠ-꧿가-힯ᄀ-ᇿ]+";
const YOUTU_SCRIPTS: &str = r"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+";
pub(super) const PUNCTUATION: &str = r"[\p{P}!-/:-@\[-`{-~]";

/// What a name stands for, where merges count and BOS is put nowhere unless the file says so.
const fn cuts(names: &'static [&'static str], cuts: &'static [Cut]) -> PreTokenizer {
    PreTokenizer { names, cuts, ignores_merges: false, adds_bos: false }
}

pub(super) static PRE_TOKENIZERS: [PreTokenizer; 29] = [
    cuts(
        &[
            "gpt-2",
            "phi-2",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
            "exaone4",
            "a.x-4.0",
            "mellum",
            "gigachat",
            "modern-bert",
            "roberta-bpe",
            "jina-es",
            "jina-de",
            "jina-v1-en",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v2-code",
        ],
        &[Matches(GPT2)],
    ),
    cuts(
        &[
            "smollm",
            "starcoder",
            "refact",
            "command-r",
            "codeshell",
            "exaone",
            "minerva-7b",
            "mellum2",
        ],
        &[Matches(r"\p{N}"), Matches(GPT2)],
    ),
    PreTokenizer {
        ignores_merges: true,
        adds_bos: true,
        ..cuts(
            &[
                "llama-bpe",
                "llama3",
                "llama-v3",
                "falcon3",
                "falcon-h1",
                "pixtral",
                "midm-2.0",
                "lfm2",
                "jina-v5-nano",
            ],
            &[Matches(LLAMA3)],
        )
    },
    cuts(&["dbrx", "smaug-bpe", "chatglm-bpe", "glm4"], &[Matches(LLAMA3)]),
    cuts(
        &[
            "qwen2",
            "deepseek-r1-qwen",
            "stablelm2",
            "hunyuan",
            "solar-open",
            "megrez",
            "grok-2",
            "kormo",
            "f2llmv2",
        ],
        &[Matches(QWEN2)],
    ),
    cuts(&["qwen35"], &[Matches(QWEN35)]),
    PreTokenizer { ignores_merges: true, adds_bos: true, ..cuts(&["tekken"], &[Matches(TEKKEN)]) },
    cuts(&["gpt-4o", "llama4", "kanana2", "minimax-m2", "talkie"], &[Matches(GPT4O)]),
    PreTokenizer { ignores_merges: true, ..cuts(&["granite-embed-multi-97m"], &[Matches(GPT4O)]) },
    cuts(
        &["deepseek-llm"],
        &[
            Matches(r"[\r\n]"),
            Matches(CASED_LETTERS),
            Matches(SYMBOLS),
            Matches(r"\s+$"),
            Matches(CJK_OF_DEEPSEEK),
            Matches(r"\p{N}+"),
        ],
    ),
    // As it is published. Its pieces hold one digit at most, so that both come to the same.
    cuts(
        &["deepseek-llm"],
        &[
            Matches(r"[\r\n]"),
            Matches(CASED_LETTERS),
            Matches(SYMBOLS),
            Matches(r"\s+$"),
            Matches(CJK_OF_DEEPSEEK),
            Matches(r"\p{N}"),
        ],
    ),
    cuts(
        &["deepseek-coder"],
        &[
            Matches(r"[\r\n]"),
            Matches(r"\s?\p{L}+"),
            Matches(r"\s?\p{P}+"),
            Matches(CJK_OF_DEEPSEEK),
            Matches(r"\p{N}"),
        ],
    ),
    cuts(
        &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        &[Matches(r"\p{N}{1,3}"), Matches(HAN_AND_KANA), Matches(DEEPSEEK_V3)],
    ),
    cuts(
        &["spark2_5"],
        &[Matches(r"\p{N}{1,3}"), Matches(HAN_AND_KANA), Matches(SPARK2_5), Matches(r"\p{N}")],
    ),
    PreTokenizer {
        ignores_merges: true,
        ..cuts(&["youtu"], &[Matches(YOUTU_SCRIPTS), Matches(YOUTU)])
    },
    cuts(&["falcon"], &[Matches(r"[\p{P}$+<=>^~|`]+"), Matches(GPT2), Matches(r"[0-9][0-9][0-9]")]),
    cuts(&["bloom", "poro-chat", "gpt3-finnish"], &[Matches(BLOOM)]),
    cuts(&["viking"], &[Matches(BLOOM), Matches(r"\p{N}")]),
    PreTokenizer {
        adds_bos: true,
        ..cuts(
            &["chameleon"],
            &[
                Matches(r"<sentinel:[0-9]+>"),
                Matches(r"(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"),
                Matches(r"([\t\n]|    |  )"),
                Matches(r"\p{N}"),
                Matches(PUNCTUATION),
                Matches(GPT2),
            ],
        )
    },
    cuts(&["kimi-k2"], &[Matches(KIMI_K2)]),
    cuts(&["superbpe"], &[Matches(r"\p{N}+"), DigitsByThree]),
    cuts(&["bailingmoe", "bailingmoe2", "llada-moe"], &[Matches(BAILINGMOE)]),
    cuts(&["seed-coder"], &[Matches(SEED_CODER)]),
    cuts(&["ufakzeka"], &[Matches(UFAKZEKA)]),
    cuts(&["afmoe"], &[Matches(r"\p{N}+"), DigitsByThree, Matches(ASIAN), Matches(DEEPSEEK_V3)]),
    cuts(&["laguna"], &[Matches(r"[^\n]+|[\n]+"), Matches(QWEN2)]),
    cuts(&["exaone-moe"], &[Matches(EXAONE_MOE)]),
    cuts(&["jais-2"], &[Matches(LLAMA3), BlanksByPowersOfTwo]),
    PreTokenizer {
        ignores_merges: true,
        ..cuts(&["minicpm5"], &[Matches(r"\p{N}{1,3}"), Matches(MINICPM5)])
    },
];
