//! Videos, by `ffmpeg` as a child process.
//!
//! It reads one local file, as one of the containers that videos come in: a playlist or a list of
//! files would make it read others, or the network. It ends with the call that wanted it.

mod frames;
mod info;

use std::path::Path;
use std::process::Stdio;

use flow_core::error::{ErrorClass, Failure};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

pub(crate) use frames::{Pick, take};
pub(crate) use info::{Info, info};

/// What may be read, and as what: files that hold all of themselves.
const ONLY: &[&str] = &[
    "-protocol_whitelist",
    "file",
    "-format_whitelist",
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,h264,hevc",
];

/// The most bytes of output that are read.
const LARGEST: u64 = 8 << 20;

/// What a program wrote.
struct Said {
    stdout: String,
    stderr: String,
}

/// Runs a program to its end, and takes what it wrote.
///
/// Dropping the future kills the program.
async fn run(program: &str, arguments: Vec<String>, of: &str) -> Result<Said, Failure> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| absent(program, &error))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let broken = |error: std::io::Error| {
        Failure::new(ErrorClass::Io, format!("`{program}` broke off: {error}"))
    };
    let both = async { tokio::try_join!(text_of(stdout), text_of(stderr)) };
    let (stdout, stderr) = both.await.map_err(broken)?;
    let status = child.wait().await.map_err(broken)?;
    if status.success() {
        return Ok(Said { stdout, stderr });
    }
    let last = stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason");
    let last = last.rsplit_once("] ").map_or(last, |(_, rest)| rest);
    let last: String = last.chars().filter(|letter| !letter.is_control()).take(300).collect();
    Err(Failure::input(format!("`{program}` cannot read `{of}`: {last}")))
}

/// What a stream says, up to a bound; what is beyond it is read and left.
async fn text_of(stream: Option<impl tokio::io::AsyncRead + Unpin>) -> std::io::Result<String> {
    let Some(mut stream) = stream else { return Ok(String::new()) };
    let mut bytes = Vec::new();
    (&mut stream).take(LARGEST).read_to_end(&mut bytes).await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn absent(program: &str, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Failure::new(ErrorClass::NotFound, format!("`{program}` is not installed"))
            .with_hint("it comes with ffmpeg, e.g. `apt-get install ffmpeg`");
    }
    Failure::new(ErrorClass::Io, format!("cannot start `{program}`: {error}"))
}

/// A path that no option can be mistaken for.
fn plain(file: &Path) -> String {
    format!("file:{}", file.display())
}
