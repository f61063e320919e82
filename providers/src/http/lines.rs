//! Answers that come in pieces: server-sent events, and JSON lines.

use eventsource_stream::{EventStreamError, Eventsource};
use flow_core::error::{ErrorClass, Failure};
use futures::stream::{self, Stream, StreamExt};

use super::LARGEST_ANSWER;
use super::incoming::{Incoming, too_large};

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The name of a server-sent event; empty where it has none.
    pub(crate) name: String,
    /// What it says.
    pub(crate) data: String,
}

/// Bytes as they come, each pause and all of them bounded.
fn bounded(incoming: Incoming) -> impl Stream<Item = Result<bytes::Bytes, Failure>> {
    stream::unfold((incoming, 0), async |(mut incoming, came)| {
        let next = incoming.next().await?;
        let came = came + next.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let next = if came > LARGEST_ANSWER { Err(too_large(&incoming.provider)) } else { next };
        Some((next, (incoming, came)))
    })
}

/// Bytes in pieces that end where a line does, but for the last: what reads events reads a line
/// anew with each piece of it, which takes forever over a line of megabytes.
fn whole_lines(
    bytes: impl Stream<Item = Result<bytes::Bytes, Failure>>,
) -> impl Stream<Item = Result<bytes::Bytes, Failure>> {
    let bytes = Box::pin(bytes);
    stream::unfold((bytes, Vec::new(), false), async |(mut bytes, mut held, mut ended)| {
        loop {
            if ended {
                let rest: Vec<u8> = std::mem::take(&mut held);
                return (!rest.is_empty()).then(|| (Ok(rest.into()), (bytes, held, ended)));
            }
            match bytes.next().await {
                Some(Ok(more)) => {
                    let end = memchr::memrchr2(b'\n', b'\r', &more).map_or(0, |at| at + 1);
                    if end == 0 {
                        held.extend_from_slice(&more);
                        continue;
                    }
                    held.extend_from_slice(&more[..end]);
                    let lines = std::mem::replace(&mut held, more[end..].to_vec());
                    return Some((Ok(lines.into()), (bytes, held, ended)));
                }
                Some(Err(failure)) => {
                    held.clear();
                    return Some((Err(failure), (bytes, held, true)));
                }
                None => ended = true,
            }
        }
    })
}

/// The server-sent events of an answer, in order. Comments and pings without data are left out.
pub(crate) fn events(incoming: Incoming) -> impl Stream<Item = Result<Event, Failure>> {
    let provider = incoming.provider.clone();
    whole_lines(bounded(incoming)).eventsource().filter_map(move |event| {
        let event = match event {
            Ok(event) if event.data.is_empty() => None,
            Ok(event) if event.event == "message" => {
                Some(Ok(Event { name: String::new(), data: event.data }))
            }
            Ok(event) => Some(Ok(Event { name: event.event, data: event.data })),
            Err(EventStreamError::Transport(failure)) => Some(Err(failure)),
            Err(EventStreamError::Utf8(_) | EventStreamError::Parser(_)) => {
                Some(Err(garbled(&provider)))
            }
        };
        std::future::ready(event)
    })
}

/// The lines of an answer, each a JSON text. Empty lines are left out.
pub(crate) fn json_lines(incoming: Incoming) -> impl Stream<Item = Result<Event, Failure>> {
    let provider = incoming.provider.clone();
    let bytes = Box::pin(bounded(incoming));
    stream::unfold((bytes, Vec::new(), false), move |(mut bytes, mut held, mut ended)| {
        let provider = provider.clone();
        async move {
            loop {
                let line: Vec<u8> = match memchr::memchr(b'\n', &held) {
                    Some(at) => held.drain(..=at).collect(),
                    None if ended && held.is_empty() => return None,
                    None if ended => std::mem::take(&mut held),
                    None => {
                        match bytes.next().await {
                            Some(Ok(more)) => held.extend_from_slice(&more),
                            Some(Err(failure)) => {
                                held.clear();
                                return Some((Err(failure), (bytes, held, true)));
                            }
                            None => ended = true,
                        }
                        continue;
                    }
                };
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let data = String::from_utf8(line).map_err(|_| garbled(&provider));
                let event =
                    data.map(|data| Event { name: String::new(), data: data.trim().to_owned() });
                return Some((event, (bytes, held, ended)));
            }
        }
    })
}

fn garbled(provider: &str) -> Failure {
    let message = format!("provider `{provider}` sent a stream that cannot be read");
    Failure::new(ErrorClass::Server, message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use futures::TryStreamExt;
    use reqwest::header::HeaderMap;

    use super::*;

    fn incoming(pieces: Vec<&'static str>) -> Incoming {
        let pieces = pieces.into_iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
        Incoming {
            provider: "p".into(),
            status: 200,
            headers: HeaderMap::new(),
            bytes: stream::iter(pieces).boxed(),
            pause: Duration::from_secs(1),
            take: None,
        }
    }

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.into(), data: data.into() }
    }

    #[tokio::test]
    async fn events_are_read_wherever_the_bytes_are_cut() {
        let text = "event: start\r\ndata: {\"a\":1}\r\n\r\n: ping\r\n\r\ndata: zw\u{f6}lf\n\ndata: [DONE]\n\n";
        let expected = [event("start", "{\"a\":1}"), event("", "zwölf"), event("", "[DONE]")];
        for at in 0..text.len() {
            let bytes = text.as_bytes();
            let pieces =
                [&bytes[..at], &bytes[at..]].map(|piece| Ok(Bytes::copy_from_slice(piece)));
            let mut cut = incoming(vec![]);
            cut.bytes = stream::iter(pieces).boxed();
            let read: Vec<_> = events(cut).try_collect().await.unwrap();
            assert_eq!(read, expected, "cut at {at}");
        }
    }

    #[tokio::test]
    async fn lines_are_read_wherever_the_bytes_are_cut_and_the_last_needs_no_end() {
        let read: Vec<_> =
            json_lines(incoming(vec!["{\"a\"", ":1}\n\n{\"b\":2}\r", "\n{\"c\":3}"]))
                .try_collect()
                .await
                .unwrap();
        assert_eq!(read, [event("", "{\"a\":1}"), event("", "{\"b\":2}"), event("", "{\"c\":3}")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_stalls_is_given_up() {
        let mut stalled = incoming(vec![]);
        stalled.bytes = stream::pending().boxed();
        let failure = events(stalled).try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(failure.class, ErrorClass::Timeout);
        assert_eq!(failure.message, "provider `p` sent nothing for 1s");
    }

    #[tokio::test]
    async fn an_endless_stream_is_given_up() {
        let mut endless = incoming(vec![]);
        let piece = Bytes::from(format!("data: {}\n\n", "x".repeat(1 << 20)));
        endless.bytes = stream::repeat_with(move || Ok(piece.clone())).boxed();
        let failure =
            events(endless).try_for_each(|_| std::future::ready(Ok(()))).await.unwrap_err();
        assert_eq!(failure.class, ErrorClass::Limit);
        assert_eq!(failure.message, "provider `p` answered more than 67108864 bytes");
    }
}
