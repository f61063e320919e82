//! What the services' own libraries send, as it was recorded, and what of it must be the same.
//!
//! The recordings lie beside the checkout, in `shared/recordings`; their README says how they
//! are compared, and this follows it: two requests are the same if their normal forms are.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};

use crate::server::{Answer, Received, Step};

/// The folder of the recordings; none where they are not there.
pub(crate) fn folder() -> Option<PathBuf> {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.find_map(|folder| {
        let folder = folder.join("shared/recordings");
        folder.is_dir().then_some(folder)
    })
}

/// The cases of a service's folder, in order of their names.
pub(crate) fn cases(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.expect("it can be read").file_name().into_string().ok()?;
        name.strip_suffix(".json").map(str::to_owned)
    };
    let mut cases: Vec<_> = entries.filter_map(name).collect();
    cases.sort();
    cases
}

/// A recorded case.
pub(crate) struct Case {
    /// What was asked, in normal form.
    pub(crate) requests: Vec<Value>,
    /// What was answered.
    pub(crate) answers: Vec<Answer>,
}

/// Reads a case of a service's folder.
pub(crate) fn case(folder: &Path, name: &str) -> Case {
    let path = folder.join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).expect("the recording can be read");
    let recording: Value = serde_json::from_str(&text).expect("a recording is JSON");
    let exchanges = recording["exchanges"].as_array().expect("a recording has exchanges");
    let request = |exchange: &Value| normal(recorded(&exchange["request"]));
    Case {
        requests: exchanges.iter().map(request).collect(),
        answers: exchanges.iter().map(|exchange| answer(&exchange["response"])).collect(),
    }
}

/// The normal form of a request that came.
pub(crate) fn received(request: &Received) -> Value {
    let media = request.header("content-type").unwrap_or_default().to_owned();
    let body = if request.body.is_empty() {
        Value::Null
    } else if media.starts_with("application/json") {
        serde_json::from_slice(&request.body).expect("what says it is JSON is JSON")
    } else if let Some((_, boundary)) = media.split_once("boundary=") {
        parts(&request.body, boundary)
    } else {
        bytes(&request.body)
    };
    normal(Wire {
        method: request.method.clone(),
        target: request.target.clone(),
        headers: request.headers.clone(),
        body,
    })
}

/// A request before it is made normal.
struct Wire {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Value,
}

fn recorded(request: &Value) -> Wire {
    let body = &request["body"];
    Wire {
        method: text(&request["method"]),
        target: text(&request["raw_target"]),
        headers: pairs(&request["headers"]),
        body: match body["kind"].as_str() {
            Some("empty") => Value::Null,
            Some("json") => body["json"].clone(),
            Some("multipart") => {
                let parts = body["parts"].as_array().expect("a form has parts").iter();
                parts.map(recorded_part).collect()
            }
            _ => bytes(&content(body)),
        },
    }
}

fn recorded_part(part: &Value) -> Value {
    let headers = pairs(&part["headers"]);
    let media = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    json!({
        "name": part["name"],
        "file": part["filename"],
        "type": media.map(|(_, media)| media),
        "bytes": bytes(&content(&part["body"])),
    })
}

fn answer(response: &Value) -> Answer {
    let status = response["status"].as_u64().expect("a status");
    let body = content(&response["body"]);
    let headers = pairs(&response["headers"]);
    Answer {
        status: u16::try_from(status).expect("a status"),
        headers,
        before: Vec::new(),
        body: vec![Step::Send(body)],
    }
}

/// The bytes of a recorded body.
fn content(body: &Value) -> Vec<u8> {
    match body["kind"].as_str() {
        Some("json") => text(&body["raw_text"]).into_bytes(),
        Some("text") => text(&body["text"]).into_bytes(),
        Some("binary") => {
            let packed = STANDARD.decode(text(&body["gzip_base64"])).expect("it is base64");
            let mut bytes = Vec::new();
            std::io::copy(&mut GzDecoder::new(packed.as_slice()), &mut bytes).expect("it is gzip");
            bytes
        }
        _ => Vec::new(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let pairs = value.as_array().into_iter().flatten();
    pairs.map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
}

/// Bytes in a form that can be shown: text as it is, and others by their hash.
fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => {
            let hash = flow_core::content::ContentHash::of_bytes(bytes);
            json!({ "length": bytes.len(), "hash": hash.to_string() })
        }
    }
}

