//! What form answers are to have.

use super::fault::{Fault, quoted};
use super::fields::Fields;
use gatefold::constraint::Constraint;
use gatefold::grammar::{Grammar, GrammarError, Grammars, Source};
use gatefold::tokenizer::Tokenizer;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A form, and where it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    /// What answers are to be.
    pub source: Source,
    /// The field that says so, as messages call it.
    pub param: String,
}

/// The names of fields by which servers are asked for a form: llama.cpp's, vLLM's and SGLang's.
const FIELDS: [(&str, Kind); 9] = [
    ("json_schema", Kind::Schema),
    ("grammar", Kind::Grammar),
    ("guided_json", Kind::Schema),
    ("guided_regex", Kind::Regex),
    ("guided_choice", Kind::Choice),
    ("guided_grammar", Kind::Grammar),
    ("regex", Kind::Regex),
    ("ebnf", Kind::Grammar),
    ("structured_outputs", Kind::Several),
];

/// The fields within `structured_outputs`.
const STRUCTURED: [(&str, Kind); 5] = [
    ("json", Kind::Schema),
    ("regex", Kind::Regex),
    ("choice", Kind::Choice),
    ("grammar", Kind::Grammar),
    ("json_object", Kind::AnyObject),
];

/// What a field has in it.
#[derive(Clone, Copy)]
enum Kind {
    Schema,
    Regex,
    Choice,
    Grammar,
    AnyObject,
    Several,
}

impl Form {
    /// The form that a body asks for, if it does.
    ///
    /// # Errors
    /// If it asks for more than one, or for what there is none of.
    pub(super) fn of(body: &mut Fields) -> Result<Option<Form>, Fault> {
        let format = response_format(body)?;
        let others = of_fields(body, &FIELDS)?;
        let mut forms: Vec<Form> = format.into_iter().chain(others).collect();
        body.unsupported("grammar_lazy", &json!(false))?;
        body.unsupported("grammar_triggers", &json!([]))?;
        body.unsupported("guided_whitespace_pattern", &Value::Null)?;
        let first = forms.pop();
        if let (Some(first), Some(other)) = (&first, forms.first()) {
            let message =
                format!("{} and {} each ask for a form; expected one", other.param, first.param);
            return Err(Fault::at("invalid_value", &first.param, message));
        }
        Ok(first)
    }

    /// What is wrong with it.
    fn fault(&self, error: &GrammarError) -> Fault {
        Fault::at("invalid_value", &self.param, format!("{}: {error}", self.param))
    }
}

/// OpenAI's field.
fn response_format(body: &mut Fields) -> Result<Option<Form>, Fault> {
    let Some(format) = body.take("response_format") else { return Ok(None) };
    let path = format!("{}response_format", body.path());
    let mut format = Fields::of(format, format!("{path}."))?;
    let kind = format.string("type")?;
    let kind = format.required("type", kind)?;
    let form = |source, param: String| Some(Form { source, param });
    let found = match kind.as_str() {
        "text" => None,
        // With a schema, as llama.cpp has it.
        "json_object" => match format.take("schema") {
            Some(schema) => form(Source::JsonSchema(schema), format!("{path}.schema")),
            None => form(Source::json_object(), path),
        },
        "json_schema" => {
            let schema = format.take("json_schema");
            let schema = format.required("json_schema", schema)?;
            let mut schema = Fields::of(schema, format!("{path}.json_schema."))?;
            let found = schema.take("schema");
            let found = schema.required("schema", found)?;
            // Strict or not, the schema is enforced.
            schema.finish(&["name", "description", "strict"])?;
            form(Source::JsonSchema(found), format!("{path}.json_schema.schema"))
        }
        other => {
            let expected = "\"text\", \"json_object\" or \"json_schema\"";
            return Err(format.wrong("type", quoted(&other.into()), expected));
        }
    };
    format.finish(&[])?;
    Ok(found)
}

