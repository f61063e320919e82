//! A hub on the loopback: it names a file's size and hash and sends on to another host, which
//! gives the bytes, whole or from where one asks, and breaks off as a test wants it.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flow_core::content::ContentHash;

/// What goes wrong with one answer of the host of the bytes.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The connection breaks after so many bytes.
    Cut(usize),
    /// Nothing comes after so many bytes, until the other side goes away.
    Hold(usize),
    /// The answer is complete with so many bytes.
    Short(usize),
    /// So many bytes more than the file has.
    Long(usize),
    /// A status, and nothing else.
    Status(u16),
    /// The whole file, whatever was asked for.
    Whole,
    /// A part that begins a byte later than was asked for.
    Shifted,
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `hub` or `host`.
    pub(crate) who: &'static str,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) token: Option<String>,
}

#[derive(Clone, Debug)]
struct File {
    bytes: Arc<Vec<u8>>,
    /// The hash that the hub names, if it names one.
    hash: Option<String>,
    /// The tag of the host of the bytes.
    tag: String,
}

#[derive(Default)]
struct State {
    files: HashMap<String, File>,
    faults: VecDeque<Fault>,
    asked: Vec<Asked>,
    /// What every request of the hub is answered with.
    refusal: Option<(u16, &'static str)>,
    host: String,
}

/// A hub and the host of its bytes; their threads end with the test.
#[derive(Clone)]
pub(crate) struct HubServer {
    /// The address of the hub.
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
}

/// The commit that every revision stands for.
pub(crate) const COMMIT: &str = "0123456789012345678901234567890123456789";

impl HubServer {
    pub(crate) fn new() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let host = serve(&state, at_host);
        locked(&state).host = host;
        let address = serve(&state, at_hub);
        Self { address, state }
    }

    /// Puts a file at `/ORG/NAME/resolve/REVISION/PATH`.
    pub(crate) fn put(&self, path: &str, bytes: Vec<u8>) {
        let hash = ContentHash::of_bytes(&bytes).hex();
        self.put_as(path, bytes, Some(hash));
    }

    /// The same with another hash than it has, or none.
    pub(crate) fn put_as(&self, path: &str, bytes: Vec<u8>, hash: Option<String>) {
        let tag = format!("\"{}\"", &ContentHash::of_bytes(&bytes).hex()[..8]);
        let file = File { bytes: Arc::new(bytes), hash, tag };
        locked(&self.state).files.insert(path.to_owned(), file);
    }

    /// Lets the next answers of the host of the bytes go wrong.
    pub(crate) fn faults(&self, faults: impl IntoIterator<Item = Fault>) {
        locked(&self.state).faults.extend(faults);
    }

    /// Lets the hub refuse everything.
    pub(crate) fn refuses(&self, status: u16, word: &'static str) {
        locked(&self.state).refusal = Some((status, word));
    }

    /// What was asked since this was asked last.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut locked(&self.state).asked)
    }

    /// Where the bytes were asked for from, since this was asked last.
    pub(crate) fn ranges(&self) -> Vec<Option<String>> {
        let asked = self.asked().into_iter().filter(|asked| asked.who == "host");
        asked.map(|asked| asked.range).collect()
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Head {
    method: String,
    path: String,
    fields: HashMap<String, String>,
}

fn serve(
    state: &Arc<Mutex<State>>,
    answer: fn(&Mutex<State>, &Head, &mut TcpStream) -> std::io::Result<()>,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let state = Arc::clone(state);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let state = Arc::clone(&state);
            std::thread::spawn(move || {
                let head = read_head(&stream)?;
                answer(&state, &head, &mut stream)
            });
        }
    });
    format!("http://{address}")
}

fn read_head(stream: &TcpStream) -> std::io::Result<Head> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut fields = HashMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        fields.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    Ok(Head { method, path, fields })
}

