//! Questions to a model by reqwest alone, as many and as many at once as told: what
//! `benches/exchanges.py` measures flow beside.
//!
//! ```text
//! exchange URL COUNT AT_ONCE [IMAGE]
//! ```
//!
//! Each question reads its image anew and holds it in memory, as most programs do. Nothing is
//! kept and nothing is tried again.

use std::error::Error;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut words = std::env::args().skip(1);
    let mut word = || words.next().ok_or("exchange URL COUNT AT_ONCE [IMAGE]");
    let (url, count, at_once) = (word()?, word()?.parse::<usize>()?, word()?.parse::<usize>()?);
    let image = word().ok();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().build()?;
    let asked = |number| ask(&client, &url, number, image.as_deref());
    stream::iter((0..count).map(Ok)).try_for_each_concurrent(at_once, asked).await
}

async fn ask(
    client: &reqwest::Client,
    url: &str,
    number: usize,
    image: Option<&str>,
) -> Outcome<()> {
    let mut content = Vec::new();
    if let Some(path) = image {
        let mut url = "data:image/png;base64,".to_owned();
        write!(url, "{}", STANDARD.encode(tokio::fs::read(path).await?))?;
        content.push(json!({ "type": "image_url", "image_url": { "url": url } }));
    }
    content.push(json!({ "type": "text", "text": format!("What is this? {number}") }));
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": content }] });
    let request = client.post(url).header("content-type", "application/json");
    let request = request.header("authorization", "Bearer key").body(serde_json::to_vec(&body)?);
    let response = request.send().await?.error_for_status()?;
    let mut reply = Vec::new();
    let mut bytes = response.bytes_stream();
    while let Some(more) = bytes.next().await {
        reply.extend_from_slice(&more?);
    }
    let reply: Value = serde_json::from_slice(&reply)?;
    let text = reply["choices"][0]["message"]["content"].as_str();
    text.map(drop).ok_or_else(|| "there is no answer".into())
}
