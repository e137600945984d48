//! What grammars allow, by random walks through them: no model takes part.

use gatefold::constraint::Constraint;
use gatefold::grammar::{Grammar, GrammarError, Grammars, Source};
use gatefold::tokenizer::{Specials, TextStream, Tokenizer};
use gatefold_fixtures::vocabulary;
use serde_json::{Value, json};

pub fn mistral() -> Tokenizer {
    Tokenizer::from_metadata(&vocabulary::mistral()).unwrap()
}

pub fn smollm() -> Tokenizer {
    Tokenizer::from_metadata(&vocabulary::smollm2_small("smollm")).unwrap()
}

/// The text of an answer whose tokens are drawn from all that are allowed, each alike; none if it does
/// not come to its end within `most` tokens.
fn walk(tokenizer: &Tokenizer, grammar: &Grammar, seed: u64, most: usize) -> Option<String> {
    let mut state = grammar.begin(true);
    let mut stream = TextStream::from_start(tokenizer);
    let (mut text, mut random) = (String::new(), seed.wrapping_mul(2).wrapping_add(1));
    for _ in 0..most {
        let allowed = state.allowed().unwrap();
        let ids: Vec<u32> =
            (0..tokenizer.n_vocab() as u32).filter(|&id| allowed.contains(id)).collect();
        assert!(!ids.is_empty(), "{text:?} leads nowhere");
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let id = ids[(random >> 33) as usize % ids.len()];
        // Whoever can end does so now and then.
        let can_end = ids.iter().find(|&&id| tokenizer.ends_generation(id));
        if tokenizer.ends_generation(id) || (can_end.is_some() && random >> 40 & 3 == 0) {
            return Some(text + &stream.finish());
        }
        text.push_str(&stream.push(id));
        state.push(id).unwrap();
        if state.is_complete() {
            return Some(text + &stream.finish());
        }
    }
    None
}

/// Whether a text is one of the grammar's, byte by byte.
pub fn accepts(tokenizer: &Tokenizer, grammar: &Grammar, text: &str) -> bool {
    let byte_token = |byte: u8| {
        let piece = format!("<0x{byte:02X}>");
        (0..300).find(|&id| tokenizer.piece(id) == Some(&piece)).unwrap()
    };
    let mut state = grammar.begin(true);
    for id in text.bytes().map(byte_token) {
        if state.is_complete() || !state.allowed().unwrap().contains(id) {
            return false;
        }
        state.push(id).unwrap();
    }
    state.is_complete() || state.allowed().unwrap().contains(tokenizer.eos().unwrap())
}

pub fn compile(tokenizer: &Tokenizer, source: Source) -> Grammar {
    Grammars::new(tokenizer).unwrap().compile(&source).unwrap()
}

fn texts(source: &Source, n: u64) -> Vec<String> {
    let mut texts = Vec::new();
    for tokenizer in [mistral(), smollm()] {
        let grammar = Grammars::new(&tokenizer).unwrap().compile(source).unwrap();
        texts.extend((0..n).filter_map(|seed| walk(&tokenizer, &grammar, seed, 400)));
    }
    assert!(texts.len() as u64 > n / 2, "{} of {} walks come to an end", texts.len(), 2 * n);
    texts
}

#[test]
fn answers_are_instances_of_their_schema() {
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "pattern": "^[A-Z][a-z]{1,9}$"},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "born": {"type": "string", "format": "date"},
            "tags": {"type": "array", "items": {"enum": ["a", "b", 3]}, "minItems": 1, "maxItems": 3},
            "parent": {"anyOf": [{"$ref": "#/$defs/short"}, {"type": "null"}]},
        },
        "required": ["name", "age", "born", "tags"],
        "additionalProperties": false,
        "$defs": {"short": {"type": "string", "maxLength": 4}},
    });
    for text in texts(&Source::JsonSchema(schema), 40) {
        let instance: Value = serde_json::from_str(&text).unwrap();
        let keys: Vec<&String> = instance.as_object().unwrap().keys().collect();
        assert_eq!(&keys[..4], ["name", "age", "born", "tags"], "{text}");
        let name = instance["name"].as_str().unwrap();
        assert!(name.len() > 1 && name.len() < 11 && name.is_ascii(), "{text}");
        assert!(instance["age"].as_u64().unwrap() <= 150, "{text}");
        let born = instance["born"].as_str().unwrap();
        assert!(born.len() == 10 && !born.starts_with("0000") && !born.ends_with("-00"), "{text}");
        let tags = instance["tags"].as_array().unwrap();
        assert!((1..=3).contains(&tags.len()), "{text}");
        assert!(
            tags.iter().all(|tag| ["\"a\"", "\"b\"", "3"].contains(&&*tag.to_string())),
            "{text}"
        );
        match instance.get("parent") {
            None | Some(Value::Null) => {}
            Some(parent) => assert!(parent.as_str().unwrap().chars().count() <= 4, "{text}"),
        }
    }
}

