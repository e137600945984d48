//! What forms are refused, and in which words.

use crate::grammar::{accepts, compile, mistral, smollm};
use gatefold::constraint::Constraint;
use gatefold::grammar::{GrammarError, Grammars, Source};
use serde_json::{Value, json};

#[test]
fn what_is_not_enforced_is_refused_by_its_place() {
    let grammars = Grammars::new(&smollm()).unwrap();
    let cases = [
        (json!({"not": {"type": "null"}}), "#/not"),
        (json!({"properties": {"a": {"uniqueItems": true}}}), "#/properties/a/uniqueItems"),
        (json!({"items": [{"if": {}}]}), "#/items/0/if"),
        (json!({"$defs": {"a": {"contains": {}}}}), "#/$defs/a/contains"),
        (json!({"allOf": [{"dependentRequired": {}}]}), "#/allOf/0/dependentRequired"),
        (json!({"unevaluatedProperties": false}), "#/unevaluatedProperties"),
        (json!({"propertyNames": {"maxLength": 3}}), "#/propertyNames"),
        (json!({"minItem": 1}), "#/minItem"),
        (json!({"nullable": true, "type": "string"}), "#/nullable"),
        (json!({"x-guidance": {"lenient": true}, "not": {}}), "#/x-guidance"),
        (json!({"type": "string", "pattern": "a(?=b)"}), "#/pattern"),
        (json!({"type": "string", "format": "iri"}), "#/format"),
        (json!({"$ref": "other.json#/a"}), "#/$ref"),
        (json!({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {}}}), "#/$ref"),
        (json!({"$ref": "#/$defs/a%2", "$defs": {"a": {}}}), "#/$ref"),
        (json!({"$ref": "#/nowhere"}), "#/$ref"),
        (json!({"properties": {"a": {"$id": "b"}}}), "#/properties/a/$id"),
        (json!({"minProperties": 2}), "#/minProperties"),
        (json!({"prefixItems": [{}], "additionalItems": false}), "#/additionalItems"),
        (json!({"const": 9_007_199_254_740_993_u64}), "#/const"),
        (json!({"enum": ["a\u{0}b"]}), "#/enum"),
        (json!({"type": "string", "pattern": "^a\\x01b$"}), "#/pattern"),
        (json!({"properties": {"a": 3}}), "#/properties/a"),
        (json!({"multipleOf": 999_979}), "#/multipleOf"),
        (json!({"multipleOf": 1e-10}), "#/multipleOf"),
        (json!({"multipleOf": 0}), "#/multipleOf"),
        (json!({"allOf": [{"multipleOf": 97}, {"multipleOf": 9901}]}), "#/allOf/1/multipleOf"),
        (json!([]), "#"),
    ];
    for (schema, expected) in cases {
        let found = grammars.compile(&Source::JsonSchema(schema.clone())).unwrap_err();
        match found {
            GrammarError::Schema { place, .. } => assert_eq!(place, expected, "{schema}"),
            other => panic!("{schema}: {other}"),
        }
    }
    let annotated = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "a", "title": "T",
        "description": "not", "default": 1, "examples": [1], "deprecated": true, "readOnly": false,
        "$comment": "", "x-order": 1, "maxLength": 3.0,
        "$defs": {"a~%b": {"$ref": "#/$defs/a~0%25b/anyOf/0", "anyOf": [true]}}, "uniqueItems": false, "type": "integer",
    });
    assert!(grammars.compile(&Source::JsonSchema(annotated)).is_ok());
    for nothing in [json!(false), json!({"type": "string", "enum": [1]})] {
        let found = grammars.compile(&Source::JsonSchema(nothing)).unwrap_err();
        assert!(matches!(found, GrammarError::Refused { .. }), "{found}");
    }
}

