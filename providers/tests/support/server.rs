//! A server on the loopback that answers as it is told, and remembers what it was asked.
//!
//! It speaks as much HTTP/1.1 as the clients here do: requests with a length, answers in steps
//! (bytes, pauses, a stall, a broken connection), several requests a connection. What is said
//! wrong is said wrong on purpose; a server that behaves is made of the same steps.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// GET, POST, …
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Header fields in their order, as they were written.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// The first value of a header field.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.headers.iter();
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// Header fields; the length is added.
    pub(crate) headers: Vec<(String, String)>,
    /// What comes before the head.
    pub(crate) before: Vec<Step>,
    /// The body.
    pub(crate) body: Vec<Step>,
}

/// Something that happens while an answer is sent.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// These bytes are sent.
    Send(Vec<u8>),
    /// These bytes are sent so many times.
    Flood(Vec<u8>, usize),
    /// Nothing is sent for a while.
    Pause(Duration),
    /// Nothing is sent any more; the connection stays open.
    Stall,
    /// Nothing is sent until as many have come here as the barrier wants.
    Meet(Arc<Barrier>),
    /// The connection is closed.
    Close,
    /// The connection is reset.
    Reset,
}

impl Answer {
    /// An answer of this status whose body is of this media type.
    pub(crate) fn new(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), media_type.to_owned())];
        Self { status, headers, before: Vec::new(), body: vec![Step::Send(body.into())] }
    }

    /// An answer of this status that is JSON.
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::new(status, "application/json", body)
    }

    /// A success that is a stream of events.
    pub(crate) fn events(body: &str) -> Self {
        Self::new(200, "text/event-stream", body)
    }

    /// With a header field more.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With these steps before the head.
    pub(crate) fn after(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.before.extend(steps);
        self
    }

    /// With these steps at the end of the body.
    pub(crate) fn then(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.body.extend(steps);
        self
    }

    /// The length that is announced: that of the body, and one byte more where it never comes
    /// to its end.
    fn length(&self) -> usize {
        let of = |step: &Step| match step {
            Step::Send(bytes) => bytes.len(),
            Step::Flood(bytes, times) => bytes.len() * times,
            Step::Pause(_) | Step::Meet(_) => 0,
            Step::Stall | Step::Close | Step::Reset => 1,
        };
        self.body.iter().map(of).sum()
    }
}

/// A server; it ends when it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    _serving: AbortOnDropHandle<()>,
}

/// What is answered to the request of this number, from 0.
type Decide = dyn Fn(usize, &Received) -> Answer + Send + Sync;

impl Server {
    /// Answers each request as `decide` says.
    pub(crate) async fn start(
        decide: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let received = Arc::default();
        let serving = serve(listener, Arc::clone(&received), Arc::new(decide));
        let serving = AbortOnDropHandle::new(tokio::spawn(serving));
        Self { address, received, _serving: serving }
    }

    /// Gives these answers in order, then 404. `http://RECORDER` within them is its own address.
    pub(crate) async fn of(answers: Vec<Answer>) -> Self {
        Self::start(move |number, request| {
            let own = format!("http://{}", request.header("host").unwrap_or_default());
            match answers.get(number) {
                Some(answer) => at(answer.clone(), &own),
                None => Answer::json(404, r#"{"error":"no answer is left"}"#),
            }
        })
        .await
    }

    /// An address where nobody listens.
    pub(crate) fn nowhere() -> String {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        format!("http://{}", listener.local_addr().expect("it is bound"))
    }

    /// Its address: scheme, host and port.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The answer with its own address where the recordings name that of their server.
fn at(mut answer: Answer, own: &str) -> Answer {
    for (_, value) in &mut answer.headers {
        *value = value.replace("http://RECORDER", own);
    }
    for step in &mut answer.body {
        if let Step::Send(bytes) = step
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            *bytes = text.replace("http://RECORDER", own).into_bytes();
        }
    }
    answer
}

async fn serve(listener: TcpListener, received: Arc<Mutex<Vec<Received>>>, decide: Arc<Decide>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(speak(stream, Arc::clone(&received), Arc::clone(&decide)));
        while connections.try_join_next().is_some() {}
    }
}

/// Serves a connection. An error of it is the client's going away, which is its right.
async fn speak(
    mut stream: TcpStream,
    received: Arc<Mutex<Vec<Received>>>,
    decide: Arc<Decide>,
) -> io::Result<()> {
    while let Some(request) = read(&mut stream).await? {
        let number = {
            let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
            received.push(request.clone());
            received.len() - 1
        };
        let answer = decide(number, &request);
        for step in &answer.before {
            take(step, &mut stream).await?;
        }
        let mut head = format!("HTTP/1.1 {} Told\r\n", answer.status);
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", answer.length()));
        stream.write_all(head.as_bytes()).await?;
        for step in &answer.body {
            take(step, &mut stream).await?;
        }
        stream.flush().await?;
    }
    Ok(())
}

async fn take(step: &Step, stream: &mut TcpStream) -> io::Result<()> {
    match step {
        Step::Send(bytes) => stream.write_all(bytes).await,
        Step::Flood(bytes, times) => {
            for _ in 0..*times {
                stream.write_all(bytes).await?;
            }
            Ok(())
        }
        Step::Pause(pause) => {
            tokio::time::sleep(*pause).await;
            Ok(())
        }
        Step::Meet(barrier) => {
            barrier.wait().await;
            Ok(())
        }
        Step::Stall => {
            // Until the client goes away.
            stream.read_u8().await?;
            Err(io::ErrorKind::InvalidData.into())
        }
        Step::Close => Err(io::ErrorKind::ConnectionAborted.into()),
        Step::Reset => {
            stream.set_zero_linger()?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
}

/// Reads a request; none where the client is done.
async fn read(stream: &mut TcpStream) -> io::Result<Option<Received>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    let headers = lines.filter_map(field).collect();
    let mut request = Received { method, target, headers, body: bytes.split_off(end + 4) };
    let length = request.header("content-length").and_then(|length| length.parse().ok());
    if length.is_none() && request.header("transfer-encoding").is_some() {
        // Every client here knows how long what it sends is, and services ask for that.
        return Err(io::ErrorKind::Unsupported.into());
    }
    let length: usize = length.unwrap_or_default();
    while request.body.len() < length {
        if stream.read_buf(&mut request.body).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(request))
}
