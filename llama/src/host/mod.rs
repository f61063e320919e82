//! The process that holds a model: llama.cpp, and what it is told over stdin.
//!
//! ```text
//!  stdin ─▶ reader (thread) ─▶ engine (main thread): model, context, sequences ─▶ stdout
//!                │                     one step: a token of every answer that is written,
//!                └─ end of stdin:      and a piece of the prompts that are read
//!                   ends the process
//! ```
//!
//! One thread owns everything of llama.cpp. The reader ends the process when its other end is
//! gone, whatever the engine does at that moment, so that none outlives the one that started it.
//! llama.cpp itself writes to stderr only.

mod engine;
mod images;
mod load;
mod prompt;
mod sampler;
mod slot;
mod template;

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use llama_cpp_2::LlamaBackendDeviceType;
use llama_cpp_2::llama_backend::LlamaBackend;

use crate::protocol::{Device, FromHost, Loaded, ToHost};
use engine::Engine;
use load::Model;

/// Becomes a model's process: reads what it is told on stdin until that ends.
pub fn run() -> ExitCode {
    let (to, messages) = mpsc::channel();
    thread::spawn(move || read(&to));
    // Anything else than a model comes after it.
    let Ok(ToHost::Load(load)) = messages.recv() else { return ExitCode::FAILURE };
    let model = match Model::load(&load) {
        Ok(model) => model,
        Err(failure) => {
            tell(&FromHost::Unusable { failure });
            return ExitCode::FAILURE;
        }
    };
    let engine = Engine::new(&model, &load);
    let mut engine = match engine {
        Ok(engine) => engine,
        Err(failure) => {
            tell(&FromHost::Unusable { failure });
            return ExitCode::FAILURE;
        }
    };
    tell(&FromHost::Loaded(Loaded { devices: devices_of(model.backend()) }));
    engine.run(&messages);
    ExitCode::SUCCESS
}

/// What computes on this machine, as llama.cpp sees it. One that it fails on ends the process,
/// so this is for a process of its own.
pub fn devices() -> Vec<Device> {
    LlamaBackend::init().map(|backend| devices_of(&backend)).unwrap_or_default()
}

fn devices_of(_backend: &LlamaBackend) -> Vec<Device> {
    let found = llama_cpp_2::list_llama_ggml_backend_devices().into_iter();
    found
        .map(|device| Device {
            gpu: matches!(
                device.device_type,
                LlamaBackendDeviceType::Gpu | LlamaBackendDeviceType::IntegratedGpu
            ),
            name: device.name,
            description: device.description,
            memory: device.memory_total as u64,
        })
        .collect()
}

/// Tells the other end something.
fn tell(message: &FromHost) {
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    // Where nobody reads any more, the reader is about to end the process.
    let _ = stdout.write_all(&line).and_then(|()| stdout.flush());
}

/// Reads what is told, and ends the process where nobody can tell anything any more.
fn read(to: &mpsc::Sender<ToHost>) {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line) {
            Ok(message) => {
                if to.send(message).is_err() {
                    break;
                }
            }
            Err(error) => {
                // Both ends are of one binary: this is a fault of ours.
                let _ = writeln!(std::io::stderr(), "flow: a message cannot be read: {error}");
                break;
            }
        }
    }
    end();
}

/// Ends the process without asking anybody: what llama.cpp does at that moment is not waited
/// for, and nothing is left to put in order.
#[expect(clippy::exit, reason = "the process belongs to whoever started it, and they are gone")]
fn end() -> ! {
    #[cfg(unix)]
    {
        use rustix::process::{Signal, getpid, kill_process};
        let _ = kill_process(getpid(), Signal::KILL);
    }
    std::process::exit(0)
}