#[test]
fn what_meets_at_one_place_is_bounded_however_it_is_spelled() {
    let grammars = Grammars::new(&smollm()).unwrap();
    let pattern = |n: usize| json!({"pattern": format!(".*a.{{{n}}}.*")});
    let several = |n: usize| (0..n).map(pattern).collect::<Vec<Value>>();
    let in_a = |schema: &Value| json!({"properties": {"a": schema}});
    let chain: serde_json::Map<String, Value> = (0..20)
        .map(|n| {
            let mut one = pattern(n);
            one["$ref"] = format!("#/$defs/{}", n + 1).into();
            (n.to_string(), one)
        })
        .chain([("20".into(), json!({}))])
        .collect();
    let names = |n: usize| (0..n).map(|n| (format!("p{n}"), json!({}))).collect::<Value>();
    let each: Vec<Value> =
        (0..400).map(|n| json!({"properties": {(format!("p{n}")): {}}})).collect();
    let long = |c: &str| json!({"pattern": c.repeat(3_000)});
    let refused = [
        (json!({"type": "string", "allOf": several(20)}), "#"),
        (
            json!({"allOf": [{"anyOf": several(2)}, {"oneOf": several(2)}, pattern(1), pattern(2)]}),
            "#",
        ),
        (json!({"allOf": several(20).iter().map(in_a).collect::<Vec<_>>()}), "#"),
        (json!({"items": {"$ref": "#/$defs/0"}, "$defs": chain}), "#/$defs/16"),
        (json!({"format": "email", "allOf": [long("a"), long("b")]}), "#"),
        (json!({"patternProperties": {("a".repeat(3_000)): {}, ("b".repeat(3_000)): {}}}), "#"),
        (json!({"items": {"properties": names(400)}}), "#/items"),
        (json!({"allOf": each}), "#"),
    ];
    for (schema, expected) in refused {
        let begun: String = schema.to_string().chars().take(80).collect();
        match grammars.compile(&Source::JsonSchema(schema)).unwrap_err() {
            GrammarError::Schema { place, .. } => assert_eq!(place, expected, "{begun}"),
            other => panic!("{begun}: {other}"),
        }
    }
    let apart: Vec<Value> = (0..8)
        .map(|n| json!({"properties": {(format!("p{n}")): {"pattern": "^[a-z]+$"}}}))
        .collect();
    let taken = [
        json!({"allOf": apart}),
        json!({"anyOf": several(8)}),
        json!({"type": "string", "format": "email", "pattern": "@example\\.com$", "minLength": 13}),
        json!({"properties": names(400), "additionalProperties": false}),
        json!({"properties": names(200)}),
    ];
    for schema in taken {
        let begun: String = schema.to_string().chars().take(80).collect();
        let found = grammars.compile(&Source::JsonSchema(schema));
        assert!(found.is_ok(), "{begun}: {found:?}");
    }
    for hostile in ["/.*a.{28}/ & ~/.*b.{27}.*/", "\"a\" & \"b\" & \"c\" & \"d\" & \"e\" & \"f\""] {
        let found = grammars.compile(&Source::Lark(format!("start: A\nA: {hostile}")));
        assert!(matches!(found, Err(GrammarError::TooLarge { .. })), "{hostile}: {found:?}");
    }
    for usual in ["/[a-z]+/ & ~(\"if\" | \"else\")", "/a{99}/ | /[&~]/"] {
        let found = grammars.compile(&Source::Lark(format!("start: A\nA: {usual}")));
        assert!(found.is_ok(), "{usual}: {found:?}");
    }
}

#[test]
fn what_lark_has_beside_texts_is_refused_by_its_line() {
    let tokenizer = mistral();
    let grammars = Grammars::new(&tokenizer).unwrap();
    let refused = [
        ("start: <s>", 1),
        ("start: \"a\"\n  | <[1]>", 2),
        ("start: x\nx[temperature=0.0]: \"a\"", 2),
        ("start: x\nx[capture, lazy] : /a*b/", 2),
        ("start: %lark { start: x\nx[max_tokens=3]: /a*/ }", 2),
        ("%llguidance {\"no_forcing\": true}\nstart: \"a\"", 1),
        ("start: %json {\"not\": {}}", 1),
        ("start: @other", 1),
    ];
    for (text, expected) in refused {
        match grammars.compile(&Source::Lark(text.into())).unwrap_err() {
            GrammarError::Line { line, .. } => assert_eq!(line, expected, "{text}"),
            other => panic!("{text}: {other}"),
        }
    }
    let quoted = "start: x [\"<s>\"] // <s>\nx[lazy]: /a*[<@]/\n# %json";
    let grammar = compile(&tokenizer, Source::Lark(quoted.into()));
    assert!(accepts(&tokenizer, &grammar, "aa<<s>"));
}

