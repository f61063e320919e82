//! What steps do: document actions, and the providers that serve model calls.

pub mod documents;
