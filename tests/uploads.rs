//! Files that are uploaded by the real binary: once, whatever is killed and when; removed when
//! the run has ended; and in little memory, whatever their size.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use support::{World, ended, files, run, signal, until};

/// What the keeper of files does not answer, the first time it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silent {
    Never,
    Chunk,
    Look,
    Question,
}

#[derive(Default)]
struct Seen {
    starts: usize,
    /// Bytes of all chunks.
    bytes: u64,
    made: usize,
    looks: usize,
    questions: usize,
    removed: usize,
    keys_on_chunks: usize,
    /// Whether somebody waits for an answer that never comes.
    kept_waiting: bool,
}

/// A service that takes videos as Gemini does, holds none of their bytes, and ends with the
/// test.
struct Keeper {
    address: String,
    seen: Arc<Mutex<Seen>>,
}

const KEY: &str = "AIza-key-of-the-account-1234";

impl Keeper {
    fn new(silent: Silent) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound").to_string();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (shared, own) = (Arc::clone(&seen), address.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, own) = (Arc::clone(&shared), own.clone());
                // One that breaks off was killed.
                std::thread::spawn(move || speak(&stream, &own, &seen, silent));
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// A workflow that asks about a video and then writes what it heard.
    fn workflow(&self) -> String {
        let address = &self.address;
        format!(
            "name: clip\n\
             providers: {{ mine: {{ type: gemini, base_url: \"http://{address}/v1beta\", api_key: \"{{{{ secrets.CLIP_KEY }}}}\" }} }}\n\
             inputs: {{ file: {{ type: file }} }}\n\
             steps:\n  - id: ask\n    uses: model.generate\n    model: mine/gemini-3.8-flash\n    \
             with: {{ video: \"{{{{ inputs.file }}}}\", prompt: x, options: {{ upload: {{}} }} }}\n\
             outputs: {{ said: \"{{{{ steps.ask.output }}}}\" }}\n"
        )
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Request {
    line: String,
    headers: Vec<(String, String)>,
    length: u64,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.headers.iter();
        fields.find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut field = String::new();
        reader.read_line(&mut field)?;
        let Some((name, value)) = field.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { line, headers, length: 0 };
    let length = request.header("content-length").and_then(|length| length.parse().ok());
    request.length = length.unwrap_or_default();
    // It is read and let go, a piece at a time.
    std::io::copy(&mut reader.take(request.length), &mut std::io::sink())?;
    Ok(Some(request))
}

fn speak(stream: &TcpStream, own: &str, seen: &Mutex<Seen>, silent: Silent) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 20, stream);
    while let Some(request) = read(&mut reader)? {
        let (kind, head, body) = answer(&request, own, &mut lock(seen));
        let asked_first = {
            let mut seen = lock(seen);
            let first = kind == silent && silent != Silent::Never && !seen.kept_waiting;
            seen.kept_waiting |= first;
            first
        };
        if asked_first {
            // Until who asked is gone.
            reader.read_to_end(&mut Vec::new())?;
            return Ok(());
        }
        let length = body.len();
        let answer = format!("HTTP/1.1 200 Told\r\n{head}content-length: {length}\r\n\r\n{body}");
        (&*stream).write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// What is asked, and the header fields and the body of the answer.
fn answer(request: &Request, own: &str, seen: &mut Seen) -> (Silent, String, String) {
    let file = |state: &str| {
        format!(
            r#"{{"name":"files/f1","uri":"http://{own}/v1beta/files/f1","state":"{state}","expirationTime":"2099-01-01T00:00:00Z"}}"#
        )
    };
    let none = String::new();
    match request.header("x-goog-upload-command") {
        Some("start") => {
            seen.starts += 1;
            let url = format!("http://{own}/upload/v1beta/files?upload_id=1");
            (Silent::Never, format!("x-goog-upload-url: {url}\r\n"), none)
        }
        Some(command) => {
            seen.bytes += request.length;
            seen.keys_on_chunks += usize::from(request.header("x-goog-api-key").is_some());
            if command == "upload" {
                return (Silent::Chunk, "x-goog-upload-status: active\r\n".to_owned(), none);
            }
            seen.made += 1;
            let body = format!("{{\"file\":{}}}", file("PROCESSING"));
            (Silent::Never, "x-goog-upload-status: final\r\n".to_owned(), body)
        }
        None if request.line.starts_with("DELETE") => {
            seen.removed += 1;
            (Silent::Never, none, "{}".to_owned())
        }
        None if request.line.starts_with("GET") => {
            seen.looks += 1;
            (Silent::Look, none, file("ACTIVE"))
        }
        None => {
            seen.questions += 1;
            let said = r#"{"candidates":[{"content":{"parts":[{"text":"yes"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1}}"#;
            (Silent::Question, none, said.to_owned())
        }
    }
}

const HEAD: &[u8] = b"\0\0\0\x18ftypmp42";

/// A world with a workflow and a video of so many bytes, which are zero but for the first.
fn world(keeper: &Keeper, size: u64) -> World {
    let world = World::with(&keeper.workflow());
    let mut video = std::fs::File::create(world.path("clip.mp4")).expect("a file");
    video.write_all(HEAD).expect("written");
    video.set_len(size).expect("made longer");
    world
}

/// The binary with the key of the account.
fn flow(world: &World, args: &[&str]) -> Command {
    let mut command = world.command(args);
    command.env("CLIP_KEY", KEY).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

const RUN: &[&str] = &["run", "w.yaml", "--input", "file=clip.mp4", "--json"];

#[test]
fn a_video_is_uploaded_asked_about_and_removed() {
    let keeper = Keeper::new(Silent::Never);
    let world = world(&keeper, 9_000_000);
    let output = run(&mut flow(&world, RUN)).exits(0);
    assert_eq!(output.json()["outputs"]["said"], "yes");
    let seen = keeper.seen();
    assert_eq!((seen.starts, seen.made, seen.bytes), (1, 1, 9_000_000));
    assert_eq!((seen.looks, seen.questions, seen.removed), (1, 1, 1));
    assert_eq!(seen.keys_on_chunks, 0);
    assert!(output.stderr.contains("uploaded clip.mp4, 9.0 MB, to mine in "), "{output:#?}");
    for file in files(&world.path(".flow")) {
        let bytes = std::fs::read(&file).expect("it can be read");
        let holds = bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes());
        assert!(!holds, "{} holds the key", file.display());
    }
}

#[test]
fn what_was_uploaded_when_the_process_was_killed_is_not_uploaded_again() {
    for (silent, starts, made) in
        [(Silent::Chunk, 2, 1), (Silent::Look, 1, 1), (Silent::Question, 1, 1)]
    {
        let keeper = Keeper::new(silent);
        let world = world(&keeper, 9_000_000);
        let child = flow(&world, RUN).spawn().expect("it starts");
        until("the silence", || keeper.seen().kept_waiting);
        signal(child.id(), "KILL");
        assert_eq!(ended(child).code, None, "{silent:?}");
        let id = world.only_run();
        let output = run(&mut flow(&world, &["resume", &id, "--json"])).exits(0);
        assert_eq!(output.json()["outputs"]["said"], "yes", "{silent:?}");
        let seen = keeper.seen();
        assert_eq!((seen.starts, seen.made, seen.removed), (starts, made, 1), "{silent:?}");
    }
}

#[test]
fn an_upload_is_replayed_from_its_cassette_without_the_service_and_its_key() {
    let keeper = Keeper::new(Silent::Never);
    let recording = world(&keeper, 9_000_000);
    let record: Vec<_> = RUN.iter().copied().chain(["--record", "tape"]).collect();
    run(&mut flow(&recording, &record)).exits(0);
    let exchanges = files(&recording.path("tape"));
    for file in &exchanges {
        let bytes = std::fs::read(file).expect("it can be read");
        assert!(bytes.len() < 10_000, "{} holds a file", file.display());
        let holds = bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes());
        assert!(!holds, "{} holds the key", file.display());
    }
    // A start, two chunks, a look, the question, and the end of the file there.
    assert_eq!(exchanges.len(), 6, "{exchanges:?}");
    *keeper.seen() = Seen::default();
    let replaying = world(&keeper, 9_000_000);
    let tape = recording.path("tape").display().to_string();
    let replay: Vec<_> = RUN.iter().copied().chain(["--replay", &tape]).collect();
    let output = run(&mut replaying.command(&replay)).exits(0);
    assert_eq!(output.json()["outputs"]["said"], "yes");
    let seen = keeper.seen();
    assert_eq!((seen.starts, seen.bytes, seen.questions, seen.removed), (0, 0, 0, 0));
}

/// Reading and hashing so much takes a while: `make large`.
#[test]
#[ignore = "takes a minute and 2 GB of disk"]
#[cfg(target_os = "linux")]
fn two_gigabytes_are_uploaded_in_little_memory() {
    let keeper = Keeper::new(Silent::Question);
    let world = world(&keeper, 2_000_000_000);
    let child = flow(&world, RUN).spawn().expect("it starts");
    until_long(|| keeper.seen().kept_waiting);
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it lives");
    signal(child.id(), "KILL");
    assert_eq!(ended(child).code, None);
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert_eq!(keeper.seen().bytes, 2_000_000_000);
    support::say(&format!("2 GB were uploaded in {} MB of memory", kilobytes / 1000));
    assert!(kilobytes < 100_000, "{kilobytes} kB");
}

/// Looks until something holds that takes longer than anything else.
fn until_long(mut holds: impl FnMut() -> bool) {
    while !holds() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
