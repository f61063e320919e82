//! Plugins in registries of containers, by the plain protocol: a manifest, and its layers.
//!
//! Only what anybody may pull is had; a registry that wants a name and a password is told so.

use flow_core::content::ContentHash;
use flow_core::plugin::{HttpClient, HttpResponse};
use serde_json::Value;

use super::lock::InstallError;
use super::source::{Fetched, get, is_here};

/// Forms of manifests that are understood.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// Media types of a layer that is a component.
const COMPONENTS: &[&str] = &["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];

/// The media type of a layer that is a `plugin.yaml`.
const MANIFEST: &str = "application/vnd.flow.plugin.manifest.v1+yaml";

/// A name in a registry.
struct Name<'n> {
    whole: &'n str,
    base: String,
    repository: &'n str,
    reference: &'n str,
}

/// Pulls a plugin.
///
/// Dropping the future ends the exchange.
pub(super) async fn pull(name: &str, http: &dyn HttpClient) -> Result<Fetched, InstallError> {
    let failed = |why: &str| InstallError::Fetch { from: name.to_owned(), why: why.to_owned() };
    let named = parsed(name).ok_or_else(|| failed("write it as `oci://REGISTRY/NAME:TAG`"))?;
    let Name { base, repository, reference, .. } = &named;
    let mut token = None;
    let url = format!("{base}/v2/{repository}/manifests/{reference}");
    let reply = asked(&named, http, &url, &mut token).await?;
    if let Some(hash) = reference.strip_prefix("sha256:") {
        held(&reply.body, hash, &failed)?;
    }
    let manifest: Value =
        serde_json::from_slice(&reply.body).map_err(|_| failed("its manifest is no JSON"))?;
    let layers = manifest["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_type = |wanted: &[&str]| {
        layers.iter().find(|layer| layer["mediaType"].as_str().is_some_and(|t| wanted.contains(&t)))
    };
    let layer = of_type(COMPONENTS).ok_or_else(|| failed("it holds no `application/wasm`"))?;
    let component = blob(&named, http, layer, &mut token).await?;
    let manifest = match of_type(&[MANIFEST]) {
        Some(layer) => Some(blob(&named, http, layer, &mut token).await?),
        None => None,
    };
    Ok(Fetched { component, manifest })
}

fn parsed(whole: &str) -> Option<Name<'_>> {
    let (registry, rest) = whole.strip_prefix("oci://")?.split_once('/')?;
    let (repository, reference) = match rest.split_once('@') {
        Some(pair) => pair,
        None => rest.rsplit_once(':').unwrap_or((rest, "latest")),
    };
    let plain = |text: &str, more: &str| {
        !text.is_empty()
            && !text.contains("..")
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    let sound = plain(registry, ".-:[]") && plain(repository, "._-/") && plain(reference, "._-:");
    let here = is_here(registry.rsplit_once(':').map_or(registry, |(name, _)| name));
    let scheme = if here { "http" } else { "https" };
    let base = format!("{scheme}://{registry}");
    sound.then_some(Name { whole, base, repository, reference })
}

/// A layer, which must be what the manifest says.
async fn blob(
    named: &Name<'_>,
    http: &dyn HttpClient,
    layer: &Value,
    token: &mut Option<String>,
) -> Result<Vec<u8>, InstallError> {
    let failed =
        |why: &str| InstallError::Fetch { from: named.whole.to_owned(), why: why.to_owned() };
    let digest = layer["digest"].as_str().unwrap_or_default();
    let hash = digest.strip_prefix("sha256:").ok_or_else(|| failed("a layer has no digest"))?;
    if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(failed("a layer has no digest"));
    }
    let url = format!("{}/v2/{}/blobs/{digest}", named.base, named.repository);
    let reply = asked(named, http, &url, token).await?;
    held(&reply.body, hash, &failed)?;
    Ok(reply.body)
}

fn held(
    bytes: &[u8],
    hash: &str,
    failed: &dyn Fn(&str) -> InstallError,
) -> Result<(), InstallError> {
    match ContentHash::of_bytes(bytes).hex() == hash {
        true => Ok(()),
        false => Err(failed("what came is not what its digest says")),
    }
}

/// Asks the registry, with a token for anybody where it wants one.
async fn asked(
    named: &Name<'_>,
    http: &dyn HttpClient,
    url: &str,
    token: &mut Option<String>,
) -> Result<HttpResponse, InstallError> {
    let failed = |why: String| InstallError::Fetch { from: named.whole.to_owned(), why };
    loop {
        let mut headers = vec![("accept".to_owned(), format!("{MANIFESTS}, */*"))];
        if let Some(token) = token {
            headers.push(("authorization".into(), format!("Bearer {token}")));
        }
        let reply = get(http, url, &headers).await?;
        match reply.status {
            200 => return Ok(reply),
            401 if token.is_none() => *token = Some(for_anybody(named, http, &reply).await?),
            401 | 403 => {
                return Err(failed("the registry gives it only to who is known there".into()));
            }
            status => return Err(failed(format!("the registry answered {status}"))),
        }
    }
}

/// The token that a registry gives to anybody.
async fn for_anybody(
    named: &Name<'_>,
    http: &dyn HttpClient,
    reply: &HttpResponse,
) -> Result<String, InstallError> {
    let failed =
        |why: &str| InstallError::Fetch { from: named.whole.to_owned(), why: why.to_owned() };
    let challenge = reply.headers.iter().find(|(name, _)| name == "www-authenticate");
    let challenge = challenge.map(|(_, value)| value.as_str()).unwrap_or_default();
    let said = |key: &str| {
        let (_, rest) = challenge.split_once(&format!("{key}=\""))?;
        rest.split('"').next()
    };
    let realm = said("realm").ok_or_else(|| failed("the registry does not say who it trusts"))?;
    let service = said("service").unwrap_or_default();
    let url = format!("{realm}?service={service}&scope=repository:{}:pull", named.repository);
    let reply = get(http, &url, &[]).await?;
    let told: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let token = told["token"].as_str().or(told["access_token"].as_str());
    token
        .map(str::to_owned)
        .ok_or_else(|| failed("the registry gives it only to who is known there"))
}
