//! What llama.cpp asserts, said beforehand.
//!
//! Where it throws, a model is refused; where it asserts, the process is gone. The latter is
//! what has to be found here: numbers that it divides by or sizes arrays with, values that it
//! reads as one type and no other, tokens that are there twice. The bounds are those of the
//! vendored version.

use super::error::{Fault, GgufError};
use super::facts::{ARCHITECTURE, Kind, ModelFacts, ProjectorFacts, kv_bytes, wrong};
use super::value::{Value, ValueType};
use super::{Gguf, header};

/// The most blocks that llama.cpp has room for.
const MOST_BLOCKS: u64 = 512;

/// The most experts that llama.cpp has room for.
const MOST_EXPERTS: u64 = 1024;

/// The most that a number may be which llama.cpp holds in 31 bits.
const MOST: u64 = i32::MAX as u64;

/// The longest side of an image that a projector may want.
const LONGEST_SIDE: u64 = 8192;

/// The ways to stretch positions that llama.cpp knows.
const SCALINGS: &[&str] = &["none", "linear", "yarn", "longrope"];

/// Architectures whose blocks may have no tensors, or whose tensors are named otherwise.
const OTHERWISE: &[&str] = &["deci", "t5", "t5encoder", "wavtokenizer-dec", "eagle3", "dflash"];

impl Gguf {
    /// Makes sure that the file is consistent, and says what it is.
    pub fn verify(&self) -> Result<Kind, GgufError> {
        let kind = match self.is_projector() {
            true => self.projector().map(Kind::Projector),
            false => self.model().map(Kind::Model),
        };
        kind.map_err(|fault| self.error(fault))
    }

    fn model(&self) -> Result<ModelFacts, Fault> {
        let architecture = self.architecture()?.to_owned();
        let key = |name: &str| format!("{architecture}.{name}");
        let context = self.needed(&key("context_length"), 1, MOST)?;
        let embedding = self.needed(&key("embedding_length"), 1, MOST)?;
        let blocks = self.needed(&key("block_count"), 1, MOST_BLOCKS)?;
        // Blocks that only guess ahead may have been left out of the file.
        let guessing = self.bounded(&key("nextn_predict_layers"), 0, blocks)?.unwrap_or(0);
        self.experts(&architecture, blocks)?;
        self.scaling(&key("rope.scaling.type"))?;
        let heads = self.heads(&architecture, blocks, embedding)?;
        let vocabulary = self.tokens()?;
        if !OTHERWISE.contains(&architecture.as_str()) {
            self.blocks(blocks as u32, (blocks - guessing) as usize)?;
            self.embeddings(&key("embedding_length"), embedding, vocabulary)?;
        }
        Ok(ModelFacts {
            name: self.name(),
            context: context as u32,
            blocks: blocks as u32,
            embedding: embedding as u32,
            heads: heads.most as u32,
            kv_heads: heads.kv_most as u32,
            kv_bytes: heads.kv_bytes,
            vocabulary,
            chat_template: self.value("tokenizer.chat_template").is_some(),
            parameters: self.parameters(),
            bytes: self.tensor_bytes(),
            architecture,
        })
    }

    fn experts(&self, architecture: &str, blocks: u64) -> Result<(), Fault> {
        let key = |name: &str| format!("{architecture}.{name}");
        let mut count = self.bounded(&key("expert_count"), 0, MOST_EXPERTS)?.unwrap_or(0);
        if count == 1 && matches!(architecture, "hunyuan_vl" | "hunyuan-dense") {
            count = 0;
        }
        let used_key = key("expert_used_count");
        let used = self.each_block(&used_key, blocks, MOST)?.unwrap_or_default();
        let used = used.into_iter().max().unwrap_or(0);
        let (least, most) = if count == 0 { (0, 0) } else { (1, count) };
        let hunyuan = count == 0 && matches!(architecture, "hunyuan_vl" | "hunyuan-dense");
        if !hunyuan && !(least..=most).contains(&used) {
            return Err(Fault::OutOfBounds { key: used_key, value: used, least, most });
        }
        let most = count.saturating_sub(1);
        let groups_key = key("expert_group_count");
        let groups = self.bounded(&groups_key, 0, most)?.unwrap_or(0);
        if groups > 1 {
            if !count.is_multiple_of(groups) {
                let (key, value) = (key("expert_count"), count);
                return Err(Fault::NotDivisible { key, value, by: groups_key, divisor: groups });
            }
            self.needed(&key("expert_group_used_count"), 1, groups - 1)?;
        }
        Ok(())
    }

    fn scaling(&self, key: &str) -> Result<(), Fault> {
        let Some(value) = self.value(key) else { return Ok(()) };
        let name = value.as_str().ok_or_else(|| wrong(key, "a text", value))?;
        match SCALINGS.contains(&name) {
            true => Ok(()),
            false => Err(Fault::Unknown { key: key.to_owned(), value: name.to_owned() }),
        }
    }

