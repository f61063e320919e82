//! Reading an exchange, whoever wrote it: what is wrong is told by its field.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use flow_core::content::ContentHash;
use flow_core::error::{ErrorClass, Failure};
use serde_json::{Map, Value};

use super::exchange::{Content, Exchange, Origin, Response, VERSION};
use super::{Asked, TapeError};

/// What is wrong with a file, by its field.
type Fault = String;

/// Reads the exchange of a file, and the file beside it that it may name.
pub(super) fn exchange(file: &Path) -> Result<Exchange, TapeError> {
    let io = |path: &Path, source| TapeError::Io { path: path.to_path_buf(), source };
    let bytes = std::fs::read(file).map_err(|source| io(file, source))?;
    let damaged = |fault| TapeError::Damaged { file: file.to_path_buf(), fault };
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|error| damaged(format!("no JSON: {error}")))?;
    let mut exchange = Fields::of(&value, "").and_then(read).map_err(damaged)?;
    if let Some(Response { content: Content::File(name, bytes), .. }) = &mut exchange.response {
        let beside = file.with_file_name(&*name);
        let read = std::fs::read(&beside).map_err(|source| io(&beside, source))?;
        let hash = ContentHash::of_bytes(&read).hex();
        let stem = name.split('.').next().unwrap_or_default();
        if stem.len() == hash.len() && stem != hash {
            return Err(damaged(format!("`response.file` names `{name}`, which was changed")));
        }
        *bytes = Bytes::from(read);
    }
    Ok(exchange)
}

fn read(mut top: Fields<'_>) -> Result<Exchange, Fault> {
    let version = top.needed("version")?;
    if version.as_u64() != Some(VERSION) {
        return Err(format!("`version` is {version}, and this flow reads {VERSION}"));
    }
    let origin = top.text("origin")?;
    let origin =
        Origin::ALL.into_iter().find(|known| known.as_str() == origin).ok_or_else(|| {
            let known = Origin::ALL.map(|known| format!("`{}`", known.as_str())).join(" nor ");
            format!("`origin` is `{origin}`, which is neither {known}")
        })?;
    let (kind, provider) = (top.text("kind")?, top.text("provider")?);
    let mut request = top.fields("request")?;
    let asked = Asked {
        kind,
        provider,
        method: request.text("method")?,
        url: request.text("url")?,
        headers: request.headers()?,
        body: request.optional("body").cloned().unwrap_or_default(),
    };
    request.end()?;
    let response = match top.optional("response") {
        None => None,
        Some(_) => Some(response(top.fields("response")?)?),
    };
    let failure = match top.optional("failure") {
        None => None,
        Some(_) => Some(failure(top.fields("failure")?)?),
    };
    top.end()?;
    if response.is_none() && failure.is_none() {
        return Err("neither `response` nor `failure` is there".into());
    }
    Ok(Exchange { origin, asked, response, failure })
}

fn response(mut fields: Fields<'_>) -> Result<Response, Fault> {
    let status = fields.needed("status")?;
    let number = status.as_u64().and_then(|status| u16::try_from(status).ok());
    let status =
        number.ok_or_else(|| format!("`response.status` is {status}, which is no status"))?;
    let headers = fields.headers()?;
    let stderr = match fields.optional("stderr") {
        None => None,
        Some(_) => Some(fields.text("stderr")?),
    };
    let mut contents = Vec::new();
    if let Some(value) = fields.optional("json") {
        contents.push(("json", Content::Json(value.clone())));
    }
    if fields.optional("body").is_some() {
        contents.push(("body", Content::Text(fields.text("body")?)));
    }
    if let Some(value) = fields.optional("pieces") {
        let pieces = value.as_array().ok_or("`response.pieces` is no list")?;
        let pieces = pieces.iter().enumerate().map(|(at, piece)| {
            let text = piece.as_str().ok_or_else(|| format!("`response.pieces[{at}]` is no text"));
            text.map(str::to_owned)
        });
        contents.push(("pieces", Content::Pieces(pieces.collect::<Result<_, _>>()?)));
    }
    if fields.optional("file").is_some() {
        let name = fields.text("file")?;
        if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
            return Err(format!("`response.file` is `{name}`, which names no file beside it"));
        }
        contents.push(("file", Content::File(name, Bytes::new())));
    }
    fields.end()?;
    if let [(first, _), (second, _), ..] = contents.as_slice() {
        return Err(format!("`response.{first}` and `response.{second}` are both there"));
    }
    let content = contents.pop().map(|(_, content)| content).unwrap_or_default();
    Ok(Response { status, headers, content, stderr })
}

fn failure(mut fields: Fields<'_>) -> Result<Failure, Fault> {
    let class = fields.text("class")?;
    let class = ErrorClass::from_name(&class)
        .ok_or_else(|| format!("`failure.class` is `{class}`, and there is no such class"))?;
    let mut failure = Failure::new(class, fields.text("message")?);
    if fields.optional("hint").is_some() {
        failure.hint = Some(fields.text("hint")?);
    }
    fields.end()?;
    Ok(failure)
}

/// The fields of an object that is read one by one.
struct Fields<'v> {
    map: &'v Map<String, Value>,
    /// What stands before their names, with a dot at the end.
    place: String,
    known: Vec<&'static str>,
}

