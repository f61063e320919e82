//! Tiny models with random weights that llama.cpp loads: text of two kinds, and projectors for
//! LLaVA 1.5, LLaVA 1.6 and Qwen2-VL.
//!
//! They say nothing that means anything, and always the same: numbers come from a generator of
//! whole numbers, so that every machine writes the same bytes.

#[path = "../../tests/support/gguf.rs"]
mod forge;

use std::io;
use std::path::Path;

use forge::{Block, Forge, Item};

/// Dimensions, layers, heads, heads of keys, and width of the layers between.
const WIDE: u32 = 64;
const LAYERS: u32 = 2;
const HEADS: u32 = 4;
const KEY_HEADS: u32 = 2;
const BETWEEN: u32 = 128;

/// A side of an image, and of the squares it is cut into.
const SIDE: u32 = 56;
const SQUARE: u32 = 14;

/// Writes the models into a folder: `llava.gguf`, `qwen2vl.gguf`, and for them
/// `mmproj-llava.gguf`, `mmproj-llava16.gguf`, `mmproj-qwen2vl.gguf`; with `dimensions` also a
/// larger `mmproj-DIMENSIONS.gguf`.
pub(crate) fn write(folder: &Path, dimensions: Option<u32>) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let path = |name: &str| folder.join(name);
    text("llama").write(&path("llava.gguf"))?;
    text("qwen2vl").write(&path("qwen2vl.gguf"))?;
    let tiny = Tower { wide: WIDE, layers: 3, between: BETWEEN, side: SIDE };
    for (name, kind) in
        [("llava", Sight::Llava), ("llava16", Sight::Llava16), ("qwen2vl", Sight::Qwen2Vl)]
    {
        projector(kind, &tiny, WIDE).write(&path(&format!("mmproj-{name}.gguf")))?;
    }
    if let Some(dimensions) = dimensions {
        let tower = Tower { wide: 384, layers: 6, between: 1536, side: 336 };
        let name = format!("mmproj-{dimensions}.gguf");
        projector(Sight::Llava, &tower, dimensions).write(&path(&name))?;
    }
    Ok(())
}

/// What kind of projector.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sight {
    Llava,
    Llava16,
    Qwen2Vl,
}

/// How large what looks at images is.
struct Tower {
    wide: u32,
    layers: u32,
    between: u32,
    side: u32,
}

fn text(kind: &str) -> Gguf {
    let mut file = Gguf::of(kind);
    let is_llama = kind == "llama";
    let length = WIDE / HEADS;
    file.text("general.name", &format!("tiny-random-{kind}"));
    for (key, value) in [
        ("context_length", 4096),
        ("embedding_length", WIDE),
        ("block_count", LAYERS),
        ("feed_forward_length", BETWEEN),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", KEY_HEADS),
    ] {
        file.number(&format!("{kind}.{key}"), value);
    }
    file.float(&format!("{kind}.attention.layer_norm_rms_epsilon"), 1e-5);
    file.float(&format!("{kind}.rope.freq_base"), 10_000.0);
    let tokens = if is_llama {
        file.number("llama.rope.dimension_count", length);
        sentence_pieces(&mut file)
    } else {
        let sections = [length / 8, length * 3 / 16, length * 3 / 16, 0].map(|part| part as i32);
        file.integers(&format!("{kind}.rope.dimension_sections"), &sections);
        byte_pairs(&mut file)
    };
    let (wide, keys) = (WIDE, KEY_HEADS * length);
    file.random("token_embd.weight", &[wide, tokens], 1.0);
    file.ones("output_norm.weight", wide);
    file.matrix("output.weight", wide, tokens);
    for layer in 0..LAYERS {
        let name = |part: &str| format!("blk.{layer}.{part}");
        file.ones(&name("attn_norm.weight"), wide);
        file.ones(&name("ffn_norm.weight"), wide);
        for (part, out) in [("q", wide), ("k", keys), ("v", keys), ("output", wide)] {
            file.matrix(&name(&format!("attn_{part}.weight")), wide, out);
            if !is_llama && part != "output" {
                file.zeros(&name(&format!("attn_{part}.bias")), out);
            }
        }
        file.matrix(&name("ffn_gate.weight"), wide, BETWEEN);
        file.matrix(&name("ffn_up.weight"), wide, BETWEEN);
        file.matrix(&name("ffn_down.weight"), BETWEEN, wide);
    }
    file
}

