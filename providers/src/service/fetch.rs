//! Fetches what a request names by address, for services that take no addresses.
//!
//! Only public addresses are asked, over http and https, and each that an answer sends on to
//! is checked the same way ([`guard`](crate::http::is_public)). Size and time are bounded,
//! nothing that identifies anybody is sent, and no proxy is used, which would resolve names by
//! itself. What comes is kept as an artifact, its type read from its bytes.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use flow_core::artifact::ArtifactRef;
use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::{CallContext, Media, MediaFile, Part, Request};
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, Url};

use super::status::class_of_status;
use crate::http::{Allowed, Body, Call, Http, Incoming, Patience, is_public};
use crate::redact::Redactor;
use crate::tape::Tape;

/// The most bytes of a file.
const LARGEST: usize = 20 << 20;

/// How often an answer may send on to another address.
const REDIRECTS: usize = 5;

/// How long a file may take, redirects included.
const WAIT: Duration = Duration::from_mins(1);

/// Who fetches.
pub(crate) struct Outside {
    allowed: Allowed,
    tape: Tape,
    /// Made when something is first fetched.
    http: OnceLock<Http>,
}

/// The kind of what is fetched, as a cassette knows it.
const KIND: &str = "fetch";

impl Outside {
    pub(crate) fn new(tape: Tape) -> Self {
        Self { allowed: is_public, tape, http: OnceLock::new() }
    }

    /// The request with every address in it fetched; as it is where there is none.
    ///
    /// Ends soon after the context's token is cancelled. Dropping the future leaves behind
    /// what was kept by then.
    pub(super) async fn fetched<'r>(
        &self,
        provider: &str,
        request: &'r Request,
        context: &CallContext<'_>,
    ) -> Result<Cow<'r, Request>, Failure> {
        let parts = request.messages.iter().flat_map(|message| &message.parts);
        if !parts.into_iter().any(|part| address(part).is_some()) {
            return Ok(Cow::Borrowed(request));
        }
        let mut request = request.clone();
        for part in request.messages.iter_mut().flat_map(|message| &mut message.parts) {
            let Some(url) = address(part).map(str::to_owned) else { continue };
            let artifact = tokio::select! {
                fetched = self.in_time(provider, &url, context) => fetched?,
                () = context.cancel.cancelled() => {
                    return Err(Failure::new(ErrorClass::Cancelled, "the call was stopped"));
                }
            };
            if matches!(part, Part::Image(_)) && !artifact.media_type.starts_with("image/") {
                let message = format!("`{}` is no image but {}", shown(&url), artifact.media_type);
                return Err(Failure::input(message));
            }
            if let Some(media) = media_of(part) {
                media.file = MediaFile::Artifact(artifact);
            }
        }
        Ok(Cow::Owned(request))
    }

    async fn in_time(
        &self,
        provider: &str,
        url: &str,
        context: &CallContext<'_>,
    ) -> Result<ArtifactRef, Failure> {
        let fetched = tokio::time::timeout(WAIT, self.fetch(provider, url, context)).await;
        fetched.unwrap_or_else(|_| {
            let message = format!("`{}` did not come within {WAIT:?}", shown(url));
            Err(Failure::new(ErrorClass::Timeout, message))
        })
    }

    async fn fetch(
        &self,
        provider: &str,
        url: &str,
        context: &CallContext<'_>,
    ) -> Result<ArtifactRef, Failure> {
        let http = self.http.get_or_init(|| Http::guarded(self.allowed, self.tape.clone()));
        let mut at = parsed(url)?;
        for _ in 0..=REDIRECTS {
            self.check(&at)?;
            let incoming = http.open(call(provider, &at), &context.cancel).await;
            let incoming = incoming.map_err(|failure| match failure.class {
                ErrorClass::Input => failure,
                _ => failure.with_hint(
                    "it is fetched from here, because the provider takes no addresses; a file works without",
                ),
            })?;
            match incoming.status {
                200..=299 => {
                    let bytes = bounded(incoming, &at).await?;
                    let name = name_of(&at);
                    return context.intake.keep(bytes, &name).await;
                }
                301 | 302 | 303 | 307 | 308 => at = sent_on(&incoming, &at)?,
                status => return Err(refused(status, &at)),
            }
        }
        let message = format!("`{}` sends on more than {REDIRECTS} times", shown(url));
        Err(Failure::new(ErrorClass::BadRequest, message))
    }

    /// Checks what can be known before anybody is asked.
    fn check(&self, url: &Url) -> Result<(), Failure> {
        if !matches!(url.scheme(), "http" | "https") {
            let message =
                format!("`{}` is not fetched: only http and https are", shown(url.as_str()));
            return Err(Failure::input(message));
        }
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        match literal.filter(|address| !(self.allowed)(*address)) {
            None => Ok(()),
            Some(address) => {
                Err(not_public(&shown(url.as_str()), &format!("{address} is no public address")))
            }
        }
    }
}