#[test]
fn errors_say_what_is_wrong_with_a_form_that_nothing_is_one_of() {
    let grammars = Grammars::new(&smollm()).unwrap();
    let nothing = [
        Source::JsonSchema(json!({"$ref": "#"})),
        Source::Gbnf("root ::= root".into()),
        Source::Regex(r"[^\x00-\x{10FFFF}]".into()),
    ];
    for source in nothing {
        let text = source.text();
        let error = grammars.compile(&source).unwrap_err().to_string();
        assert!(error.contains("no text"), "{text}: {error}");
    }
    let steering = Source::JsonSchema(json!({"properties": {"\u{1b}[2J": {"if\n": 1}}}));
    let error = grammars.compile(&steering).unwrap_err().to_string();
    assert!(error.starts_with(r"#/properties/\u{1b}[2J/if\n of"), "{error}");
    let alternatives = json!({"oneOf": [{"type": "string"}, {"type": "string", "minLength": 3}]});
    let error = grammars.compile(&Source::JsonSchema(alternatives)).unwrap_err().to_string();
    assert!(error.contains("\"anyOf\"") && !error.contains("coerce"), "{error}");
}

#[test]
fn hostile_sources_are_errors() {
    let tokenizer = smollm();
    let grammars = Grammars::new(&tokenizer).unwrap();
    let nested = |open: &str, close: &str| open.repeat(100_000) + "a" + &close.repeat(100_000);
    let chain = |n: usize| -> String {
        let rule = |idx| format!("r{idx} ::= \"a\" r{}\n", idx + 1);
        (0..n).map(rule).collect::<String>() + &format!("r{n} ::= \"b\"\nroot ::= r0")
    };
    let error = grammars.compile(&Source::Gbnf(chain(5_000))).unwrap_err();
    assert_eq!(error.to_string(), "the grammar has more than 4000 rules");
    let mut schema = json!({"$ref": "#/$defs/0"});
    let name = |idx: usize| json!({"items": {"$ref": format!("#/$defs/{}", idx + 1)}});
    let mut definitions: serde_json::Map<String, Value> =
        (0..900).map(|idx| (idx.to_string(), name(idx))).collect();
    definitions.insert("900".into(), json!({"type": "null"}));
    schema["$defs"] = definitions.into();
    // Deep, but no more than the stack holds.
    assert!(grammars.compile(&Source::JsonSchema(schema)).is_ok());
    let sources = [
        Source::Regex(nested("(", ")")),
        Source::Regex("a{100000}{100000}{100000}".into()),
        Source::Regex("(?:".into()),
        Source::Regex("a".repeat(300 << 10)),
        Source::Lark(format!("start: {}", nested("(", ")"))),
        Source::Lark("start: x\nx: x".into()),
        Source::Lark("start: <s>".into()),
        Source::Lark("start: %json {\"not\": {}}".into()),
        Source::Lark(String::new()),
        Source::Gbnf(format!("root ::= {}", nested("(", ")"))),
        Source::Gbnf(String::new()),
        Source::Gbnf("root ::= root".into()),
        Source::JsonSchema(json!({"$ref": "#"})),
        Source::JsonSchema(json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}})),
        Source::JsonSchema(json!({"properties": {"a": {"$ref": "#"}}, "required": ["a"]})),
        Source::JsonSchema(json!({"type": "string", "minLength": 5_000_000_000_u64})),
        Source::JsonSchema(
            json!({"type": "string", "pattern": "(((a{1,99}){1,99}){1,99}){1,99}b"}),
        ),
    ];
    for source in sources {
        let text: String = source.text().chars().take(80).collect();
        match grammars.compile(&source) {
            Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
            // What is not seen to lead nowhere shows when an answer gets there.
            Ok(grammar) => {
                println!("{text}: taken, and {:?}", grammar.begin(true).allowed().is_ok())
            }
        }
    }
}