/// The parts of a form.
fn parts(body: &[u8], boundary: &str) -> Value {
    let mark = format!("--{boundary}");
    let finder = memchr::memmem::Finder::new(&mark);
    let at: Vec<_> = finder.find_iter(body).collect();
    let between = at.windows(2).map(|at| &body[at[0] + mark.len() + 2..at[1] - 2]);
    between.map(part).collect()
}

fn part(part: &[u8]) -> Value {
    let end = memchr::memmem::find(part, b"\r\n\r\n").expect("a part has a head");
    let head = String::from_utf8_lossy(&part[..end]).into_owned();
    let quoted = |key: &str| {
        let (_, rest) = head.split_once(&format!("{key}=\""))?;
        Some(rest.split('"').next().unwrap_or_default().to_owned())
    };
    let media = head.lines().find_map(|line| {
        let (name, media) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-type").then(|| media.to_owned())
    });
    json!({
        "name": quoted("; name"),
        "file": quoted("; filename"),
        "type": media,
        "bytes": bytes(&part[end + 4..]),
    })
}

/// Header fields that say nothing of what is asked.
fn is_incidental(name: &str) -> bool {
    let exact = ["host", "connection", "user-agent", "x-goog-api-client", "content-length"];
    let families = ["accept", "x-stainless-"];
    exact.contains(&name) || families.iter().any(|family| name.starts_with(family))
}

/// Header fields that the Gemini library leaves on the pieces of an upload.
fn is_left_over(name: &str) -> bool {
    name == "content-type"
        || name == "x-goog-upload-protocol"
        || name == "x-goog-upload-file-name"
        || name.starts_with("x-goog-upload-header-")
}

fn normal(wire: Wire) -> Value {
    let (path, query) = wire.target.split_once('?').unwrap_or((&wire.target, ""));
    let mut query: Vec<_> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    query.sort_unstable();
    let mut headers: Vec<_> = wire
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .filter(|(name, _)| !is_incidental(name))
        .collect();
    let command = headers.iter().find(|(name, _)| name == "x-goog-upload-command");
    if command.is_some_and(|(_, command)| command.starts_with("upload")) {
        headers.retain(|(name, _)| !is_left_over(name));
    }
    for (name, value) in &mut headers {
        if name == "content-type" && value.contains("boundary=") {
            value.truncate(value.find(';').unwrap_or(value.len()));
        }
    }
    headers.sort();
    let gemini = headers.iter().any(|(name, _)| name == "x-goog-api-key");
    json!({
        "method": wire.method,
        "path": path,
        "query": query,
        "headers": headers.into_iter().map(|(name, value)| json!([name, value])).collect::<Value>(),
        "body": top(value(wire.body, gemini), gemini),
    })
}

/// A value with every number a float, and of Gemini's with the keys and the base64 of its
/// documentation.
fn value(of: Value, gemini: bool) -> Value {
    match of {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.into_iter().map(|item| value(item, gemini)).collect(),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, of)| {
                    let key = if gemini { camel(&key) } else { key };
                    let of = match of {
                        Value::String(text) if gemini => Value::String(gemini_text(&key, text)),
                        of => value(of, gemini),
                    };
                    (key, of)
                })
                .collect::<Map<_, _>>(),
        ),
        Value::Null | Value::Bool(_) | Value::String(_) => of,
    }
}

fn gemini_text(key: &str, text: String) -> String {
    match key {
        "data" | "continuationToken" => text.replace('-', "+").replace('_', "/"),
        _ => text,
    }
}

fn camel(key: &str) -> String {
    let mut words = key.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

/// What is said by leaving it out is left out.
fn top(mut body: Value, gemini: bool) -> Value {
    let Value::Object(map) = &mut body else {
        return body;
    };
    map.retain(|key, value| match key.as_str() {
        "stream" => *value != json!(false),
        "tools" => *value != json!([]),
        "generationConfig" => !gemini || *value != json!({}),
        _ => true,
    });
    if gemini {
        if let Some(Value::Object(system)) = map.get_mut("systemInstruction") {
            system.remove("role");
        }
        if let Some(Value::Object(file)) = map.get_mut("file")
            && let Some(Value::String(size)) = file.get("sizeBytes")
        {
            let size = size.parse::<f64>().ok();
            file.insert("sizeBytes".into(), json!(size));
        }
    }
    body
}