    fn heads(&self, architecture: &str, blocks: u64, embedding: u64) -> Result<Heads, Fault> {
        let key = |name: &str| format!("{architecture}.attention.{name}");
        let heads_key = key("head_count");
        let heads = self.each_block(&heads_key, blocks, embedding)?.unwrap_or_default();
        let kv_key = key("head_count_kv");
        let kv = self.each_block(&kv_key, blocks, embedding)?.unwrap_or_else(|| heads.clone());
        if heads.is_empty() && kv.iter().any(|kv| *kv > 0) {
            return Err(Fault::Missing(heads_key));
        }
        for (heads, kv) in heads.iter().zip(&kv) {
            if *kv > 0 && (*heads == 0 || !heads.is_multiple_of(*kv)) {
                let (key, value) = (heads_key, *heads);
                return Err(Fault::NotDivisible { key, value, by: kv_key, divisor: *kv });
            }
        }
        let most = heads.iter().copied().max().unwrap_or(0);
        let length = |name: &str| self.bounded(&key(name), 1, MOST);
        let (key_length, value_length) = (length("key_length")?, length("value_length")?);
        // llama.cpp takes the first block's heads for what is not said.
        let first = heads.first().copied().unwrap_or(0);
        if (key_length.is_none() || value_length.is_none())
            && first > 0
            && !embedding.is_multiple_of(first)
        {
            let (key, by) = (format!("{architecture}.embedding_length"), heads_key);
            return Err(Fault::NotDivisible { key, value: embedding, by, divisor: first });
        }
        let usual = embedding.checked_div(first).unwrap_or(0);
        let (key, value) = (key_length.unwrap_or(usual), value_length.unwrap_or(usual));
        let kv_most = kv.iter().copied().max().unwrap_or(0);
        Ok(Heads { most, kv_most, kv_bytes: kv_bytes(&kv, key, value) })
    }

    /// Makes sure that the lists about tokens go together, and counts the tokens.
    fn tokens(&self) -> Result<Option<u64>, Fault> {
        let Some(count) = self.vocabulary()? else { return Ok(None) };
        let list = self.value(header::TOKENS).and_then(Value::as_array);
        if let Some(token) = list.and_then(|list| list.again) {
            return Err(Fault::DuplicateToken { token });
        }
        let numbers = &[ValueType::I32, ValueType::F32][..];
        for (key, kinds, wanted) in [
            ("tokenizer.ggml.scores", numbers, "an array of f32"),
            ("tokenizer.ggml.token_type", &numbers[..1], "an array of i32"),
        ] {
            let Some(value) = self.value(key) else { continue };
            let list = value.as_array().filter(|list| kinds.contains(&list.items));
            let list = list.ok_or_else(|| wrong(key, wanted, value))?;
            if list.count < count {
                let (found, wanted) = (list.count, count);
                return Err(Fault::ArrayLength { key: key.to_owned(), found, wanted });
            }
        }
        if let Some(value) = self.value("tokenizer.ggml.merges")
            && value.as_array().is_none_or(|list| list.items != ValueType::Text)
        {
            return Err(wrong("tokenizer.ggml.merges", "an array of texts", value));
        }
        Ok(Some(count))
    }

    /// Makes sure that something is there of each of the first blocks, and nothing of a block
    /// that there is not.
    fn blocks(&self, blocks: u32, needed: usize) -> Result<(), Fault> {
        let mut there = vec![false; blocks as usize];
        for tensor in self.tensors() {
            let Some(block) = tensor.block() else { continue };
            match there.get_mut(block as usize) {
                Some(there) => *there = true,
                None => return Err(Fault::StrayBlock { tensor: tensor.name.clone(), blocks }),
            }
        }
        match there.iter().take(needed).position(|there| !there) {
            None => Ok(()),
            Some(block) => Err(Fault::MissingBlock { block: block as u32, blocks }),
        }
    }

    /// Makes sure that there is a vector of the right length for each token.
    fn embeddings(&self, key: &str, embedding: u64, tokens: Option<u64>) -> Result<(), Fault> {
        const NAME: &str = "token_embd.weight";
        let tensor = self.tensors().iter().find(|tensor| tensor.name == NAME);
        let tensor = tensor.ok_or_else(|| Fault::MissingTensor(NAME.to_owned()))?;
        let [row, rows, ..] = tensor.shape;
        let shape = |key: &str, found, wanted| {
            let (tensor, key) = (NAME.to_owned(), key.to_owned());
            Err(Fault::Shape { tensor, found, key, wanted })
        };
        match tokens {
            _ if row != embedding => shape(key, row, embedding),
            Some(tokens) if rows != tokens => shape(header::TOKENS, rows, tokens),
            Some(_) | None => Ok(()),
        }
    }

