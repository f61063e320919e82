//! Vectors of texts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flow_core::error::ErrorClass;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::wire::Usage;
use crate::http::{Body, Call};
use crate::service::{Endpoint, Fault, Tokens, parse};

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: &'a [String],
    encoding_format: &'static str,
}

#[derive(Deserialize)]
struct Embeddings {
    data: Vec<Embedding>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Embedding {
    index: usize,
    embedding: Vector,
}

/// Base64 as it is asked for, or numbers from servers that know nothing else.
#[derive(Deserialize)]
#[serde(untagged)]
enum Vector {
    Packed(String),
    Numbers(Vec<f32>),
}

pub(super) fn ask(endpoint: &Endpoint, model: &str, texts: &[String]) -> Call {
    let request = Request { model, input: texts, encoding_format: "base64" };
    endpoint.call(Method::POST, "/embeddings", Body::json(&request))
}

/// The vectors in the order of the texts, and what they took.
pub(super) fn read(body: &[u8]) -> Result<(Vec<Vec<f32>>, Tokens), Fault> {
    let mut embeddings: Embeddings = parse(body)?;
    embeddings.data.sort_by_key(|embedding| embedding.index);
    let vectors = embeddings.data.into_iter().map(|embedding| match embedding.embedding {
        Vector::Numbers(numbers) => Ok(numbers),
        Vector::Packed(text) => unpack(&text).ok_or_else(|| {
            let message = "a vector is no base64 of 32-bit floats";
            Fault::new(ErrorClass::Server, message)
        }),
    });
    let vectors = vectors.collect::<Result<_, _>>()?;
    let input = embeddings.usage.and_then(|usage| usage.prompt_tokens);
    Ok((vectors, Tokens { input, output: Some(0), ..Tokens::default() }))
}

fn unpack(text: &str) -> Option<Vec<f32>> {
    let bytes = STANDARD.decode(text).ok()?;
    let (floats, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| floats.iter().copied().map(f32::from_le_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_in_the_order_of_the_texts_packed_or_not() {
        // 1.0 and -0.5 in 32 bits, the lowest byte first.
        let packed = r#"{"index":1,"embedding":"AACAPwAAAL8="}"#;
        let numbers = r#"{"index":0,"embedding":[0.25]}"#;
        let usage = r#"{"prompt_tokens":8,"total_tokens":8}"#;
        let body = format!(r#"{{"data":[{packed},{numbers}],"usage":{usage}}}"#);
        let (vectors, tokens) = read(body.as_bytes()).unwrap();
        assert_eq!(vectors, [vec![0.25], vec![1.0, -0.5]]);
        assert_eq!((tokens.input, tokens.output), (Some(8), Some(0)));
    }

    #[test]
    fn a_vector_that_is_cut_is_told() {
        let fault = read(br#"{"data":[{"index":0,"embedding":"AACAPwA="}]}"#).unwrap_err();
        assert_eq!(fault.class, ErrorClass::Server);
        assert_eq!(fault.message, "a vector is no base64 of 32-bit floats");
    }
}
