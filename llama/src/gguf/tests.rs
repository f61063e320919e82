//! Files that are right, and every way in which they can be wrong.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::forge::{Forge, Item};

fn read(bytes: &[u8]) -> Result<Gguf, GgufError> {
    Gguf::of_bytes(Path::new("m.gguf"), bytes)
}

fn verified(forge: &Forge) -> Result<Kind, GgufError> {
    read(&forge.bytes())?.verify()
}

#[test]
fn a_model_tells_what_a_host_has_to_know() {
    let Ok(Kind::Model(facts)) = verified(&Forge::model()) else { panic!("it is a model") };
    assert_eq!(
        facts,
        ModelFacts {
            architecture: "llama".into(),
            name: Some("Tiny".into()),
            context: 128,
            blocks: 2,
            embedding: 8,
            heads: 4,
            kv_heads: 2,
            // Two blocks, two heads of 8 / 4 numbers, keys and values, two bytes each.
            kv_bytes: 2 * 2 * (2 + 2) * 2,
            vocabulary: Some(4),
            chat_template: true,
            parameters: 32 + 64 + 64 + 8,
            bytes: 4 * (32 + 64 + 64 + 8),
        }
    );
    assert_eq!(facts.memory(10), 672 + 320);
}

#[test]
fn a_projector_tells_what_it_takes() {
    let Ok(Kind::Projector(facts)) = verified(&Forge::projector()) else {
        panic!("it is a projector")
    };
    assert_eq!((facts.projector.as_str(), facts.vision, facts.audio), ("mlp", true, false));
    assert_eq!(facts.parameters, 14 * 14 * 3 * 8 + 64);
}

#[test]
fn numbers_a_block_are_added_up() {
    let forge = Forge::model()
        .with("llama.attention.head_count", Item::U32s(vec![4, 8]))
        .with("llama.attention.head_count_kv", Item::U32s(vec![0, 8]))
        .with("llama.attention.key_length", Item::U32(16))
        .with("llama.attention.value_length", Item::U32(4));
    let Ok(Kind::Model(facts)) = verified(&forge) else { panic!("it is a model") };
    assert_eq!((facts.heads, facts.kv_heads, facts.kv_bytes), (8, 8, 8 * 20 * 2));
}

#[test]
fn version_2_and_other_alignments_are_read() {
    let mut forge = Forge { version: 2, ..Forge::model() };
    assert!(verified(&forge).is_ok());
    forge.alignment = 512;
    assert!(verified(&forge.clone()).is_err(), "it does not say so");
    assert!(verified(&forge.with("general.alignment", Item::U32(512))).is_ok());
}

#[test]
fn each_fault_of_a_header_is_named() {
    let model = Forge::model;
    let raw = |bytes: &[u8]| Item::Raw(9, bytes.to_vec());
    let long = "x".repeat(64);
    let wide = Item::Texts(vec!["a".into(); 5]);
    refused([
        (Forge { version: 1, ..model() }, "its GGUF version is 1, and only 2 and 3 are read"),
        (Forge { version: 4, ..model() }, "its GGUF version is 4, and only 2 and 3 are read"),
        (
            Forge { version: 3_u32.swap_bytes(), ..model() },
            "it is big-endian (GGUF version 3), and only little-endian files are read",
        ),
        (model().and("", Item::U32(1)), "its key 11 is empty"),
        (model().and("general.name", Item::U32(1)), "it has the key `general.name` twice"),
        (
            model().and("odd", Item::Raw(13, Vec::new())),
            "its key `odd` is of type 13, which there is not",
        ),
        (
            model().and("odd", raw(&[9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])),
            "its key `odd` is an array of arrays, which llama.cpp does not read",
        ),
        (
            model().with("general.alignment", Item::U32(24)),
            "its alignment is 24, which is no power of two",
        ),
        (
            model().with("general.alignment", Item::U32(0)),
            "its alignment is 0, which is no power of two",
        ),
        (
            model().with("general.alignment", Item::U64(32)),
            "its key `general.alignment` has to be a u32, and is a u64",
        ),
        (
            model().tensor("blk.0.attn_q.weight", &[8]),
            "it has the tensor `blk.0.attn_q.weight` twice",
        ),
        (
            model().tensor(&long, &[8]),
            "it has a name of a tensor of 64 bytes, and at most 63 are read",
        ),
        (
            model().change("output_norm.weight", |tensor| tensor.shape = vec![1, 1, 1, 1, 8]),
            "its tensor `output_norm.weight` has 5 dimensions, and at most 4 are read",
        ),
        (
            model().change("output_norm.weight", |tensor| tensor.shape = vec![-8]),
            "its tensor `output_norm.weight` has a dimension of -8",
        ),
        (
            model().change("output_norm.weight", |tensor| tensor.shape = vec![i64::MAX, 8]),
            "its tensor `output_norm.weight` is larger than any file",
        ),
        (
            model().change("output_norm.weight", |tensor| tensor.kind = 4),
            "its tensor `output_norm.weight` is of type 4, which there is not",
        ),
        (
            model().change("output_norm.weight", |tensor| tensor.kind = 12),
            "its tensor `output_norm.weight` has rows of 8, no multiple of the 256 of q4_K",
        ),
        (
            model().change("output_norm.weight", |tensor| tensor.offset = Some(0)),
            "its tensor `output_norm.weight` is at 0, and has to be at 640",
        ),
        (
            model().change("output_norm.weight", |tensor| tensor.shape = vec![8, 3]),
            "it is cut short: 64 of its 1536 bytes are missing",
        ),
        (model().with("tokenizer.ggml.tokens", wide), "its token 1 is there twice"),
    ]);
}

