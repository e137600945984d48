//! Functions that the model may call.

use super::endpoint::Endpoint;
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
    /// As chats describe them, for the template.
    pub described: Vec<Value>,
    /// The names of those that may be called.
    names: Vec<String>,
    endpoint: Endpoint,
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
    Allowed { names: Vec<String>, must_call: bool },
}

impl Tools {
    /// The functions in a body for this endpoint, if it offers any.
    ///
    /// # Errors
    /// If they are described otherwise than as functions, or one is to be called that there is none of.
    pub(super) fn of(body: &mut Fields, endpoint: Endpoint) -> Result<Option<Tools>, Fault> {
        if endpoint == Endpoint::Texts {
            return Ok(None);
        }
        let tools = match body.take("tools") {
            None => Vec::new(),
            Some(Value::Array(tools)) if tools.len() <= MOST_TOOLS => tools,
            Some(other) => {
                let expected = format!("an array of {MOST_TOOLS} functions at most");
                return Err(body.wrong("tools", quoted(&other), expected));
            }
        };
        let path = |idx| format!("{}tools[{idx}].", body.path());
        let mut names = Vec::new();
        for (idx, tool) in tools.iter().enumerate() {
            let name = described(Fields::of(tool.clone(), path(idx))?, endpoint)?;
            if names.contains(&name) {
                let found = format!("with `{name}` twice");
                return Err(body.wrong("tools", found, "a name for each"));
            }
            names.push(name);
        }
        let is_parallel = body.bool("parallel_tool_calls")?.unwrap_or(true);
        let has_any = !names.is_empty();
        let (allowed, must_call, is_parallel) = match choice(body, endpoint)? {
            Choice::None => return Ok(None),
            Choice::Auto => (names.clone(), false, is_parallel),
            Choice::Required => (names.clone(), true, is_parallel),
            Choice::Named(name) => (vec![name], true, false),
            Choice::Allowed { names, must_call } => (names, must_call, is_parallel),
        };
        if must_call && !has_any {
            return Err(body.wrong("tool_choice", "a call", "one only where there are tools"));
        }
        if let Some(other) = allowed.iter().find(|name| !names.contains(name)) {
            let found = quoted(&other.as_str().into());
            return Err(body.wrong("tool_choice", found, "the name of one of the tools"));
        }
        // All are described, and these are called.
        let described = tools.into_iter().map(|tool| as_in_chats(tool, endpoint)).collect();
        let tools = Tools { described, names: allowed, endpoint, must_call, is_parallel };
        Ok(Some(tools).filter(|_| has_any))
    }

    /// The form of an answer that must call functions.
    pub(super) fn form(&self, path: &str) -> Option<Form> {
        if !self.must_call {
            return None;
        }
        let (mut calls, mut parts) = (Vec::new(), Vec::new());
        for (idx, name) in self.names.iter().enumerate() {
            let place = format!("#/items/anyOf/{idx}/properties/arguments");
            let arguments = moved(self.parameters(name), &place);
            calls.push(json!({
                "type": "object",
                "properties": {"name": {"const": name}, "arguments": arguments},
                "required": ["name", "arguments"],
                "additionalProperties": false,
            }));
            parts.push((place, format!("{path}{}", self.field(name))));
        }
        let mut schema = json!({"type": "array", "items": {"anyOf": calls}, "minItems": 1});
        if !self.is_parallel {
            schema["maxItems"] = json!(1);
        }
        Some(Form { source: Source::JsonSchema(schema), param: format!("{path}tools"), parts })
    }

    /// The schema of a function's arguments, which are an object. What its root says of itself is not
    /// for a part of another schema.
    fn parameters(&self, name: &str) -> Value {
        let function = self.described.iter().map(|tool| &tool["function"]);
        let mut found = function.filter(|function| function["name"] == name);
        let parameters = found.next().and_then(|function| function.get("parameters"));
        let mut parameters = match parameters {
            Some(Value::Object(parameters)) => parameters.clone(),
            _ => Map::new(),
        };
        parameters.retain(|keyword, _| !["$schema", "$id", "id"].contains(&keyword.as_str()));
        parameters.entry("type").or_insert_with(|| json!("object"));
        Value::Object(parameters)
    }

    /// What messages call the field with the schema of a function's arguments.
    fn field(&self, name: &str) -> String {
        let is_it = |tool: &Value| tool["function"]["name"] == name;
        let idx = self.described.iter().position(is_it).unwrap_or_default();
        match self.endpoint {
            Endpoint::Responses => format!("tools[{idx}].parameters"),
            _ => format!("tools[{idx}].function.parameters"),
        }
    }

    /// Whether a function may be called by an answer.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }
}

/// The fields that say which function a tool is.
fn function(mut tool: Fields, endpoint: Endpoint) -> Result<Fields, Fault> {
    let kind = tool.string("type")?;
    let kind = tool.required("type", kind)?;
    if kind != "function" {
        return Err(tool.not_done("type", &kind.into()));
    }
    endpoint.described(tool, &kind, &[])
}

