//! The compiler of plugins as a process of its own, for the tests of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    let cap = std::env::var(flow_plugins::CAP_VARIABLE).ok();
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    flow_plugins::serve_compiler(cap.as_deref(), stdin, stdout, stderr).into()
}
