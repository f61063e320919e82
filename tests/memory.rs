//! What flow holds in memory while it sends much at once.

#![cfg(target_os = "linux")]

mod support;

use std::io::{Cursor, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use support::World;

/// Calls under way at once.
const CALLS: usize = 200;

/// The most memory that the process may have held, in KiB.
const MOST: u64 = 300 << 10;

const WORKFLOW: &str = r#"
name: many
concurrency: 200
providers: { mine: { type: openai, base_url: "URL/v1", concurrency: 200 } }
steps:
  - { id: scans, uses: file.glob, with: { pattern: "scans/*.png" } }
  - id: asked
    for_each: "{{ steps.scans.output }}"
    max_parallel: 200
    uses: model.generate
    model: mine/large
    cache: false
    with: { image: "{{ item }}", prompt: "What is this?" }
outputs: { answers: "{{ steps.asked.output | length }}" }
"#;

/// A PNG of some five megabytes: noise does not compress.
fn noise() -> Vec<u8> {
    let mut state = 1_u32;
    let image = image::RgbImage::from_fn(1290, 1290, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [_, red, green, blue] = state.to_le_bytes();
        image::Rgb([red, green, blue])
    });
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).expect("a picture");
    bytes.into_inner()
}

/// A server that takes nothing of any request before all are under way, and then each a little
/// at a time.
fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound").to_string();
    let meeting = Arc::new(Barrier::new(CALLS));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let meeting = Arc::clone(&meeting);
            std::thread::spawn(move || {
                meeting.wait();
                let _ = answered(stream);
            });
        }
    });
    format!("http://{address}")
}

fn answered(mut stream: TcpStream) -> std::io::Result<()> {
    let (mut head, mut body, mut buffer) = (Vec::new(), 0, vec![0; 64 << 10]);
    let length: usize = loop {
        let read = stream.read(&mut buffer)?;
        head.extend_from_slice(&buffer[..read]);
        let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        body += head.len() - end - 4;
        let text = String::from_utf8_lossy(&head[..end]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        break length.and_then(|length| length.parse().ok()).unwrap_or_default();
    };
    while body < length {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        body += read;
        std::thread::sleep(Duration::from_millis(1));
    }
    let answer = r#"{"choices":[{"message":{"content":"noise"},"finish_reason":"stop"}]}"#;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
        answer.len()
    )
}

/// The most memory that a process held while it lived, in KiB.
fn peak(child: &mut Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().expect("it can be waited for").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let held = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        most = most.max(held.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    most
}

#[test]
fn two_hundred_calls_with_five_megabytes_each_stay_small() {
    let world = World::with(&WORKFLOW.replace("URL", &server()));
    std::fs::create_dir(world.path("scans")).expect("a folder");
    let image = noise();
    assert!(image.len() > 4_900_000, "{} bytes", image.len());
    for at in 0..CALLS {
        // What stands behind the end of an image is no part of it.
        let file = [image.as_slice(), format!("{at:03}").as_bytes()].concat();
        std::fs::write(world.path(&format!("scans/{at:03}.png")), file).expect("written");
    }
    let mut child = world.start(&["run", "w.yaml", "--json"]);
    let held = peak(&mut child);
    let told = support::ended(child).exits(0).json();
    assert_eq!(told["outputs"]["answers"], CALLS);
    support::say(&format!("{} MiB at the most", held >> 10));
    assert!(held > 0 && held <= MOST, "{} MiB", held >> 10);
}