fn note(state: &mut State, who: &'static str, head: &Head) {
    let field = |name: &str| head.fields.get(name).cloned();
    let (range, token) = (field("range"), field("authorization"));
    let (method, path) = (head.method.clone(), head.path.clone());
    state.asked.push(Asked { who, method, path, range, token });
}

fn at_hub(state: &Mutex<State>, head: &Head, stream: &mut TcpStream) -> std::io::Result<()> {
    let answer = {
        let mut state = locked(state);
        note(&mut state, "hub", head);
        let file = state.files.get(&head.path);
        match (state.refusal, file, head.path.strip_prefix("/old/")) {
            (Some((status, word)), _, _) => refusal(status, word),
            (None, _, Some(rest)) => {
                format!("307 Moved\r\nlocation: /new/{rest}\r\ncontent-length: 0")
            }
            (None, None, None) => refusal(404, "EntryNotFound"),
            (None, Some(File { bytes, hash, .. }), None) => {
                let hash = hash.as_ref().map(|hash| format!("x-linked-etag: \"{hash}\"\r\n"));
                let (hash, size, host) = (hash.unwrap_or_default(), bytes.len(), &state.host);
                format!(
                    "302 Found\r\nlocation: {host}{}?signature=secret\r\nx-linked-size: {size}\r\n{hash}x-repo-commit: {COMMIT}\r\ncontent-length: 0",
                    head.path
                )
            }
        }
    };
    write!(stream, "HTTP/1.1 {answer}\r\nconnection: close\r\n\r\n")
}

fn refusal(status: u16, word: &str) -> String {
    let word = if word.is_empty() { String::new() } else { format!("x-error-code: {word}\r\n") };
    format!("{status} No\r\n{word}content-length: 0")
}

fn at_host(state: &Mutex<State>, head: &Head, stream: &mut TcpStream) -> std::io::Result<()> {
    let (file, fault) = {
        let mut state = locked(state);
        note(&mut state, "host", head);
        let path = head.path.split('?').next().unwrap_or_default();
        (state.files.get(path).cloned(), state.faults.pop_front())
    };
    let Some(File { bytes, tag, .. }) = file else {
        return write!(stream, "HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n");
    };
    let whole = bytes.len();
    let range = head.fields.get("range").filter(|_| {
        let known = head.fields.get("if-range").is_none_or(|known| *known == tag);
        known && !matches!(fault, Some(Fault::Whole))
    });
    let from: Option<usize> =
        range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let (status, from) = match from {
        None => ("200 OK".to_owned(), 0),
        Some(from) if from >= whole => {
            return write!(
                stream,
                "HTTP/1.1 416 No\r\ncontent-range: bytes */{whole}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
        }
        Some(from) => {
            let from = from + usize::from(matches!(fault, Some(Fault::Shifted)));
            let last = whole - 1;
            (format!("206 Part\r\ncontent-range: bytes {from}-{last}/{whole}"), from)
        }
    };
    let rest = &bytes[from..];
    let (length, sent) = match fault {
        Some(Fault::Status(status)) => {
            return write!(
                stream,
                "HTTP/1.1 {status} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
        }
        Some(Fault::Short(length)) => (length, length),
        Some(Fault::Cut(sent) | Fault::Hold(sent)) => (rest.len(), sent.min(rest.len())),
        Some(Fault::Long(more)) => (rest.len() + more, rest.len()),
        Some(Fault::Whole | Fault::Shifted) | None => (rest.len(), rest.len()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\netag: {tag}\r\naccept-ranges: bytes\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    stream.write_all(&rest[..sent])?;
    if let Some(Fault::Long(more)) = fault {
        stream.write_all(&vec![0; more])?;
    }
    if matches!(fault, Some(Fault::Hold(_))) {
        stream.flush()?;
        // Until the other side is gone, or for as long as any test may take.
        stream.set_read_timeout(Some(Duration::from_mins(2)))?;
        let _ = stream.read(&mut [0]);
    }
    Ok(())
}
