//! Where a plugin comes from: a file, an address, or a registry of containers.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use flow_core::plugin::{HttpClient, HttpRequest, HttpResponse};

use super::lock::InstallError;
use super::oci;
use crate::loader::{MANIFEST, place_of};
use crate::policy::Manifest;
use crate::policy::limits::fixed;

/// The most redirects that are followed. Who installs named the first address, and the hash
/// that counts is kept.
const REDIRECTS: usize = 5;

/// The most that one request may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// Where a plugin comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A `.wasm` file, a `plugin.yaml`, or the folder of that.
    Path(PathBuf),
    /// The address of a `.wasm` file, or of a `plugin.yaml` with its component beside it.
    Url(String),
    /// `oci://REGISTRY/NAME:TAG` or `…@sha256:…`.
    Oci(String),
}

impl Source {
    /// Reads what was typed.
    pub fn of(text: &str) -> Self {
        match text {
            _ if text.starts_with("oci://") => Self::Oci(text.to_owned()),
            _ if text.starts_with("https://") || text.starts_with("http://") => {
                Self::Url(text.to_owned())
            }
            _ => Self::Path(text.into()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Url(text) | Self::Oci(text) => f.write_str(text),
        }
    }
}

/// What came from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The component's bytes.
    pub component: Vec<u8>,
    /// The manifest's, where there is one.
    pub manifest: Option<Vec<u8>>,
}

/// Gets a plugin.
///
/// Dropping the future ends the exchange.
pub async fn fetch(source: &Source, http: &dyn HttpClient) -> Result<Fetched, InstallError> {
    match source {
        Source::Path(path) => {
            let failed = |why: String| InstallError::Fetch { from: source.to_string(), why };
            let (manifest, component) =
                place_of(&source.to_string(), path).map_err(|fault| failed(fault.message))?;
            let read = |path: PathBuf| {
                std::fs::read(&path).map_err(|why| InstallError::Write { path, why })
            };
            let manifest = match manifest {
                Some(_) => Some(read(component.with_file_name(MANIFEST))?),
                None => None,
            };
            Ok(Fetched { component: read(component)?, manifest })
        }
        Source::Url(url) => {
            let first = download(http, url).await?;
            if first.starts_with(b"\0asm") {
                return Ok(Fetched { component: first, manifest: None });
            }
            let file = Manifest::read(&first)?.file;
            let beside = url.rsplit_once('/').map_or("", |(folder, _)| folder);
            let component = download(http, &format!("{beside}/{file}")).await?;
            Ok(Fetched { component, manifest: Some(first) })
        }
        Source::Oci(name) => oci::pull(name, http).await,
    }
}

/// Downloads a file.
async fn download(http: &dyn HttpClient, url: &str) -> Result<Vec<u8>, InstallError> {
    let response = get(http, url, &[]).await?;
    match response.status {
        200 => Ok(response.body),
        status => {
            let why = format!("the server answered {status}");
            Err(InstallError::Fetch { from: url.to_owned(), why })
        }
    }
}

/// Asks an address, and follows where it leads. Header fields go to the first host alone.
pub(super) async fn get(
    http: &dyn HttpClient,
    url: &str,
    headers: &[(String, String)],
) -> Result<HttpResponse, InstallError> {
    let failed = |why: String| InstallError::Fetch { from: url.to_owned(), why };
    let mut at = url.to_owned();
    for _ in 0..=REDIRECTS {
        if !is_safe(&at) {
            return Err(failed(format!("`{at}` is not encrypted: use `https`")));
        }
        let same_host = host(&at) == host(url);
        let response = http
            .send(HttpRequest {
                plugin: "install".into(),
                method: "GET".into(),
                url: at.clone(),
                headers: if same_host { headers.to_vec() } else { Vec::new() },
                secrets: Vec::new(),
                body: None,
                timeout: PATIENCE,
                most: fixed::WASM,
                // Who installs may name a server of their own network; a redirect may not.
                private: same_host,
            })
            .await
            .map_err(|failure| failed(failure.message))?;
        if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
            return Ok(response);
        }
        let target = response.headers.iter().find(|(name, _)| name == "location");
        let Some((_, target)) = target else {
            return Err(failed("a redirect leads nowhere".into()));
        };
        at = match target.starts_with('/') {
            true => format!("{}://{}{target}", scheme(&at), host(&at)),
            false => target.clone(),
        };
    }
    Err(failed(format!("more than {REDIRECTS} redirects")))
}

/// What stands before `://`.
fn scheme(url: &str) -> &str {
    url.split("://").next().unwrap_or_default()
}

/// The name and the port of the server.
fn host(url: &str) -> &str {
    url.split("://").nth(1).unwrap_or_default().split(['/', '?', '#']).next().unwrap_or_default()
}

/// Whether nobody on the way can change what comes: it is encrypted, or does not leave here.
fn is_safe(url: &str) -> bool {
    let name = host(url).rsplit_once(':').map_or(host(url), |(name, _)| name);
    scheme(url) == "https" || is_here(name)
}

/// Whether a host is this machine.
pub(super) fn is_here(name: &str) -> bool {
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}
