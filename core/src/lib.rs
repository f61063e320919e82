//! Language, engine and store of flow.
