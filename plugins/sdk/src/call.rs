//! The call that a plugin works for. A plugin has one thread and serves one call.

use std::cell::RefCell;
use std::rc::Rc;

use crate::bindings::base::flow::plugin::artifacts::Artifact;
use crate::bindings::base::flow::plugin::content::{Body, Part};

/// Who calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The run; empty where there is none.
    pub run: String,
    /// The step; empty where there is none.
    pub step: String,
    /// Which attempt it is, from 1.
    pub attempt: u32,
}

#[derive(Default)]
struct Call {
    context: Context,
    files: Vec<(String, Rc<Artifact>)>,
}

thread_local! {
    static CALL: RefCell<Call> = RefCell::default();
}

/// Who calls.
pub fn context() -> Context {
    CALL.with_borrow(|call| call.context.clone())
}

/// Begins a call with the files of its input.
pub(crate) fn begin(context: Context, parts: Vec<Part>) {
    let file = |part: Part| match part.body {
        Body::Artifact(file) => Some((file.sha256(), Rc::new(file))),
        Body::Text(_) | Body::Bytes(_) => None,
    };
    let files = parts.into_iter().filter_map(file).collect();
    CALL.set(Call { context, files });
}

/// Ends it: what it holds of the host is given back.
pub(crate) fn end() {
    CALL.take();
}

/// A file of the call, by its hash.
pub(crate) fn file(hash: &str) -> Option<Rc<Artifact>> {
    CALL.with_borrow(|call| {
        call.files.iter().find(|(own, _)| own == hash).map(|(_, file)| Rc::clone(file))
    })
}

/// Adds a file to those of the call.
pub(crate) fn add_file(file: Artifact) -> (String, Rc<Artifact>) {
    let added = (file.sha256(), Rc::new(file));
    CALL.with_borrow_mut(|call| call.files.push(added.clone()));
    added
}
