//! What a person sees while a run goes on: bars on a terminal, plain lines elsewhere.

use std::collections::{HashMap, HashSet};
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_core::engine::{At, Observer, Progress};
use flow_core::store::{RunStatus, StepStatus};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::output;

/// A watcher that suits where stderr goes.
pub(crate) fn watcher() -> Arc<dyn Observer> {
    let watcher: Arc<dyn Observer> = match std::io::stderr().is_terminal() {
        true => Arc::new(Bars::default()),
        false => Arc::new(Lines::default()),
    };
    crate::failpoint::guard(watcher)
}

/// The most items of a loop whose successes are listed one by one.
const LISTED: u64 = 100;

/// Characters of a line that is being written that are shown.
const SHOWN: usize = 60;

/// One line a thing that happened.
#[derive(Default)]
struct Lines {
    /// Loops of so many items that only their failures are listed.
    large: Mutex<HashSet<String>>,
}

impl Observer for Lines {
    fn progress(&self, progress: &Progress) {
        let mut large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            Progress::Opened { at, count } if count.is_none_or(|count| count > LISTED) => {
                large.insert(at.path.to_string());
            }
            Progress::Settled { at, status: StepStatus::Succeeded, .. }
                if within(&large, at.path.as_str()) =>
            {
                return;
            }
            _ => {}
        }
        if let Some(line) = line(progress) {
            output::note(&format!("{line}\n"));
        }
    }
}

/// Whether a path is of an instance of one of these loops, or of what is in it.
fn within(loops: &HashSet<String>, path: &str) -> bool {
    !loops.is_empty() && path.match_indices('[').any(|(at, _)| loops.contains(&path[..at]))
}

/// What happened, as a line; none for what only a terminal shows.
fn line(progress: &Progress) -> Option<String> {
    Some(match progress {
        Progress::Began { .. } | Progress::Opened { count: None, .. } | Progress::Text { .. } => {
            return None;
        }
        Progress::Opened { at, count: Some(count) } => format!("  {}: {count} items", at.shown),
        Progress::Retrying { at, failure, wait_ms } => {
            let wait = output::duration(*wait_ms as i64);
            format!("↻ {}: {} ({}); again in {wait}", at.shown, failure.message, failure.class)
        }
        Progress::Settled { at, status, reused, failure, cost } => {
            let mut line = format!("{} {}", sign(*status), at.shown);
            if *reused && *status == StepStatus::Succeeded {
                line.push_str(" (known)");
            }
            if let Some(cost) = cost {
                line.push_str(&format!(" ({cost})"));
            }
            if let Some(failure) = failure {
                line.push_str(&format!(": {} ({})", failure.message, failure.class));
                if let Some(hint) = &failure.hint {
                    line.push_str(&format!("\n  hint: {hint}"));
                }
            }
            line
        }
        Progress::Line { at, text } => format!("  {} | {text}", at.shown),
        Progress::Run(status) => match status {
            RunStatus::Running => return None,
            RunStatus::Waiting
            | RunStatus::Interrupted
            | RunStatus::Succeeded
            | RunStatus::Failed
            | RunStatus::Cancelled => format!("run {status}"),
        },
    })
}

/// A sign for how a step stands.
pub(crate) fn sign(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Succeeded => "✓",
        StepStatus::Failed => "✗",
        StepStatus::Skipped => "-",
        StepStatus::Blocked | StepStatus::Cancelled => "·",
        StepStatus::Running => "…",
        StepStatus::Retrying => "↻",
        StepStatus::Waiting => "?",
    }
}

/// A bar a loop, a spinner a step at work, and a line above them for what ended.
#[derive(Default)]
struct Bars {
    screen: MultiProgress,
    bars: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    fn start(&self, at: &At, action: Option<&str>) {
        let path = at.path.as_str();
        // Instances are counted by the bar of their loop; thousands of spinners help nobody.
        if path.contains('[') {
            return;
        }
        let bar = self.screen.add(ProgressBar::new_spinner());
        bar.set_style(style("{spinner} {msg} {elapsed:.dim}"));
        bar.set_message(action.map_or(path.to_owned(), |action| format!("{path}  {action}")));
        bar.enable_steady_tick(Duration::from_millis(120));
        self.insert(path, bar);
    }

    fn open(&self, at: &At, count: u64) {
        let bar = self.screen.add(ProgressBar::new(count));
        bar.set_style(style("  {bar:24} {pos}/{len} {msg} {eta:.dim}"));
        bar.set_message(at.shown.clone());
        self.insert(at.path.as_str(), bar);
    }

    fn insert(&self, path: &str, bar: ProgressBar) {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = bars.insert(path.to_owned(), bar) {
            old.finish_and_clear();
        }
    }

    /// Prints a line above the bars, or where there are none just so.
    fn say(&self, line: &str) {
        let bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        if bars.is_empty() {
            output::note(&format!("{line}\n"));
        } else {
            // A terminal that went away hears nothing, and the run goes on.
            let _ = self.screen.println(line);
        }
    }

    /// Shows the end of what a step's model is writing beside its spinner.
    fn write(&self, path: &str, text: &str) {
        let bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = bars.get(path) {
            let (name, before) = match bar.message().split_once("  ") {
                Some((name, before)) => (name.to_owned(), before.to_owned()),
                None => (bar.message(), String::new()),
            };
            let line = format!("{before}{text}");
            let line = line.rsplit('\n').next().unwrap_or_default();
            let from = line.char_indices().rev().nth(SHOWN - 1).map_or(0, |(at, _)| at);
            bar.set_message(format!("{name}  {}", &line[from..]));
        }
    }

    fn settle(&self, path: &str) {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = bars.remove(path) {
            bar.finish_and_clear();
        }
        let is_instance = path.ends_with(']');
        if let Some(bar) =
            path.rfind('[').filter(|_| is_instance).and_then(|at| bars.get(&path[..at]))
        {
            bar.inc(1);
        }
    }
}

impl Observer for Bars {
    fn progress(&self, progress: &Progress) {
        match progress {
            Progress::Began { at, action } => self.start(at, action.as_deref()),
            Progress::Opened { at, count: Some(count) } => self.open(at, *count),
            Progress::Settled { at, status, .. } => {
                self.settle(at.path.as_str());
                let counted = at.path.as_str().contains('[') && *status == StepStatus::Succeeded;
                if let Some(line) = line(progress).filter(|_| !counted) {
                    self.say(&line);
                }
            }
            Progress::Opened { count: None, .. } => {}
            Progress::Run(status) => {
                if *status != RunStatus::Running {
                    let _ = self.screen.clear();
                }
            }
            Progress::Text { at, text } => self.write(at.path.as_str(), text),
            Progress::Retrying { .. } | Progress::Line { .. } => {
                if let Some(line) = line(progress) {
                    self.say(&line);
                }
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant of ours")
}
