//! Reading documents: pages and their pixels, words with boxes, recognition, and fields.
//!
//! Every reader yields the same vocabulary (see [`layout`]), so that what finds a value
//! does not care whether its words came from a PDF's text layer or from recognition.

mod layout;

pub use layout::{Line, Page, Rect, Word};