#[test]
fn any_object_is_one() {
    for text in texts(&Source::json_object(), 40) {
        assert!(serde_json::from_str::<Value>(&text).unwrap().is_object(), "{text}");
    }
}

/// With an escape, a further property could have the name of one that has its own schema.
#[test]
fn names_of_properties_have_one_spelling() {
    let tokenizer = mistral();
    let schema = json!({
        "properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "string"},
    });
    let grammar = compile(&tokenizer, Source::JsonSchema(schema));
    assert!(accepts(&tokenizer, &grammar, "{\"a\": 1, \"b\": \"x\"}"));
    assert!(!accepts(&tokenizer, &grammar, "{\"a\": \"x\"}"));
    assert!(!accepts(&tokenizer, &grammar, "{\"\\u0061\": \"x\"}"));
}

/// Classes that pydantic writes: `oneOf` with references, told apart by a constant.
#[test]
fn alternatives_that_exclude_each_other_are_enforced() {
    let kind = |name: &str, value: &str| {
        json!({"type": "object", "properties": {"kind": {"const": name}, "v": {"type": value}},
            "required": ["kind", "v"], "additionalProperties": false})
    };
    let schema = json!({
        "$defs": {"cat": kind("cat", "integer"), "dog": kind("dog", "string")},
        "oneOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}],
        "discriminator": {"propertyName": "kind"},
    });
    let tokenizer = mistral();
    let grammar = compile(&tokenizer, Source::JsonSchema(schema));
    assert!(accepts(&tokenizer, &grammar, "{\"kind\": \"cat\", \"v\": 3}"));
    assert!(accepts(&tokenizer, &grammar, "{\"kind\": \"dog\", \"v\": \"w\"}"));
    assert!(!accepts(&tokenizer, &grammar, "{\"kind\": \"dog\", \"v\": 3}"));
    let overlapping = json!({"oneOf": [{"minimum": 3}, {"multipleOf": 2}]});
    let found = Grammars::new(&tokenizer).unwrap().compile(&Source::JsonSchema(overlapping));
    assert!(matches!(found, Err(GrammarError::Refused { .. })), "{found:?}");
}

/// What pydantic, zod and generators of OpenAPI write every day.
#[test]
fn everyday_schemas_are_enforced() {
    let tokenizer = mistral();
    let pet = |name: &str, value: &str| {
        json!({"type": "object", "properties": {"kind": {"const": name, "default": name}, "v": {"type": value}},
            "additionalProperties": false})
    };
    let email = r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$";
    let decimal = r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$";
    let cases: [(Value, &[&str], &[&str]); 8] = [
        (
            json!({"type": "object", "propertyNames": {"type": "string"},
                "additionalProperties": {"type": "integer"}}),
            &["{\"a\": 1}"],
            &["{\"a\": \"b\"}"],
        ),
        (
            json!({"type": "object", "properties": {"a": {"not": {}}, "b": {}}, "additionalProperties": false}),
            &["{\"b\": 1}"],
            &["{\"a\": 1}"],
        ),
        (
            json!({"oneOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}],
                "discriminator": {"propertyName": "kind", "mapping": {"cat": "#/$defs/cat", "dog": "#/$defs/dog"}},
                "$defs": {"cat": pet("cat", "integer"), "dog": pet("dog", "string")}}),
            &["{\"kind\": \"cat\", \"v\": 3}", "{\"kind\": \"dog\"}"],
            &["{\"kind\": \"cat\", \"v\": \"w\"}", "{}", "{\"v\": 3}"],
        ),
        (
            json!({"type": "string", "format": "password", "maxLength": 2}),
            &["\"ab\""],
            &["\"abc\"", "1"],
        ),
        (
            json!({"type": "integer", "format": "int32"}),
            &["2147483647", "-2147483648", "0"],
            &["2147483648", "-2147483649"],
        ),
        (
            json!({"type": "integer", "format": "int64"}),
            &["9007199254740991"],
            &["9223372036854775808"],
        ),
        (
            json!({"type": "string", "format": "email", "pattern": email}),
            &["\"a.b@c.de\"", "\"a+b@c-d.ef.gh\""],
            &["\"a..b@c.de\"", "\".a@c.de\"", "\"a@c\"", "\"a.@c.de\"", "\"a!@c.de\""],
        ),
        (
            json!({"anyOf": [{"type": "number"}, {"type": "string", "pattern": decimal}]}),
            &["1.5", "\"-1.50\"", "\".5\"", "\"+5.\"", "\"007\""],
            &["\"\"", "\"-\"", "\".\"", "\"-.\"", "\"1.5.\""],
        ),
    ];
    for (schema, instances, others) in cases {
        let grammar = compile(&tokenizer, Source::JsonSchema(schema.clone()));
        for text in instances {
            assert!(accepts(&tokenizer, &grammar, text), "{schema}: {text}");
        }
        for text in others {
            assert!(!accepts(&tokenizer, &grammar, text), "{schema}: {text}");
        }
    }
    let never = compile(&tokenizer, Source::Gbnf("root ::= \"a\"{0} \"b\" [c]{0,0}".into()));
    assert!(accepts(&tokenizer, &never, "b") && !accepts(&tokenizer, &never, "ab"));
}