impl<'v> Fields<'v> {
    fn of(value: &'v Value, place: &str) -> Result<Self, Fault> {
        match value.as_object() {
            Some(map) => Ok(Self { map, place: place.to_owned(), known: Vec::new() }),
            None if place.is_empty() => Err("it is no object".into()),
            None => Err(format!("`{}` is no object", place.trim_end_matches('.'))),
        }
    }

    fn optional(&mut self, name: &'static str) -> Option<&'v Value> {
        self.known.push(name);
        self.map.get(name)
    }

    fn needed(&mut self, name: &'static str) -> Result<&'v Value, Fault> {
        let place = format!("`{}{name}` is missing", self.place);
        self.optional(name).ok_or(place)
    }

    fn text(&mut self, name: &'static str) -> Result<String, Fault> {
        let value = self.needed(name)?;
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| format!("`{}{name}` is no text", self.place))
    }

    fn fields(&mut self, name: &'static str) -> Result<Self, Fault> {
        Fields::of(self.needed(name)?, &format!("{}{name}.", self.place))
    }

    fn headers(&mut self) -> Result<BTreeMap<String, String>, Fault> {
        let Some(headers) = self.optional("headers") else { return Ok(BTreeMap::new()) };
        let place = format!("{}headers", self.place);
        let map = headers.as_object().ok_or_else(|| format!("`{place}` is no object"))?;
        let entries = map.iter().map(|(name, value)| {
            let text = value.as_str().ok_or_else(|| format!("`{place}.{name}` is no text"))?;
            Ok((name.to_ascii_lowercase(), text.to_owned()))
        });
        entries.collect()
    }

    /// Says that there is a field that nobody knows.
    fn end(self) -> Result<(), Fault> {
        match self.map.keys().find(|name| !self.known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(format!("nobody knows the field `{}{name}`", self.place)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn whole() -> Value {
        json!({
            "version": 1, "origin": "written by hand", "kind": "openai", "provider": "mine",
            "request": { "method": "POST", "url": "/x", "headers": { "A": "b" }, "body": { "c": 1 } },
            "response": { "status": 200, "headers": {}, "pieces": ["d", "e"] },
            "failure": { "class": "connection", "message": "broke off" },
        })
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("1-a.json");
        std::fs::write(&file, whole().to_string()).unwrap();
        let read = exchange(&file).unwrap();
        let mut written = whole();
        written["request"]["headers"] = json!({ "a": "b" });
        written["response"].as_object_mut().unwrap().remove("headers");
        assert_eq!(read.to_value(), written);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_field() {
        let set = |path: &str, value: Value| {
            let mut whole = whole();
            match path.rsplit_once('/') {
                Some((parent, name)) => whole.pointer_mut(parent).unwrap()[name] = value,
                None => whole = value,
            }
            whole
        };
        let without = |parent: &str, name: &str| {
            let mut whole = whole();
            whole.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
            whole
        };
        for (value, fault) in [
            (json!([]), "it is no object"),
            (without("", "version"), "`version` is missing"),
            (set("/version", json!(2)), "`version` is 2, and this flow reads 1"),
            (
                set("/origin", json!("made up")),
                "`origin` is `made up`, which is neither `recorded` nor `written by hand`",
            ),
            (without("/request", "url"), "`request.url` is missing"),
            (set("/request", json!(1)), "`request` is no object"),
            (set("/request/method", json!(1)), "`request.method` is no text"),
            (set("/request/headers/A", json!(1)), "`request.headers.A` is no text"),
            (
                set("/response/status", json!("200")),
                "`response.status` is \"200\", which is no status",
            ),
            (set("/response/pieces", json!("x")), "`response.pieces` is no list"),
            (set("/response/pieces", json!(["a", 1])), "`response.pieces[1]` is no text"),
            (
                set("/response/json", json!({})),
                "`response.json` and `response.pieces` are both there",
            ),
            (set("/response/bdy", json!("")), "nobody knows the field `response.bdy`"),
            (set("/respons", json!({})), "nobody knows the field `respons`"),
            (
                set("/failure/class", json!("bad")),
                "`failure.class` is `bad`, and there is no such class",
            ),
            (
                json!({
                    "version": 1, "origin": "recorded", "kind": "x", "provider": "y",
                    "request": { "method": "GET", "url": "/" },
                }),
                "neither `response` nor `failure` is there",
            ),
            (
                set("/response", json!({ "status": 200, "file": "../secret" })),
                "`response.file` is `../secret`, which names no file beside it",
            ),
        ] {
            assert_eq!(Fields::of(&value, "").and_then(read).unwrap_err(), fault);
        }
    }

    #[test]
    fn a_file_that_is_no_json_or_names_a_changed_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("1-a.json");
        std::fs::write(&file, "{\n  oops }").unwrap();
        let error = exchange(&file).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("`{}`: no JSON: key must be a string at line 2 column 3", file.display())
        );
        let name = format!("{}.bin", "0".repeat(64));
        let mut value = whole();
        value["response"] = json!({ "status": 200, "file": name });
        std::fs::write(&file, value.to_string()).unwrap();
        std::fs::write(folder.path().join(&name), "changed").unwrap();
        let error = exchange(&file).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("`{}`: `response.file` names `{name}`, which was changed", file.display())
        );
    }
}