/// The failure of an address that is not asked.
pub(crate) fn not_public(url: &str, why: &str) -> Failure {
    Failure::input(format!("`{}` is not fetched: {why}", shown(url)))
        .with_hint("download it yourself, and give the file")
}

fn address(part: &Part) -> Option<&str> {
    match &part.media()?.file {
        MediaFile::Url(url) => Some(url),
        MediaFile::Artifact(_) | MediaFile::Uploaded { .. } => None,
    }
}

fn media_of(part: &mut Part) -> Option<&mut Media> {
    match part {
        Part::Text(_) => None,
        Part::Image(media) | Part::Document(media) | Part::Video(media) | Part::Audio(media) => {
            Some(media)
        }
    }
}

fn parsed(url: &str) -> Result<Url, Failure> {
    Url::parse(url).map_err(|error| Failure::input(format!("`{}`: {error}", shown(url))))
}

fn call(provider: &str, url: &Url) -> Call {
    let patience = Patience { answer: WAIT, pause: WAIT, ..Patience::default() };
    Call {
        provider: provider.to_owned(),
        kind: KIND,
        base_url: String::new(),
        method: Method::GET,
        url: url.to_string(),
        headers: HeaderMap::new(),
        body: Body::Empty,
        patience,
        redactor: Redactor::default(),
    }
}

fn sent_on(incoming: &Incoming, from: &Url) -> Result<Url, Failure> {
    let place = incoming.headers.get(LOCATION).and_then(|value| value.to_str().ok());
    place.and_then(|place| from.join(place).ok()).ok_or_else(|| {
        let message = format!("`{}` sends on to nowhere", shown(from.as_str()));
        Failure::new(ErrorClass::BadRequest, message)
    })
}

fn refused(status: u16, url: &Url) -> Failure {
    let class = match class_of_status(status) {
        // It is not the provider that refuses, and not its key.
        ErrorClass::Auth | ErrorClass::Quota => ErrorClass::BadRequest,
        class => class,
    };
    let message = format!("`{}` cannot be fetched: status {status}", shown(url.as_str()));
    let mut failure = Failure::new(class, message);
    failure.status = Some(status);
    failure
}

async fn bounded(mut incoming: Incoming, url: &Url) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(more) = incoming.next().await {
        bytes.extend_from_slice(&more?);
        if bytes.len() > LARGEST {
            let message = format!("`{}` holds more than {LARGEST} bytes", shown(url.as_str()));
            return Err(Failure::new(ErrorClass::TooLarge, message)
                .with_hint("download it yourself, and give the file"));
        }
    }
    Ok(bytes)
}

fn name_of(url: &Url) -> String {
    let last = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
    if last.is_empty() { "image".to_owned() } else { last.to_owned() }
}

