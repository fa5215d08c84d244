//! The OpenAPI document, made from the verbs.

use serde_json::{Map, Value, json};

use crate::ctl::{Method, ParameterKind, ParameterPlace, RefusalKind, VERBS, Verb};

/// docs/openapi.json.
pub(crate) fn document() -> Value {
    let mut paths = Map::new();
    for verb in VERBS {
        let path = paths.entry(verb.route.path).or_insert_with(|| json!({}));
        path[verb.route.method.name().to_lowercase()] = operation(verb);
    }
    paths["/readyz"]["get"]["security"] = json!([]);
    paths["/readyz"]["get"]["responses"] = probed("It can serve a new call", "It cannot, and why");
    paths.insert(
        "/healthz".into(),
        json!({ "get": {
        "summary": "Tell whether the process lives: the thread that has the tables answers",
        "security": [],
        "responses": probed("It lives", "It does not answer"),
    } }),
    );
    paths.insert("/metrics".into(), plain("Metrics for Prometheus", "text/plain"));
    paths.insert("/openapi.json".into(), plain("This document", "application/json"));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Strowger",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Everything that `strowger ctl` does, over HTTP, at a load manager, an engine or the state tier. Errors are problem documents (RFC 9457) with a remedy.",
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": { "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } } },
    })
}

fn operation(verb: &Verb) -> Value {
    let in_query = verb.route.method == Method::Get;
    let one = |place: &str, parameter: &crate::ctl::Parameter| {
        json!({
            "name": parameter.name,
            "in": place,
            "required": parameter.required,
            "description": parameter.help,
            "schema": schema(parameter.kind),
        })
    };
    let of =
        |wanted: ParameterPlace| verb.parameters.iter().filter(move |parameter| parameter.place == wanted);
    let mut parameters: Vec<Value> =
        of(ParameterPlace::Path).map(|parameter| one("path", parameter)).collect();
    let mut operation = json!({ "operationId": verb.name, "summary": verb.about, "responses": responses() });
    if in_query {
        parameters.extend(of(ParameterPlace::Body).map(|parameter| one("query", parameter)));
    } else if of(ParameterPlace::Body).next().is_some() {
        let mut properties = Map::new();
        for parameter in of(ParameterPlace::Body) {
            let mut described = schema(parameter.kind);
            described["description"] = parameter.help.into();
            properties.insert(parameter.name.into(), described);
        }
        let required: Vec<&str> = of(ParameterPlace::Body)
            .filter(|parameter| parameter.required)
            .map(|parameter| parameter.name)
            .collect();
        let object = json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
        operation["requestBody"] = json!({ "content": { "application/json": { "schema": object } } });
    }
    operation["parameters"] = parameters.into();
    operation
}

fn responses() -> Value {
    let problem = |what: &str| json!({ "description": what, "content": { "application/problem+json": {} } });
    let mut all = Map::new();
    all.insert("200".into(), json!({ "description": "Done", "content": { "application/json": {} } }));
    all.insert("401".into(), problem("the request has no good token"));
    all.insert("403".into(), problem("the token does not allow this"));
    for why in RefusalKind::ALL {
        all.insert(why.http().to_string(), problem(why.title()));
    }
    all.into()
}

/// What health checks are answered.
fn probed(yes: &str, no: &str) -> Value {
    json!({
        "200": { "description": yes, "content": { "application/json": {} } },
        "503": { "description": no, "content": { "application/problem+json": {} } },
    })
}

fn plain(what: &str, content: &str) -> Value {
    let done = json!({ "description": what, "content": { content: {} } });
    json!({ "get": { "summary": what, "security": [], "responses": { "200": done } } })
}

/// A parameter in JSON Schema.
fn schema(kind: ParameterKind) -> Value {
    match kind {
        ParameterKind::Server => json!({ "type": "string", "examples": ["10.0.0.11:5060"] }),
        ParameterKind::Text => json!({ "type": "string" }),
        ParameterKind::Number(..) | ParameterKind::NumberOf(_) => {
            let (low, high) = kind.range().unwrap_or((0, u64::MAX));
            json!({ "type": "integer", "minimum": low, "maximum": high })
        }
        ParameterKind::Flag => json!({ "type": "boolean" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_the_one_that_is_served() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let committed: Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap_or_default()).unwrap_or_default();
        assert!(committed == document(), "run: cargo run -- check --openapi > docs/openapi.json");
    }

    #[test]
    fn every_route_is_described_with_its_parameters() {
        let document = document();
        for verb in VERBS {
            let described = &document["paths"][verb.route.path][verb.route.method.name().to_lowercase()];
            assert_eq!(described["operationId"], verb.name);
            let text = described.to_string();
            for parameter in
                verb.parameters.iter().filter(|parameter| parameter.place != ParameterPlace::CommandLine)
            {
                assert!(
                    text.contains(&format!("\"{}\"", parameter.name)),
                    "{}: {}",
                    verb.name,
                    parameter.name
                );
            }
        }
    }
}
