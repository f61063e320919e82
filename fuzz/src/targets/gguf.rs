//! Headers of models' files: refused in words, or sound enough for llama.cpp to see them.

use std::path::Path;

use flow_llama::gguf::{Gguf, GgufError, Kind};

pub(super) fn gguf(bytes: &[u8]) {
    let gguf = match Gguf::of_bytes(Path::new("m.gguf"), bytes) {
        Ok(gguf) => gguf,
        Err(error) => return said(&error),
    };
    let mut end = 0;
    for tensor in gguf.tensors() {
        assert!(tensor.offset >= end, "{} lies over another", tensor.name);
        end = tensor.offset.checked_add(tensor.size).expect("a tensor ends somewhere");
        assert_eq!(tensor.size, tensor.numbers() / tensor.kind.block * tensor.kind.bytes);
    }
    assert!(end <= bytes.len() as u64, "tensors end at {end}");
    assert_eq!(gguf.tensor_bytes(), gguf.tensors().iter().map(|tensor| tensor.size).sum::<u64>());
    match gguf.verify() {
        Err(error) => said(&error),
        Ok(Kind::Projector(facts)) => assert!(facts.vision || facts.audio),
        Ok(Kind::Model(facts)) => {
            assert!(facts.blocks > 0 && facts.context > 0 && facts.embedding > 0);
            assert!(facts.kv_heads == 0 || facts.heads > 0 || facts.kv_bytes > 0);
            assert!(facts.memory(1) >= facts.bytes);
        }
    }
}

/// An error names the file and its fault.
fn said(error: &GgufError) {
    let text = error.to_string();
    assert!(text.starts_with("`m.gguf`: ") && text.len() > 12, "{text}");
}