/// A vocabulary of bytes and ASCII, as LLaVA's model of text has it; says how many tokens.
fn sentence_pieces(file: &mut Gguf) -> u32 {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).into();
    let (mut kinds, mut scores) = (vec![2, 3, 3], vec![0.0; 3]);
    tokens.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    kinds.extend([6; 256]);
    scores.extend([0.0; 256]);
    tokens.push("\u{2581}".to_owned());
    tokens.extend((33..127_u8).map(|letter| char::from(letter).to_string()));
    kinds.resize(tokens.len(), 1);
    scores.extend((0..95_u8).map(|at| -1.0 - f32::from(at)));
    file.text("tokenizer.ggml.model", "llama");
    file.text("tokenizer.ggml.pre", "default");
    file.texts("tokenizer.ggml.tokens", &tokens);
    file.floats("tokenizer.ggml.scores", &scores);
    file.integers("tokenizer.ggml.token_type", &kinds);
    for (key, token) in [("bos", 1), ("eos", 2), ("unknown", 0)] {
        file.number(&format!("tokenizer.ggml.{key}_token_id"), token);
    }
    file.flag("tokenizer.ggml.add_bos_token", true);
    file.text(
        "tokenizer.chat_template",
        "{% for m in messages %}{{ m['role'].upper() }}: {{ m['content'] }}\n{% endfor %}ASSISTANT:",
    );
    file.number("llama.vocab_size", tokens.len() as u32);
    tokens.len() as u32
}

/// A vocabulary of bytes, as Qwen's models have it; says how many tokens.
fn byte_pairs(file: &mut Gguf) -> u32 {
    let plain = |byte: u32| (33..127).contains(&byte) || (161..256).contains(&byte) && byte != 173;
    let mut others = 256..;
    let letters = (0..256).map(|byte| if plain(byte) { Some(byte) } else { others.next() });
    let mut tokens: Vec<String> =
        letters.filter_map(|letter| Some(char::from_u32(letter?)?.to_string())).collect();
    tokens.push("\u{120}t".to_owned());
    let mut kinds = vec![1; tokens.len()];
    let special = [
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
    ];
    let first = tokens.len() as u32;
    tokens.extend(special.map(str::to_owned));
    kinds.resize(tokens.len(), 3);
    file.text("tokenizer.ggml.model", "gpt2");
    file.text("tokenizer.ggml.pre", "qwen2");
    file.texts("tokenizer.ggml.tokens", &tokens);
    file.integers("tokenizer.ggml.token_type", &kinds);
    file.texts("tokenizer.ggml.merges", &["\u{120} t".to_owned()]);
    file.number("tokenizer.ggml.eos_token_id", first + 2);
    file.number("tokenizer.ggml.padding_token_id", first);
    file.flag("tokenizer.ggml.add_bos_token", false);
    file.text(
        "tokenizer.chat_template",
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n\
         {% endfor %}<|im_start|>assistant\n",
    );
    tokens.len() as u32
}

