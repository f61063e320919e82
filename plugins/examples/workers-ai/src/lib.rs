//! A provider: the text models of Cloudflare Workers AI.
//!
//! The account is a setting, the token a secret that only flow sees. Retries, budgets, cassettes
//! and data by schema are flow's, as for any provider.

use flow_plugin::{Answer, Ask, Content, Error, JsonSchema, Result, Value, http, json};
use serde::Deserialize;

const API: &str = "https://api.cloudflare.com/client/v4/accounts";

/// The models that are offered; others of the service can be asked, too.
const MODELS: &[&str] = &[
    "@cf/meta/llama-3.1-8b-instruct",
    "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
    "@cf/mistralai/mistral-small-3.1-24b-instruct",
];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The id of the account.
    account: String,
}

#[derive(Deserialize)]
struct Reply {
    result: Option<Said>,
    #[serde(default)]
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Said {
    response: Value,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Fault {
    message: String,
}

fn complete(ask: Ask, config: Config) -> Result<Answer> {
    if !config.account.bytes().all(|b| b.is_ascii_alphanumeric()) || config.account.is_empty() {
        return Err(Error::config("`account` is the id of an account: letters and digits"));
    }
    let url = format!("{API}/{}/ai/run/{}", config.account, ask.model);
    let reply = http::post(&url).json(&body(&ask)?)?.send()?;
    if reply.status == 404 {
        return Err(Error::not_found(format!("there is no model `{}`", ask.model)));
    }
    let read: Reply = reply.ok()?.json()?;
    let Some(Said { response, usage }) = read.result else {
        let why: Vec<_> = read.errors.into_iter().map(|fault| fault.message).collect();
        return Err(Error::unavailable(format!("it did not answer: {}", why.join("; "))));
    };
    let text = response.as_str().map_or_else(|| response.to_string(), str::to_owned);
    Ok(Answer {
        input_tokens: usage.as_ref().and_then(|usage| usage.prompt_tokens),
        output_tokens: usage.as_ref().and_then(|usage| usage.completion_tokens),
        ..Answer::text(text)
    })
}

/// The request as the service takes it.
fn body(ask: &Ask) -> Result<Value> {
    let mut messages = Vec::new();
    for message in &ask.messages {
        let only_text = message.parts.iter().all(|part| matches!(part, Content::Text(_)));
        if !only_text {
            return Err(Error::new("unsupported", "these models take text alone"));
        }
        messages.push(json!({ "role": message.role.as_str(), "content": message.text() }));
    }
    let mut body = json!({ "messages": messages });
    for key in ["temperature", "top_p", "max_tokens", "seed"] {
        if let Some(value) = ask.params.get(key) {
            body[key] = value.clone();
        }
    }
    if let Some(schema) = ask.params.get("schema") {
        body["response_format"] = json!({ "type": "json_schema", "json_schema": schema });
    }
    Ok(body)
}

fn models() -> Vec<String> {
    MODELS.iter().map(|name| (*name).to_owned()).collect()
}

flow_plugin::provider!(complete, models);