fn name_of(function: &mut Fields) -> Result<String, Fault> {
    let name = function.string("name")?;
    function.required("name", name)
}

/// The name of a function that is described as OpenAI has it.
fn described(tool: Fields, endpoint: Endpoint) -> Result<String, Fault> {
    let mut function = function(tool, endpoint)?;
    let name = name_of(&mut function)?;
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_of_name) {
        let expected = "1 to 64 letters, digits, underscores, dots and dashes";
        return Err(function.wrong("name", quoted(&name.into()), expected));
    }
    function.string("description")?;
    if let Some(parameters) = function.take("parameters").filter(|it| !it.is_object()) {
        return Err(function.wrong("parameters", quoted(&parameters), "a JSON Schema"));
    }
    if endpoint == Endpoint::Responses {
        function.unsupported("allowed_callers", &json!(["direct"]))?;
        function.unsupported("async", &json!(false))?;
        function.unsupported("defer_loading", &json!(false))?;
    }
    function.finish(&["strict"])?;
    Ok(name)
}

/// A function as chats describe it: in an object of its own.
fn as_in_chats(tool: Value, endpoint: Endpoint) -> Value {
    const DESCRIBED: [&str; 4] = ["name", "description", "parameters", "strict"];
    match tool {
        Value::Object(mut function) if endpoint == Endpoint::Responses => {
            function.retain(|name, value| DESCRIBED.contains(&name.as_str()) && !value.is_null());
            json!({"type": "function", "function": function})
        }
        tool => tool,
    }
}

fn choice(body: &mut Fields, endpoint: Endpoint) -> Result<Choice, Fault> {
    let Some(choice) = body.take("tool_choice") else { return Ok(Choice::Auto) };
    match (choice.as_str(), choice["type"].as_str()) {
        (Some("none"), _) => Ok(Choice::None),
        (Some("auto"), _) => Ok(Choice::Auto),
        (Some("required"), _) => Ok(Choice::Required),
        (_, Some(kind)) => {
            let path = format!("{}tool_choice.", body.path());
            let chosen = Fields::of(choice.clone(), path)?;
            match kind {
                "allowed_tools" => allowed(chosen, endpoint),
                _ => named(chosen, endpoint).map(Choice::Named),
            }
        }
        _ => {
            let expected = "\"none\", \"auto\", \"required\" or a function by its name";
            Err(body.wrong("tool_choice", quoted(&choice), expected))
        }
    }
}

/// The functions to which a choice limits answers.
fn allowed(mut choice: Fields, endpoint: Endpoint) -> Result<Choice, Fault> {
    choice.take("type");
    let mut allowed = endpoint.described(choice, "allowed_tools", &[])?;
    let mode = allowed.string("mode")?;
    let must_call = match allowed.required("mode", mode)?.as_str() {
        "auto" => false,
        "required" => true,
        other => {
            let expected = "\"auto\" or \"required\"";
            return Err(allowed.wrong("mode", quoted(&other.into()), expected));
        }
    };
    let tools = allowed.take("tools");
    let tools = match allowed.required("tools", tools)? {
        Value::Array(tools) if !tools.is_empty() => tools,
        other => return Err(allowed.wrong("tools", quoted(&other), "an array of functions")),
    };
    let path = |idx| format!("{}tools[{idx}].", allowed.path());
    let names = tools
        .into_iter()
        .enumerate()
        .map(|(idx, tool)| named(Fields::of(tool, path(idx))?, endpoint));
    let names = names.collect::<Result<_, _>>()?;
    allowed.finish(&[])?;
    Ok(Choice::Allowed { names, must_call })
}

/// The function that has been chosen by its name.
fn named(tool: Fields, endpoint: Endpoint) -> Result<String, Fault> {
    let mut function = function(tool, endpoint)?;
    let name = name_of(&mut function)?;
    function.finish(&[])?;
    Ok(name)
}

/// A schema that stands at `place` of another: with its references to itself.
fn moved(schema: Value, place: &str) -> Value {
    match schema {
        Value::Object(keywords) => {
            let keyword = |(keyword, value): (String, Value)| {
                let value = match (keyword.as_str(), value) {
                    ("$ref", Value::String(target)) => match target.strip_prefix('#') {
                        Some(behind) => format!("{place}{}", behind.trim_end_matches('/')).into(),
                        None => target.into(),
                    },
                    // Values, whatever they look like.
                    ("const" | "default" | "enum" | "example" | "examples", value) => value,
                    // Schemas by names, which may be those of keywords.
                    (
                        "$defs" | "definitions" | "patternProperties" | "properties",
                        Value::Object(named),
                    ) => named.into_iter().map(|(name, it)| (name, moved(it, place))).collect(),
                    (_, value) => moved(value, place),
                };
                (keyword, value)
            };
            keywords.into_iter().map(keyword).collect()
        }
        Value::Array(values) => values.into_iter().map(|value| moved(value, place)).collect(),
        value => value,
    }
}
