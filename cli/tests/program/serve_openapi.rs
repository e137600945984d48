//! `/openapi.json` of `gatefold serve` is true to the server.

use crate::serving::Serving;
use serde_json::{Value as Json, json};

/// A path with names in it that nothing has.
fn filled(path: &str) -> String {
    let kind = if path.contains("files") { "file-" } else { "batch_" };
    path.replace("{id}", &format!("{kind}0123456789abcdef01234567"))
}

#[test]
fn methods_are_those_that_are_answered() {
    let serving = Serving::new(&["--data-dir", "data"]);
    let document = serving.get("/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let reply = serving.send(method, &filled(path), &[], b"");
            let is_documented = operations.get(method.to_lowercase()).is_some();
            assert_eq!(reply.status != 405, is_documented, "{method} {path}: {}", reply.status);
            assert!(reply.status != 404 || reply.code() != "unknown_url", "{method} {path}");
        }
    }
}

/// What must be in a request, so that it is understood.
fn least(name: &str) -> Json {
    match name {
        "ChatRequest" => json!({"messages": [{"role": "user", "content": "?"}], "max_tokens": 1}),
        "CompletionRequest" => json!({"prompt": "?", "max_tokens": 1}),
        "ResponsesRequest" => json!({"input": "?", "max_output_tokens": 1}),
        "TokenizeRequest" => json!({"prompt": "?"}),
        "DetokenizeRequest" => json!({"tokens": [1]}),
        _ => json!({}),
    }
}

/// Every field that the document names is known, and no others are.
#[test]
fn fields_are_those_that_are_known() {
    let serving = Serving::new(&["--data-dir", "data"]);
    let document = serving.get("/openapi.json").json();
    let mut n_fields = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let schema = &operations["post"]["requestBody"]["content"]["application/json"]["schema"];
        let Some(name) = schema["$ref"].as_str().and_then(|name| name.rsplit('/').next()) else {
            continue;
        };
        let schema = &document["components"]["schemas"][name];
        assert_eq!(schema["additionalProperties"], false, "{name}");
        let properties = schema["properties"].as_object().unwrap();
        let is_known = |field: &str| {
            let mut asked = least(name);
            asked[field] = json!({"?": [1]});
            let reply = serving.post(path, &asked);
            assert!(reply.status < 500, "{}", reply.text());
            let error = &reply.json()["error"];
            error["code"] != "unknown_parameter" || error["param"] != field
        };
        for field in properties.keys() {
            assert!(is_known(field), "{path}: {field}");
            n_fields += 1;
        }
        if name != "BatchRequest" {
            assert!(!is_known("nonsense"), "{path}");
        }
    }
    assert!(n_fields > 80, "{n_fields}");
}