/// JavaScript's regular expressions, which patterns are.
#[test]
fn patterns_mean_what_they_do_in_javascript() {
    let tokenizer = mistral();
    let grammars = Grammars::new(&tokenizer).unwrap();
    let cases: [(&str, &[&str], &[&str]); 17] = [
        ("b", &["abc", "b"], &["ac", ""]),
        ("^a.c$", &["abc", "a\u{e9}c"], &["a\nc", "a\rc", "a\u{2028}c", "abcd"]),
        (r"^\d+$", &["0123"], &["\u{663}"]),
        (r"^[\d.-]+$", &["1.2-3"], &["a"]),
        (r"^\w$", &["_"], &["\u{e9}"]),
        (r"^\s$", &["\u{feff}", "\u{a0}"], &["\u{85}", "a"]),
        ("^[[a]$", &["[", "a"], &["b"]),
        ("^[a&&b]$", &["&", "a", "b"], &["c"]),
        (r"^\u00e9\uD83D\uDE00\x41$", &["\u{e9}\u{1f600}A"], &["\u{e9}"]),
        ("^a{2}b{,3}$", &["aab{,3}"], &["aab", "aabbb"]),
        ("^(?<year>[0-9]{4})/(?:a|b)$", &["1999/a"], &["1999"]),
        (r"^[^]$", &["\n", "a"], &["aa"]),
        ("^[^\"]*$", &["a\\b", "\n"], &["\"", "a\"b"]),
        (r"^[^\\]+$", &["a\"b"], &["\\", "a\\"]),
        (r"^[\x00-!#-\[\]-\uffff]+$", &["a\n!#"], &["\"", "\\"]),
        (r"^\W\S\D$", &["\"\"\"", "\\\\\\", "-a-"], &["a--"]),
        (r"^\p{Letter}\p{Lu}$", &["aB", "\u{e9}\u{c9}"], &["1B", "ab"]),
    ];
    for (pattern, matching, others) in cases {
        let schema = json!({"type": "string", "pattern": pattern});
        let grammar = grammars.compile(&Source::JsonSchema(schema)).unwrap();
        for (texts, is_match) in [(matching, true), (others, false)] {
            for text in texts {
                let spelled = Value::from(*text).to_string();
                assert_eq!(accepts(&tokenizer, &grammar, &spelled), is_match, "{pattern} {text:?}");
            }
        }
    }
    for pattern in ["(?!a)", r"\bword", r"(a)\1", "(?i)a", r"\k<a>", "[a", r"\uD83D", "a\\"] {
        let schema = json!({"type": "string", "pattern": pattern});
        assert!(grammars.compile(&Source::JsonSchema(schema)).is_err(), "{pattern}");
    }
}

#[test]
fn only_text_is_allowed_and_ends_where_it_may() {
    for tokenizer in [mistral(), smollm()] {
        let grammar = compile(&tokenizer, Source::Regex("(?s)(..)*".into()));
        let mut state = grammar.begin(false);
        let (eos, bos) = (tokenizer.eos().unwrap(), tokenizer.bos().unwrap());
        let unknown = (0..4).find(|&id| tokenizer.piece(id) == Some("<unk>"));
        let allowed = state.allowed().unwrap();
        assert!(allowed.contains(eos), "an empty text is one");
        assert!(!allowed.contains(bos));
        assert!(unknown.is_none_or(|unknown| !allowed.contains(unknown)));
        let n_allowed = (0..tokenizer.n_vocab() as u32).filter(|&id| allowed.contains(id)).count();
        assert!(n_allowed + 140 > tokenizer.n_vocab(), "{n_allowed}");
        let letter = tokenizer.encode("a", Specials::AsText).unwrap().pop().unwrap();
        assert!(tokenizer.decode(&[letter]) == "a");
        let mut state = compile(&tokenizer, Source::Regex("(?s)(..)*".into())).begin(true);
        state.push(letter).unwrap();
        assert!(!state.allowed().unwrap().contains(eos), "one character is none of its texts");
    }
}