/// Each file is refused with its fault.
#[track_caller]
fn refused(rows: impl IntoIterator<Item = (Forge, &'static str)>) {
    for (forge, fault) in rows {
        let error = verified(&forge).unwrap_err();
        assert_eq!(error.to_string(), format!("`m.gguf`: {fault}"));
    }
}

#[test]
fn each_inconsistency_of_a_models_shape_is_named() {
    let model = Forge::model;
    refused([
        (model().without("general.architecture"), "it lacks the key `general.architecture`"),
        (
            model().with("general.architecture", Item::U32(1)),
            "its key `general.architecture` has to be a text, and is a u32",
        ),
        (model().without("llama.context_length"), "it lacks the key `llama.context_length`"),
        (
            model().with("llama.embedding_length", Item::U32(0)),
            "its key `llama.embedding_length` is 0, and has to be within 1 and 2147483647",
        ),
        (
            model().with("llama.embedding_length", Item::I32(-8)),
            "its key `llama.embedding_length` has to be a whole number that is not negative, and is an i32",
        ),
        (
            model().with("llama.block_count", Item::U32(0)),
            "its key `llama.block_count` is 0, and has to be within 1 and 512",
        ),
        (
            model().with("llama.block_count", Item::U32(u32::MAX)),
            "its key `llama.block_count` is 4294967295, and has to be within 1 and 512",
        ),
        (model().with("llama.block_count", Item::U32(3)), "it lacks block 2 of its 3"),
        (
            model().with("llama.block_count", Item::U32(1)),
            "it has `blk.1.attn_q.weight`, and says that it has 1 blocks",
        ),
        (
            model().with("llama.attention.head_count", Item::U32(3)),
            "its key `llama.attention.head_count` is 3, which `llama.attention.head_count_kv`, 2, does not divide",
        ),
        (
            model()
                .with("llama.attention.head_count", Item::U32(6))
                .with("llama.attention.head_count_kv", Item::U32(3)),
            "its key `llama.embedding_length` is 8, which `llama.attention.head_count`, 6, does not divide",
        ),
        (
            model().with("llama.attention.head_count", Item::U32s(vec![4])),
            "its key `llama.attention.head_count` has 1 items, and has to have 2",
        ),
        (
            model().with("llama.attention.head_count", Item::Texts(vec!["a".into(), "b".into()])),
            "its key `llama.attention.head_count` has to be an array of numbers, and is an array",
        ),
        (
            model().with("llama.nextn_predict_layers", Item::U32(3)),
            "its key `llama.nextn_predict_layers` is 3, and has to be within 0 and 2",
        ),
        (
            model().without("llama.attention.head_count"),
            "it lacks the key `llama.attention.head_count`",
        ),
        (
            model().with("llama.attention.head_count", Item::U32(0)),
            "its key `llama.attention.head_count` is 0, which `llama.attention.head_count_kv`, 2, does not divide",
        ),
    ]);
}

#[test]
fn each_inconsistency_of_a_models_experts_and_tokens_is_named() {
    let model = Forge::model;
    let texts = |count: usize| Item::Texts((0..count).map(|n| n.to_string()).collect());
    refused([
        (
            model().with("llama.expert_count", Item::U32(2000)),
            "its key `llama.expert_count` is 2000, and has to be within 0 and 1024",
        ),
        (
            model().with("llama.expert_count", Item::U32(8)),
            "its key `llama.expert_used_count` is 0, and has to be within 1 and 8",
        ),
        (
            model().with("llama.expert_used_count", Item::U32(2)),
            "its key `llama.expert_used_count` is 2, and has to be within 0 and 0",
        ),
        (
            model()
                .with("llama.expert_count", Item::U32(8))
                .with("llama.expert_used_count", Item::U32(2))
                .with("llama.expert_group_count", Item::U32(3)),
            "its key `llama.expert_count` is 8, which `llama.expert_group_count`, 3, does not divide",
        ),
        (
            model().with("llama.rope.scaling.type", Item::Text("odd".into())),
            "its key `llama.rope.scaling.type` is `odd`, which llama.cpp does not know",
        ),
        (model().lacking("token_embd.weight"), "it lacks the tensor `token_embd.weight`"),
        (
            model().with("tokenizer.ggml.tokens", texts(3)),
            "its tensor `token_embd.weight` has a dimension of 4 where `tokenizer.ggml.tokens` says 3",
        ),
        (
            model().with("tokenizer.ggml.tokens", texts(5)),
            "its key `tokenizer.ggml.scores` has 4 items, and has to have 5",
        ),
        (
            model().with("tokenizer.ggml.tokens", Item::U32s(vec![1, 2, 3, 4])),
            "its key `tokenizer.ggml.tokens` has to be an array of texts, and is an array",
        ),
        (
            model().with("tokenizer.ggml.scores", Item::U32(1)),
            "its key `tokenizer.ggml.scores` has to be an array of f32, and is a u32",
        ),
        (
            model().with("tokenizer.ggml.merges", Item::U32s(vec![1])),
            "its key `tokenizer.ggml.merges` has to be an array of texts, and is an array",
        ),
        (
            model().with("llama.embedding_length", Item::U32(16)),
            "its tensor `token_embd.weight` has a dimension of 8 where `llama.embedding_length` says 16",
        ),
    ]);
}

#[test]
fn each_inconsistency_of_a_projector_is_named() {
    let projector = Forge::projector;
    refused([
        (
            projector().with("clip.has_vision_encoder", Item::Bool(false)),
            "it is a projector for neither images nor sound",
        ),
        (projector().without("clip.projector_type"), "it lacks the key `clip.projector_type`"),
        (
            projector().with("clip.vision.image_size", Item::U64(28)),
            "its key `clip.vision.image_size` has to be a u32, and is a u64",
        ),
        (
            projector().with("clip.use_gelu", Item::U32(1)),
            "its key `clip.use_gelu` has to be a bool, and is a u32",
        ),
        (
            projector().with("clip.vision.image_size", Item::U32(10_000)),
            "its key `clip.vision.image_size` is 10000, and has to be within 0 and 8192",
        ),
        (
            projector().with("clip.vision.patch_size", Item::U32(0)),
            "its key `clip.vision.patch_size` is 0, and has to be within 1 and 65535",
        ),
        (
            projector().with("clip.vision.attention.head_count", Item::U32(3)),
            "its key `clip.vision.embedding_length` is 8, which `clip.vision.attention.head_count`, 3, does not divide",
        ),
        (
            projector().with("clip.has_audio_encoder", Item::Bool(true)),
            "it lacks the key `clip.audio.num_mel_bins`",
        ),
    ]);
}

#[test]
fn another_kind_of_file_is_named_by_its_start() {
    for (bytes, fault) in [
        (&b""[..], "it is no GGUF file: it begins with nothing, not with `GGUF`"),
        (b"<html>", "it is no GGUF file: it begins with `<htm`, not with `GGUF`"),
        (b"\x00\xff", "it is no GGUF file: it begins with `\\x00\\xff`, not with `GGUF`"),
        (b"GGUF\x03", "it is cut short: it ends after 5 bytes, within its header"),
    ] {
        assert_eq!(read(bytes).unwrap_err().to_string(), format!("`m.gguf`: {fault}"));
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused_and_what_is_missing_is_counted() {
    for forge in [Forge::model(), Forge::projector()] {
        let bytes = forge.bytes();
        let tensors: usize = 1;
        let mut counted = 0;
        for length in 0..bytes.len() {
            match read(&bytes[..length]).unwrap_err().fault {
                Fault::Truncated { missing, whole } => {
                    assert_eq!(
                        (missing, whole),
                        ((bytes.len() - length) as u64, bytes.len() as u64)
                    );
                    counted += 1;
                }
                Fault::HeaderCut { length: at } => assert_eq!(at, length as u64),
                Fault::NotGguf { .. } => assert!(length < 4),
                fault => panic!("{length}: {fault}"),
            }
        }
        assert!(counted >= tensors);
    }
}

#[test]
fn counts_beyond_what_is_there_take_no_memory() {
    let head = |tensors: u64, keys: u64| {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(keys.to_le_bytes());
        bytes
    };
    let list = |items: u32, count: u64| {
        let mut bytes = head(0, 1);
        bytes.extend(21_u64.to_le_bytes());
        bytes.extend(b"tokenizer.ggml.tokens");
        bytes.extend(9_u32.to_le_bytes());
        bytes.extend(items.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes
    };
    let cut = |bytes: &[u8]| {
        format!("it is cut short: it ends after {} bytes, within its header", bytes.len())
    };
    let key = [head(0, 1), u64::MAX.to_le_bytes().to_vec()].concat();
    let name = [head(1, 0), u64::MAX.to_le_bytes().to_vec()].concat();
    for (bytes, fault) in [
        (
            head(u64::MAX, 0),
            "it says that it has 18446744073709551615 tensors, and at most 262144 are read"
                .to_owned(),
        ),
        (
            head(0, u64::MAX),
            "it says that it has 18446744073709551615 keys, and at most 65536 are read".to_owned(),
        ),
        (key, "it has a key of 18446744073709551615 bytes, and at most 65535 are read".to_owned()),
        (
            name,
            "it has a name of a tensor of 18446744073709551615 bytes, and at most 63 are read"
                .to_owned(),
        ),
        (
            list(8, u64::MAX),
            "it says that it has 18446744073709551615 tokens, and at most 4194304 are read"
                .to_owned(),
        ),
        (list(8, 1 << 20), cut(&list(8, 1 << 20))),
        (list(10, u64::MAX), cut(&list(10, u64::MAX))),
        (list(0, u64::MAX), cut(&list(0, u64::MAX))),
        (head(1 << 18, 1 << 16), cut(&head(1 << 18, 1 << 16))),
    ] {
        assert_eq!(read(&bytes).unwrap_err().to_string(), format!("`m.gguf`: {fault}"));
    }
}

#[test]
fn long_lists_and_texts_are_skipped() {
    let forge = Forge::model()
        .with("long.list", Item::U32s(vec![7; 5000]))
        .with("short.list", Item::U32s(vec![7; 3]))
        .with("long.text", Item::Text("x".repeat((1 << 20) + 1)));
    let gguf = read(&forge.bytes()).unwrap();
    let list = |key| gguf.value(key).and_then(Value::as_array).unwrap();
    assert_eq!((list("long.list").count, list("long.list").held.as_ref()), (5000, None));
    assert_eq!(list("short.list").held.as_ref().map(Vec::len), Some(3));
    assert_eq!(gguf.value("long.text"), Some(&Value::LongText { length: (1 << 20) + 1 }));
    assert!(gguf.verify().is_ok());
}

fn part(number: u16, count: u16, tensors: u32, forge: Forge) -> Vec<u8> {
    forge
        .with("split.no", Item::U16(number))
        .with("split.count", Item::U16(count))
        .with("split.tensors.count", Item::I32(tensors as i32))
        .bytes()
}

fn second_part() -> Forge {
    let mut forge = Forge::model().with("general.name", Item::Text("Part".into()));
    forge.values.clear();
    forge
        .tensors
        .retain(|tensor| tensor.name.starts_with("blk.1") || tensor.name == "output_norm.weight");
    forge
}

fn first_part() -> Forge {
    Forge::model().lacking("blk.1.attn_q.weight").lacking("output_norm.weight")
}

#[test]
fn all_parts_of_a_split_model_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let first = path("big-00001-of-00002.gguf");
    std::fs::write(&first, part(0, 2, 4, first_part())).unwrap();
    let missing = Gguf::open(&first).unwrap_err();
    assert_eq!(
        missing.to_string(),
        format!("`{}`: its part `big-00002-of-00002.gguf` is not beside it", first.display())
    );
    assert_eq!(missing.hint(), Some("put all parts of the model into one folder"));
    let second = path("big-00002-of-00002.gguf");
    std::fs::write(&second, part(1, 2, 4, second_part())).unwrap();
    let gguf = Gguf::open(&first).unwrap();
    assert_eq!(gguf.parts(), [first.clone(), second.clone()]);
    let Ok(Kind::Model(facts)) = gguf.verify() else { panic!("it is a model") };
    assert_eq!(facts.parameters, 32 + 64 + 64 + 8);
    let told = |bytes: &[u8]| {
        std::fs::write(&second, bytes).unwrap();
        let error = Gguf::open(&first).unwrap_err().to_string();
        error.replace(&format!("{}/", folder.path().display()), "")
    };
    assert_eq!(
        told(&part(0, 2, 4, second_part())),
        "`big-00002-of-00002.gguf`: it says that it is part 1 of 2, and has to be 2 of 2"
    );
    assert_eq!(
        told(&part(1, 2, 4, first_part())),
        "`big-00002-of-00002.gguf`: it has the tensor `token_embd.weight` twice"
    );
    let whole = part(1, 2, 4, second_part());
    assert_eq!(
        told(&whole[..whole.len() - 9]),
        format!(
            "`big-00002-of-00002.gguf`: it is cut short: 9 of its {} bytes are missing",
            whole.len()
        )
    );
    assert_eq!(
        told(&part(1, 2, 4, second_part().tensor("more", &[8]))),
        "`big-00001-of-00002.gguf`: its parts have 5 tensors, and it says that they have 4"
    );
    std::fs::write(&second, &whole).unwrap();
    let other = Gguf::open(&second).unwrap_err();
    assert_eq!(
        other.to_string(),
        format!("`{}`: it is part 2 of a model of 2 parts", second.display())
    );
    let renamed = path("renamed.gguf");
    std::fs::rename(&first, &renamed).unwrap();
    assert_eq!(
        Gguf::open(&renamed).unwrap_err().to_string(),
        format!(
            "`{}`: it is one of 2 parts, and its name does not end with `-00001-of-00002.gguf`",
            renamed.display()
        )
    );
}

#[test]
fn what_is_no_file_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let error = Gguf::open(folder.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("`{}`: cannot be read: it is no file", folder.path().display())
    );
    let nothing = folder.path().join("nothing.gguf");
    let error = Gguf::open(&nothing).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("`{}`: cannot be read: No such file or directory (os error 2)", nothing.display())
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is flipped, cut or put in: an error in words, or a file that still holds what
    /// is said of each that is accepted.
    #[test]
    fn a_damaged_file_is_refused_or_sound(
        projector in any::<bool>(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        words in proptest::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 0..3),
    ) {
        let forge = if projector { Forge::projector() } else { Forge::model() };
        let mut bytes = forge.bytes();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= byte;
        }
        for (at, word) in words {
            let at = at.index(bytes.len() - 8);
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        match read(&bytes) {
            Err(error) => prop_assert!(error.to_string().starts_with("`m.gguf`: ")),
            Ok(gguf) => {
                let mut end = 0;
                for tensor in gguf.tensors() {
                    prop_assert!(tensor.offset >= end, "{} lies over another", tensor.name);
                    end = tensor.offset + tensor.size;
                }
                prop_assert!(end <= bytes.len() as u64);
                let _ = gguf.verify();
            }
        }
    }
}
