//! The models that there are.

use reqwest::Method;
use serde::Deserialize;

use crate::http::{Body, Call};
use crate::service::{Endpoint, Fault, Listed, parse};

#[derive(Deserialize)]
struct Page {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

pub(super) fn list(endpoint: &Endpoint) -> Call {
    endpoint.call(Method::GET, "/models", Body::Empty)
}

pub(super) fn read(body: &[u8]) -> Result<Listed, Fault> {
    let page: Page = parse(body)?;
    let models = page.data.into_iter().map(|model| model.id).collect();
    // The list comes whole, however long it is.
    Ok(Listed { models, next: None })
}