/// SentencePiece begins a text with a space that is no part of it.
#[test]
fn a_text_of_its_own_may_begin_with_the_space_before_it() {
    let tokenizer = mistral();
    let id = |piece: &str| {
        (0..tokenizer.n_vocab() as u32).find(|&id| tokenizer.piece(id) == Some(piece)).unwrap()
    };
    let grammar = compile(&tokenizer, Source::Regex("yes".into()));
    let allowed = |is_own_text| grammar.begin(is_own_text).allowed().unwrap();
    let (spaced, plain, blank) = (id("\u{2581}yes"), id("yes"), id("\u{2581}"));
    assert!(allowed(true).contains(spaced) && allowed(true).contains(plain));
    assert!(!allowed(false).contains(spaced) && allowed(false).contains(plain));
    assert!(!allowed(true).contains(blank) && !allowed(false).contains(blank));
    let mut state = grammar.begin(true);
    state.push(spaced).unwrap();
    assert!(state.is_complete());
}

/// What llama.cpp's page on grammars has.
#[test]
fn grammars_of_llama_cpp_are_read() {
    let tokenizer = mistral();
    let grammars = Grammars::new(&tokenizer).unwrap();
    let cases: [(&str, &[&str], &[&str]); 9] = [
        (
            "# chess\nroot ::= (\n  \"1. \" move \" \" move \"\\n\"\n  ([1-9] [0-9]? \". \" move \" \" move \"\\n\")+\n)\n\
             move ::= (pawn | nonpawn | castle) [+#]?\n\
             pawn ::= ([a-h] \"x\")? [a-h] [1-8] (\"=\" [NBKQR])?\n\
             nonpawn ::= [NBKQR] [a-h]? [1-8]? \"x\"? [a-h] [1-8]\ncastle ::= \"O-O\" \"-O\"?\n",
            &["1. e4 e5\n2. Nf3 O-O-O+\n"],
            &["1. e4 e5\n", "1. e4 e9\n2. Nf3 a1\n"],
        ),
        ("root ::= [a-z]+ \"ing\"", &["running", "inging"], &["ing", "runnin"]),
        ("root ::= [a-z] [a-z] \"!\" | \"ab\" \"?\"", &["ab!", "ab?", "xy!"], &["xy?"]),
        ("root ::= \"a\"{3} \"b\"{1,2} \"c\"{2,}", &["aaabcc", "aaabbccc"], &["aabcc", "aaabc"]),
        ("root ::= [^\\n\\x41]* \"\\u00e9\"", &["x\u{e9}", "\u{e9}"], &["A\u{e9}", "x"]),
        ("root ::= (\"a\" |\n  \"b\" | )\n\"c\"", &[], &[]),
        ("root ::= \"a\" |\n  \"b\"\n", &["a", "b"], &["ab", ""]),
        ("root ::= . other-rule\nother-rule ::= \"\" | \"x\" root", &["q", "qxz"], &["", "qx"]),
        ("root ::= [\\]a-] [-+*/]", &["]-", "-/"], &["b-"]),
    ];
    for (text, matching, others) in cases {
        let source = Source::grammar(text.into());
        assert!(matches!(source, Source::Gbnf(_)));
        let Ok(grammar) = grammars.compile(&source) else {
            assert!(matching.is_empty(), "{text}");
            continue;
        };
        for (texts, is_match) in [(matching, true), (others, false)] {
            for found in texts {
                assert_eq!(accepts(&tokenizer, &grammar, found), is_match, "{text}: {found:?}");
            }
        }
    }
    let wrong = [
        ("root ::= missing", 1),
        ("root ::= \"a\"\nroot ::= \"b\"", 2),
        ("root ::= \"a\"\n\nother ::= [a", 3),
        ("root ::= \"a", 1),
        ("root ::= (\"a\"", 1),
        ("root ::= [b-a]", 1),
        ("root ::= \"a\"{3,2}", 1),
        ("root ::= \"a\"{99999999999}", 1),
        ("root ::= \"\\q\"", 1),
        ("root ::= <think>", 1),
        ("root = \"a\"\nb ::= \"c\"", 1),
    ];
    for (text, expected) in wrong {
        match grammars.compile(&Source::Gbnf(text.into())).unwrap_err() {
            GrammarError::Line { line, .. } => assert_eq!(line, expected, "{text}"),
            other => panic!("{text}: {other}"),
        }
    }
}

/// Models write walls of blanks where they may.
#[test]
fn blanks_between_the_parts_of_json_are_few() {
    let tokenizer = mistral();
    let grammar = compile(&tokenizer, Source::JsonSchema(json!({"items": {"type": "null"}})));
    for (text, is_allowed) in [
        ("[null,null]", true),
        ("[ null, null]", true),
        ("[\n    null,\n    null\n]", true),
        ("[  null]", false),
        ("[\tnull]", false),
        ("[\n\nnull]", false),
    ] {
        assert_eq!(accepts(&tokenizer, &grammar, text), is_allowed, "{text:?}");
    }
}
