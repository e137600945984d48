//! Functions that the model may call.

use super::fault::{Fault, quoted};
use super::fields::Fields;
use super::form::Form;
use gatefold::grammar::Source;
use serde_json::{Map, Value, json};

/// Functions, at most; as OpenAI has it.
const MOST_TOOLS: usize = 128;

/// The functions that a request offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Tools {
    /// As they are described, for the template.
    pub described: Vec<Value>,
    /// Their names, in the same order.
    names: Vec<String>,
    /// Whether the answer must call some.
    pub must_call: bool,
    /// Whether it may have several calls.
    pub is_parallel: bool,
}

/// What an answer may do with them.
enum Choice {
    None,
    Auto,
    Required,
    Named(String),
}

impl Tools {
    /// The functions in a body, if it offers any.
    ///
    /// # Errors
    /// If they are described otherwise than as functions, or one is to be called that there is none of.
    pub(super) fn of(body: &mut Fields) -> Result<Option<Tools>, Fault> {
        let described = match body.take("tools") {
            None => Vec::new(),
            Some(Value::Array(tools)) if tools.len() <= MOST_TOOLS => tools,
            Some(other) => {
                let expected = format!("an array of {MOST_TOOLS} functions at most");
                return Err(body.wrong("tools", quoted(&other), expected));
            }
        };
        let names = described
            .iter()
            .enumerate()
            .map(|(idx, tool)| name_of(tool.clone(), format!("{}tools[{idx}].", body.path())));
        let names: Vec<String> = names.collect::<Result<_, _>>()?;
        let is_parallel = body.bool("parallel_tool_calls")?.unwrap_or(true);
        let choice = choice(body)?;
        if let Some(name) = names
            .iter()
            .enumerate()
            .find_map(|(idx, name)| names[..idx].contains(name).then_some(name))
        {
            return Err(body.wrong("tools", format!("with `{name}` twice"), "a name for each"));
        }
        let (must_call, is_named) = match &choice {
            Choice::None => return Ok(None),
            Choice::Auto => (false, None),
            Choice::Required => (true, None),
            Choice::Named(name) => (true, Some(name)),
        };
        if must_call && names.is_empty() {
            return Err(body.wrong("tool_choice", "a call", "one only where there are tools"));
        }
        let Some(name) = is_named else {
            let tools = Tools { described, names, must_call, is_parallel };
            return Ok(Some(tools).filter(|tools| !tools.names.is_empty()));
        };
        let Some(idx) = names.iter().position(|known| known == name) else {
            let found = quoted(&name.as_str().into());
            return Err(body.wrong("tool_choice", found, "the name of one of the tools"));
        };
        // All are described, and this one is called.
        Ok(Some(Tools {
            described,
            names: vec![names[idx].clone()],
            must_call,
            is_parallel: false,
        }))
    }

    /// The form of an answer that must call functions.
    pub(super) fn form(&self, path: &str) -> Option<Form> {
        if !self.must_call {
            return None;
        }
        let call = |(idx, name): (usize, &String)| {
            let place = format!("#/items/anyOf/{idx}/properties/arguments");
            let arguments = self.parameters(name);
            json!({
                "type": "object",
                "properties": {"name": {"const": name}, "arguments": moved(arguments, &place)},
                "required": ["name", "arguments"],
                "additionalProperties": false,
            })
        };
        let calls: Vec<Value> = self.names.iter().enumerate().map(call).collect();
        let mut schema = json!({"type": "array", "items": {"anyOf": calls}, "minItems": 1});
        if !self.is_parallel {
            schema["maxItems"] = json!(1);
        }
        Some(Form { source: Source::JsonSchema(schema), param: format!("{path}tools") })
    }

    /// The schema of a function's arguments, which are an object.
    fn parameters(&self, name: &str) -> Value {
        let function = self.described.iter().map(|tool| &tool["function"]);
        let mut found = function.filter(|function| function["name"] == name);
        let parameters = found.next().and_then(|function| function.get("parameters"));
        let mut parameters = match parameters {
            Some(Value::Object(parameters)) => parameters.clone(),
            _ => Map::new(),
        };
        parameters.entry("type").or_insert_with(|| json!("object"));
        Value::Object(parameters)
    }

    /// Whether a function may be called by an answer.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }
}

/// The name of a function that is described as OpenAI has it.
fn name_of(tool: Value, path: String) -> Result<String, Fault> {
    let mut tool = Fields::of(tool, path.clone())?;
    let kind = tool.string("type")?;
    let kind = tool.required("type", kind)?;
    if kind != "function" {
        return Err(tool.wrong("type", quoted(&kind.into()), "\"function\""));
    }
    let function = tool.take("function");
    let function = tool.required("function", function)?;
    let mut function = Fields::of(function, format!("{path}function."))?;
    let name = function.string("name")?;
    let name = function.required("name", name)?;
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_of_name) {
        let expected = "1 to 64 letters, digits, underscores, dots and dashes";
        return Err(function.wrong("name", quoted(&name.into()), expected));
    }
    function.string("description")?;
    if let Some(parameters) = function.take("parameters").filter(|it| !it.is_object()) {
        return Err(function.wrong("parameters", quoted(&parameters), "a JSON Schema"));
    }
    function.finish(&["strict"])?;
    tool.finish(&[])?;
    Ok(name)
}

fn choice(body: &mut Fields) -> Result<Choice, Fault> {
    let Some(choice) = body.take("tool_choice") else { return Ok(Choice::Auto) };
    let name = choice["function"]["name"].as_str().filter(|_| choice["type"] == "function");
    match (choice.as_str(), name) {
        (Some("none"), _) => Ok(Choice::None),
        (Some("auto"), _) => Ok(Choice::Auto),
        (Some("required"), _) => Ok(Choice::Required),
        (_, Some(name)) => Ok(Choice::Named(name.to_owned())),
        _ => {
            let expected = "\"none\", \"auto\", \"required\" or a function by its name";
            Err(body.wrong("tool_choice", quoted(&choice), expected))
        }
    }
}

/// A schema that stands at `place` of another: with its references to itself.
fn moved(schema: Value, place: &str) -> Value {
    match schema {
        Value::Object(fields) => {
            let field = |(name, value): (String, Value)| {
                let value = match (name.as_str(), &value) {
                    ("$ref", Value::String(target)) => match target.strip_prefix('#') {
                        Some(behind) => format!("{place}{}", behind.trim_end_matches('/')).into(),
                        None => value,
                    },
                    _ => moved(value, place),
                };
                (name, value)
            };
            fields.into_iter().map(field).collect()
        }
        Value::Array(values) => values.into_iter().map(|value| moved(value, place)).collect(),
        value => value,
    }
}
