//! What form answers are to have.

use super::endpoint::Endpoint;
use super::fault::{Fault, quoted};
use super::fields::Fields;
use gatefold::constraint::Constraint;
use gatefold::grammar::{Grammar, GrammarError, Grammars, Source};
use gatefold::tokenizer::Tokenizer;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A form, and where it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    /// What answers are to be.
    pub source: Source,
    /// The field that says so, as messages call it.
    pub param: String,
    /// Places of a schema that fields of their own say, and what messages call those.
    pub(super) parts: Vec<(String, String)>,
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
    /// The form that a body for this endpoint asks for, if it does.
    ///
    /// # Errors
    /// If it asks for more than one, or for what there is none of.
    pub(super) fn of(body: &mut Fields, endpoint: Endpoint) -> Result<Option<Form>, Fault> {
        let mut forms = Vec::new();
        if let Some(format) = body.object("response_format")? {
            forms.extend(of_format(format, Endpoint::Chat)?);
        }
        if let Some(format) = text_format(body, endpoint)? {
            forms.extend(of_format(format, endpoint)?);
        }
        forms.extend(of_fields(body, &FIELDS)?);
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

    /// One that a single field asks for.
    fn new(source: Source, param: String) -> Form {
        Form { source, param, parts: Vec::new() }
    }

    /// What is wrong with it.
    fn fault(&self, error: &GrammarError) -> Fault {
        let code = match error {
            // At another time there is a place.
            GrammarError::Busy { .. } => {
                let message = format!("{}: {error}", self.param);
                return Fault::ours("forms_busy", message).with_status(503);
            }
            GrammarError::TooComplex { .. } => "form_too_complex",
            _ => "invalid_value",
        };
        if let GrammarError::Schema { place, problem } = error
            && let Some((behind, param)) = self.part(place)
        {
            let (place, problem) = (format!("#{behind}"), problem.clone());
            let error = GrammarError::Schema { place, problem };
            return Fault::at(code, param, format!("{param}: {error}"));
        }
        Fault::at(code, &self.param, format!("{}: {error}", self.param))
    }

    /// The part in which a place is: what of the place is behind its own, and its name.
    fn part<'f>(&'f self, place: &'f str) -> Option<(&'f str, &'f str)> {
        self.parts.iter().find_map(|(part, param)| {
            let behind = place.strip_prefix(part.as_str())?;
            (behind.is_empty() || behind.starts_with('/')).then_some((behind, &**param))
        })
    }
}

/// OpenAI's field in responses; chats have `response_format` for it.
fn text_format(body: &mut Fields, endpoint: Endpoint) -> Result<Option<Fields>, Fault> {
    let text = if endpoint == Endpoint::Responses { body.object("text")? } else { None };
    let Some(mut text) = text else { return Ok(None) };
    text.unsupported("verbosity", &json!("medium"))?;
    let format = text.object("format")?;
    text.finish(&[])?;
    Ok(format)
}

/// The form that a format of OpenAI's asks for.
fn of_format(mut format: Fields, endpoint: Endpoint) -> Result<Option<Form>, Fault> {
    let path = format.path().trim_end_matches('.').to_owned();
    let kind = format.string("type")?;
    let kind = format.required("type", kind)?;
    let form = |source, param: String| Some(Form::new(source, param));
    let found = match kind.as_str() {
        "text" => None,
        // With a schema, as llama.cpp has it.
        "json_object" => match format.take("schema") {
            Some(schema) => form(Source::JsonSchema(schema), format!("{path}.schema")),
            None => form(Source::json_object(), path),
        },
        "json_schema" => {
            let mut described = endpoint.described(format, "json_schema", &[])?;
            let schema = described.take("schema");
            let schema = described.required("schema", schema)?;
            let param = format!("{}schema", described.path());
            // Strict or not, the schema is enforced.
            described.finish(&["name", "description", "strict"])?;
            return Ok(form(Source::JsonSchema(schema), param));
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
        forms.push(Form::new(source, param));
    }
    Ok(forms)
}

/// Compiled forms that are kept: those of a batch are mostly the same.
const MOST_KEPT: usize = 32;

/// Bytes of what they say, all together: a compiled form takes some sixty times as much.
const MOST_KEPT_BYTES: usize = 512 << 10;

/// What a form comes to, once that is known. Whoever asks for it meanwhile waits.
type Compiled = Arc<OnceLock<Result<Arc<Grammar>, GrammarError>>>;

/// Makes constraints of forms, for one vocabulary, which is looked through when the first is asked for.
pub struct Forms {
    tokenizer: Arc<Tokenizer>,
    grammars: OnceLock<Result<Grammars, GrammarError>>,
    /// By what they say; the one that was not asked for the longest comes first.
    kept: Mutex<VecDeque<(String, Compiled)>>,
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
        let compiled = self.place(&text);
        let compile = || {
            let grammars = self.grammars.get_or_init(|| Grammars::new(&self.tokenizer));
            Ok(Arc::new(grammars.as_ref().map_err(GrammarError::clone)?.compile(source)?))
        };
        let found = compiled.get_or_init(compile).clone();
        if let Err(GrammarError::Busy { .. }) = found {
            // It was not looked at. One that took too long would do so again, and stays known.
            self.kept().retain(|(known, _)| *known != text);
        }
        found
    }

    /// Where the form with this text is kept, or will be.
    fn place(&self, text: &str) -> Compiled {
        let mut kept = self.kept();
        let known = kept.iter().position(|(known, _)| known == text);
        let found = known.and_then(|idx| kept.remove(idx));
        let (text, compiled) = found.unwrap_or_else(|| (text.to_owned(), Compiled::default()));
        kept.push_back((text, Arc::clone(&compiled)));
        let mut n_bytes: usize = kept.iter().map(|(text, _)| text.len()).sum();
        while kept.len() > MOST_KEPT || n_bytes > MOST_KEPT_BYTES {
            n_bytes -= kept.pop_front().map_or(n_bytes, |(text, _)| text.len());
        }
        compiled
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(String, Compiled)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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
