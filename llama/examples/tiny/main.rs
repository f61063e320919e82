//! Writes tiny models that see, for tests and benchmarks.
//!
//! ```text
//! cargo run -p flow-llama --example tiny -- DIR [DIMENSIONS]
//! ```
//!
//! With a number, a projector of more than tiny size for a model of so many dimensions is
//! written as well.

mod model;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(folder) = arguments.next().map(PathBuf::from) else { return ExitCode::FAILURE };
    let dimensions = arguments.next().and_then(|text| text.to_str()?.parse().ok());
    match model::write(&folder, dimensions) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