fn of_fields(body: &mut Fields, known: &[(&str, Kind)]) -> Result<Vec<Form>, Fault> {
    let mut forms = Vec::new();
    for &(name, kind) in known {
        let Some(value) = body.take(name) else { continue };
        let param = format!("{}{name}", body.path());
        let wrong = |expected: &str| body.wrong(name, quoted(&value), expected);
        let text = || value.as_str().map(str::to_owned);
        let source = match kind {
            Kind::Schema => match text() {
                Some(text) => serde_json::from_str(&text)
                    .map(Source::JsonSchema)
                    .map_err(|error| wrong(&format!("a JSON Schema ({error})")))?,
                None => Source::JsonSchema(value),
            },
            // llama.cpp's clients send an empty grammar for none.
            Kind::Grammar if text().as_deref() == Some("") => continue,
            Kind::Grammar => Source::grammar(text().ok_or_else(|| wrong("a grammar as text"))?),
            Kind::Regex => {
                Source::Regex(text().ok_or_else(|| wrong("a regular expression as text"))?)
            }
            Kind::Choice => {
                let texts = value.as_array().filter(|texts| !texts.is_empty());
                let texts: Option<Vec<&str>> =
                    texts.and_then(|texts| texts.iter().map(Value::as_str).collect());
                Source::choice(texts.ok_or_else(|| wrong("an array of texts"))?)
            }
            Kind::AnyObject => match value {
                Value::Bool(true) => Source::json_object(),
                Value::Bool(false) => continue,
                _ => return Err(wrong("true or false")),
            },
            Kind::Several => {
                let mut inner = Fields::of(value, format!("{param}."))?;
                forms.extend(of_fields(&mut inner, &STRUCTURED)?);
                inner.unsupported("disable_any_whitespace", &json!(false))?;
                inner.unsupported("disable_additional_properties", &json!(false))?;
                inner.unsupported("whitespace_pattern", &Value::Null)?;
                inner.unsupported("structural_tag", &Value::Null)?;
                inner.finish(&["backend", "disable_fallback"])?;
                continue;
            }
        };
        forms.push(Form { source, param });
    }
    Ok(forms)
}

/// Compiled forms that are kept: those of a batch are mostly the same.
const MOST_KEPT: usize = 32;

/// Makes constraints of forms, for one vocabulary, which is looked through when the first is asked for.
pub struct Forms {
    tokenizer: Arc<Tokenizer>,
    grammars: OnceLock<Result<Grammars, GrammarError>>,
    /// The last ones by what they say, the oldest first.
    kept: Mutex<VecDeque<(String, Arc<Grammar>)>>,
}

impl Forms {
    /// Those of this vocabulary.
    pub fn new(tokenizer: Arc<Tokenizer>) -> Forms {
        Forms { tokenizer, grammars: OnceLock::new(), kept: Mutex::default() }
    }

    /// What a source holds answers to.
    ///
    /// # Errors
    /// If it is wrong, or says what is not enforced.
    pub fn compile(&self, source: &Source) -> Result<Arc<Grammar>, GrammarError> {
        let text = source.text();
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept().iter().find(|(known, _)| *known == text).cloned();
        if let Some((_, grammar)) = found {
            return Ok(grammar);
        }
        let grammars = self.grammars.get_or_init(|| Grammars::new(&self.tokenizer));
        let grammar = Arc::new(grammars.as_ref().map_err(GrammarError::clone)?.compile(source)?);
        let mut kept = kept();
        if kept.len() == MOST_KEPT {
            kept.pop_front();
        }
        kept.push_back((text, Arc::clone(&grammar)));
        Ok(grammar)
    }

    /// What a form holds answers to.
    ///
    /// # Errors
    /// If it is wrong, or says what is not enforced.
    pub(super) fn constraint(&self, form: &Form) -> Result<Arc<dyn Constraint>, Fault> {
        let grammar = self.compile(&form.source).map_err(|error| form.fault(&error))?;
        Ok(grammar)
    }
}