    fn projector(&self) -> Result<ProjectorFacts, Fault> {
        self.projector_types()?;
        let yes = |key| self.value(key).and_then(Value::as_bool).unwrap_or(false);
        let (vision, audio) = (yes("clip.has_vision_encoder"), yes("clip.has_audio_encoder"));
        if !vision && !audio {
            return Err(Fault::NoEncoder);
        }
        let text = |key: &str| self.value(key).and_then(Value::as_str).filter(|t| !t.is_empty());
        let own = if vision { "clip.vision.projector_type" } else { "clip.audio.projector_type" };
        let projector = text("clip.projector_type").or_else(|| text(own));
        let projector =
            projector.ok_or_else(|| Fault::Missing("clip.projector_type".to_owned()))?;
        if vision {
            self.needed("clip.vision.image_size", 0, LONGEST_SIDE)?;
            self.needed("clip.vision.patch_size", 1, (1 << 16) - 1)?;
            self.encoder("clip.vision", 1)?;
        }
        if audio {
            self.needed("clip.audio.num_mel_bins", 1, MOST)?;
            self.encoder("clip.audio", 0)?;
        }
        if self.tensors().is_empty() {
            return Err(Fault::NoEncoder);
        }
        Ok(ProjectorFacts {
            name: self.name(),
            projector: projector.to_owned(),
            vision,
            audio,
            parameters: self.parameters(),
            bytes: self.tensor_bytes(),
        })
    }

    /// Checks the numbers of an encoder. Those that have no attention have no heads.
    fn encoder(&self, prefix: &str, least: u64) -> Result<(), Fault> {
        let key = |name: &str| format!("{prefix}.{name}");
        let embedding_key = key("embedding_length");
        let embedding = self.needed(&embedding_key, least, MOST)?;
        self.needed(&key("block_count"), 0, MOST_BLOCKS)?;
        let heads_key = key("attention.head_count");
        let heads = self.needed(&heads_key, 0, MOST)?;
        let said = self.value(&key("attention.head_dim")).is_some();
        if !said && heads > 0 && !embedding.is_multiple_of(heads) {
            let (key, value) = (embedding_key, embedding);
            return Err(Fault::NotDivisible { key, value, by: heads_key, divisor: heads });
        }
        Ok(())
    }

    /// Makes sure of the types of a projector's values: llama.cpp reads them unasked.
    fn projector_types(&self) -> Result<(), Fault> {
        for (key, value) in self.values() {
            let Some(wanted) = wanted_type(key) else { continue };
            if value.kind() != wanted {
                return Err(wrong(key, in_words(wanted), value));
            }
        }
        Ok(())
    }
}

/// The heads of a model.
struct Heads {
    most: u64,
    kv_most: u64,
    kv_bytes: u64,
}

/// The type that llama.cpp reads a projector's value as, where it does not look first.
fn wanted_type(key: &str) -> Option<ValueType> {
    if matches!(key, ARCHITECTURE | "general.name" | "general.description") {
        return Some(ValueType::Text);
    }
    let name = key.strip_prefix("clip.")?;
    let own = ["vision.", "audio.", "gen.audio."].iter().find_map(|part| name.strip_prefix(part));
    match name {
        "projector_type" => return Some(ValueType::Text),
        "has_vision_encoder"
        | "has_audio_encoder"
        | "has_gen_audio_encoder"
        | "use_gelu"
        | "use_silu" => return Some(ValueType::Bool),
        "minicpmv_version" => return Some(ValueType::I32),
        "minicpmv_query_num" => return Some(ValueType::U32),
        _ => {}
    }
    match own? {
        "projector_type" | "mm_patch_merge_type" | "model_variant" => Some(ValueType::Text),
        "attention.layer_norm_epsilon" | "swiglu_clamp" => Some(ValueType::F32),
        "embedding_length"
        | "feed_forward_length"
        | "block_count"
        | "projection_dim"
        | "attention.head_count"
        | "attention.head_count_kv"
        | "attention.head_dim"
        | "image_size"
        | "image_min_pixels"
        | "image_max_pixels"
        | "preproc_min_tiles"
        | "preproc_max_tiles"
        | "preproc_image_size"
        | "patch_size"
        | "projector.scale_factor"
        | "projector.query_side"
        | "projector.window_side"
        | "spatial_merge_size"
        | "n_wa_pattern"
        | "window_size"
        | "sam.head_count"
        | "sam.block_count"
        | "sam.embedding_length"
        | "expert_used_count"
        | "num_mel_bins"
        | "projector.stack_factor"
        | "chunk_size"
        | "conv_kernel_size"
        | "max_pos_emb"
        | "projector.window_size"
        | "projector.downsample_rate"
        | "projector.head_count"
        | "rvq.num_quantizers"
        | "local_block_count"
        | "local_group_size"
        | "subsampling_factor" => Some(ValueType::U32),
        _ => None,
    }
}

fn in_words(kind: ValueType) -> &'static str {
    match kind {
        ValueType::Text => "a text",
        ValueType::Bool => "a bool",
        ValueType::F32 => "an f32",
        ValueType::I32 => "an i32",
        ValueType::U32 => "a u32",
        ValueType::U8
        | ValueType::I8
        | ValueType::U16
        | ValueType::I16
        | ValueType::Array
        | ValueType::U64
        | ValueType::I64
        | ValueType::F64 => "something else",
    }
}