fn projector(kind: Sight, tower: &Tower, dimensions: u32) -> Gguf {
    let Tower { wide, layers, between, side } = *tower;
    let mut file = Gguf::of("clip");
    file.text("general.type", "mmproj");
    file.flag("clip.has_vision_encoder", true);
    let merger = if kind == Sight::Qwen2Vl { "qwen2vl_merger" } else { "mlp" };
    file.text("clip.projector_type", merger);
    for (key, value) in [
        ("image_size", side),
        ("patch_size", SQUARE),
        ("embedding_length", wide),
        ("feed_forward_length", between),
        ("block_count", layers),
        ("attention.head_count", wide / 16),
        ("projection_dim", dimensions),
    ] {
        file.number(&format!("clip.vision.{key}"), value);
    }
    file.float("clip.vision.attention.layer_norm_epsilon", 1e-5);
    file.floats("clip.vision.image_mean", &[0.481_454_66, 0.457_827_5, 0.408_210_73]);
    file.floats("clip.vision.image_std", &[0.268_629_54, 0.261_302_6, 0.275_777_1]);
    file.flag("clip.use_gelu", false);
    let squares = (side / SQUARE).pow(2);
    file.random("v.patch_embd.weight", &[SQUARE, SQUARE, 3, wide], 0.05);
    if kind == Sight::Qwen2Vl {
        file.random("v.patch_embd.weight.1", &[SQUARE, SQUARE, 3, wide], 0.05);
        file.norm("v.post_ln", wide);
    } else {
        file.random("v.class_embd", &[wide], 0.125);
        file.random("v.position_embd.weight", &[wide, squares + 1], 0.1);
        file.norm("v.pre_ln", wide);
    }
    for layer in 0..layers {
        let name = |part: &str| format!("v.blk.{layer}.{part}");
        file.norm(&name("ln1"), wide);
        file.norm(&name("ln2"), wide);
        for part in ["attn_q", "attn_k", "attn_v", "attn_out"] {
            file.layer(&name(part), wide, wide);
        }
        file.layer(&name("ffn_up"), wide, between);
        file.layer(&name("ffn_down"), between, wide);
    }
    let from = if kind == Sight::Qwen2Vl { 4 * wide } else { wide };
    let middle = if kind == Sight::Qwen2Vl { from } else { dimensions };
    file.layer("mm.0", from, middle);
    file.layer("mm.2", middle, dimensions);
    if kind == Sight::Llava16 {
        let grids = [1, 2, 2, 1, 2, 2].map(|times| times * side as i32);
        file.integers("clip.vision.image_grid_pinpoints", &grids);
        file.text("clip.vision.mm_patch_merge_type", "spatial_unpad");
        file.random("v.image_newline", &[dimensions], 0.125);
    }
    file
}

/// A file of model weights in the making, and where its chance is.
struct Gguf {
    forge: Forge,
    random: u64,
}

impl Gguf {
    fn of(kind: &str) -> Self {
        let mut file = Self { forge: Forge::new(), random: 7 };
        file.text("general.architecture", kind);
        file.number("general.file_type", 0);
        file
    }

    fn item(&mut self, key: &str, item: Item) {
        self.forge.values.push((key.to_owned(), item));
    }

    fn number(&mut self, key: &str, value: u32) {
        self.item(key, Item::U32(value));
    }

    fn float(&mut self, key: &str, value: f32) {
        self.item(key, Item::F32(value));
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.item(key, Item::Bool(value));
    }

    fn text(&mut self, key: &str, value: &str) {
        self.item(key, Item::Text(value.to_owned()));
    }

    fn texts(&mut self, key: &str, values: &[String]) {
        self.item(key, Item::Texts(values.to_vec()));
    }

    fn floats(&mut self, key: &str, values: &[f32]) {
        self.item(key, Item::F32s(values.to_vec()));
    }

    fn integers(&mut self, key: &str, values: &[i32]) {
        self.item(key, Item::I32s(values.to_vec()));
    }

    fn tensor(&mut self, name: &str, sides: &[u32], values: impl Iterator<Item = f32>) {
        self.forge.tensors.push(Block {
            name: name.to_owned(),
            shape: sides.iter().map(|side| i64::from(*side)).collect(),
            kind: 0,
            bytes: values.flat_map(f32::to_le_bytes).collect(),
            offset: None,
        });
    }

    /// Numbers whose mean is 0, and whose deviation is `scale`.
    fn random(&mut self, name: &str, sides: &[u32], scale: f32) {
        let count = sides.iter().product::<u32>() as usize;
        let mut state = self.random;
        let values: Vec<_> = (0..count)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let unit = ((state >> 40) as f32) / ((1_u32 << 24) as f32);
                (unit - 0.5) * 3.464_101_6 * scale
            })
            .collect();
        self.random = state;
        self.tensor(name, sides, values.into_iter());
    }

    fn matrix(&mut self, name: &str, from: u32, to: u32) {
        self.random(name, &[from, to], 1.0 / (from as f32).sqrt());
    }

    fn layer(&mut self, name: &str, from: u32, to: u32) {
        self.matrix(&format!("{name}.weight"), from, to);
        self.zeros(&format!("{name}.bias"), to);
    }

    fn norm(&mut self, name: &str, wide: u32) {
        self.ones(&format!("{name}.weight"), wide);
        self.zeros(&format!("{name}.bias"), wide);
    }

    fn ones(&mut self, name: &str, length: u32) {
        self.tensor(name, &[length], (0..length).map(|_| 1.0));
    }

    fn zeros(&mut self, name: &str, length: u32) {
        self.tensor(name, &[length], (0..length).map(|_| 0.0));
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, self.forge.bytes())
    }
}