/// An address as it is told: what identifies somebody, and the query that may, is left out.
fn shown(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else {
        return url.split(['?', '#']).next().unwrap_or_default().to_owned();
    };
    parsed.set_query(None);
    parsed.set_fragment(None);
    // A scheme that has no place for them has none to take out.
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{Ipv4Addr, SocketAddr};

    use flow_core::action::Admission;
    use flow_core::intake::Intake;
    use flow_core::provider::{Message, Role};
    use flow_core::store::Store;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    /// A picture of one pixel.
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xff\xff?\0\x05\xfe\x02\xfe\xa7\x9a\xa0\xa0\0\0\0\0IEND\xaeB`\x82";

    /// A server that sends `/moved` on, has a picture and a page, and is otherwise empty.
    async fn server() -> (SocketAddr, AbortOnDropHandle<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let large = vec![0; LARGEST + 1];
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let read = stream.read(&mut head).await.unwrap_or_default();
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let (status, location, body): (_, &str, &[u8]) = match path.as_str() {
                    "/moved" => (302, "/red.png?size=1", b""),
                    "/inside" => (302, "http://10.0.0.1/red.png", b""),
                    "/file" => (302, "file:///etc/passwd", b""),
                    "/round" => (302, "/round", b""),
                    "/red.png?size=1" => (200, "", PNG),
                    "/page.png" => (200, "", b"<html>no picture</html>"),
                    "/large" => (200, "", &large),
                    _ => (404, "", b""),
                };
                let place = if location.is_empty() { "x-none" } else { "location" };
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} Told\r\n{place}: {location}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                // A client that has seen enough goes away.
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(body).await;
            }
        });
        (address, AbortOnDropHandle::new(serving))
    }

    async fn fetched(path: &str) -> Result<ArtifactRef, Failure> {
        let (address, _serving) = server().await;
        fetched_from(address, path, Tape::default()).await
    }

    async fn fetched_from(
        address: SocketAddr,
        path: &str,
        tape: Tape,
    ) -> Result<ArtifactRef, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let intake = Intake::new(store.artifacts().clone(), crate::documents::sniff);
        let context = CallContext {
            intake: &intake,
            uploads: &store.uploads(flow_core::ids::RunId::from_parts(1, 1)),
            turn: &Admission::free(),
            order: 0,
            cancel: CancellationToken::new(),
            batches: None,
            caller: None,
            sink: &|_| {},
            log: &|_| {},
            note: &|_| {},
        };
        let outside = Outside { allowed: |address| address.is_loopback(), ..Outside::new(tape) };
        let file = MediaFile::Url(format!("http://{address}{path}"));
        let part = Part::Image(Media { file, options: BTreeMap::new() });
        let messages = vec![Message { role: Role::User, parts: vec![part] }];
        let request = Request { messages, ..Request::default() };
        let request = outside.fetched("mine", &request, &context).await?;
        let Part::Image(media) = &request.messages[0].parts[0] else { panic!("it is an image") };
        let MediaFile::Artifact(artifact) = &media.file else { panic!("it was fetched") };
        Ok(artifact.clone())
    }

    #[tokio::test]
    async fn an_image_is_fetched_wherever_it_moved_and_its_bytes_say_what_it_is() {
        let artifact = fetched("/moved").await.unwrap();
        assert_eq!(
            (artifact.media_type.as_str(), artifact.name.as_str()),
            ("image/png", "red.png")
        );
        assert_eq!(artifact.size, PNG.len() as u64);
    }

    #[tokio::test]
    async fn what_was_fetched_is_recorded_with_its_redirects_and_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (address, serving) = server().await;
        let tape = Tape::recording(folder.path()).unwrap();
        let fetched = fetched_from(address, "/moved", tape).await.unwrap();
        drop(serving);
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let port = address.port();
        let [moved, image, bytes] = names.as_slice() else { panic!("{names:?}") };
        assert!(moved.starts_with(&format!("0001-fetch-127-0-0-1-{port}-moved-")), "{moved}");
        assert!(image.starts_with(&format!("0002-fetch-127-0-0-1-{port}-red-png-")), "{image}");
        assert_eq!(bytes, &format!("{}.bin", fetched.hash.hex()));
        let tape = Tape::replaying(folder.path()).unwrap();
        assert_eq!(fetched_from(address, "/moved", tape.clone()).await.unwrap(), fetched);
        assert_eq!(tape.counts().exchanges, 2);
    }

    #[tokio::test]
    async fn what_is_no_image_or_leads_elsewhere_is_told() {
        for (path, class, message) in [
            (
                "/page.png?key=1",
                ErrorClass::NotFound,
                "`URL/page.png` cannot be fetched: status 404",
            ),
            ("/page.png", ErrorClass::Input, "`URL/page.png` is no image but text/html"),
            (
                "/inside",
                ErrorClass::Input,
                "`http://10.0.0.1/red.png` is not fetched: 10.0.0.1 is no public address",
            ),
            (
                "/file",
                ErrorClass::Input,
                "`file:///etc/passwd` is not fetched: only http and https are",
            ),
            ("/round", ErrorClass::BadRequest, "`URL/round` sends on more than 5 times"),
            ("/large", ErrorClass::TooLarge, "`URL/large` holds more than 20971520 bytes"),
        ] {
            let failure = fetched(path).await.unwrap_err();
            let start = failure.message.find("http://127.0.0.1:");
            let told = match start {
                None => failure.message.clone(),
                Some(start) => {
                    let rest = &failure.message[start + "http://".len()..];
                    let end = rest.find('/').unwrap();
                    format!("{}URL{}", &failure.message[..start], &rest[end..])
                }
            };
            assert_eq!((failure.class, told.as_str()), (class, message), "{path}");
        }
    }
}
