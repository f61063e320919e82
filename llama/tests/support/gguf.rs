//! Writes small GGUF files, right ones and wrong ones.

#![allow(dead_code, reason = "each test file uses a part of it")]

/// A value of a header.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    U16(u16),
    U32(u32),
    I32(i32),
    U64(u64),
    F32(f32),
    Bool(bool),
    Text(String),
    U32s(Vec<u32>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
    Texts(Vec<String>),
    /// A type and the bytes behind it.
    Raw(u32, Vec<u8>),
}

/// A tensor: its name, its shape, the number of its type, its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) name: String,
    pub(crate) shape: Vec<i64>,
    pub(crate) kind: u32,
    pub(crate) bytes: Vec<u8>,
    /// Where it says that it is, if not behind the one before.
    pub(crate) offset: Option<u64>,
}

/// A file in the making.
#[derive(Clone, Debug)]
pub(crate) struct Forge {
    pub(crate) version: u32,
    pub(crate) values: Vec<(String, Item)>,
    pub(crate) tensors: Vec<Block>,
    pub(crate) alignment: usize,
}

impl Forge {
    /// A file with nothing in it.
    pub(crate) fn new() -> Self {
        Self { version: 3, values: Vec::new(), tensors: Vec::new(), alignment: 32 }
    }

    /// A model that is consistent: two blocks, four tokens.
    pub(crate) fn model() -> Self {
        let tokens = ["<s>", "a", "b", "c"].map(str::to_owned).to_vec();
        Self::new()
            .with("general.architecture", Item::Text("llama".into()))
            .with("general.name", Item::Text("Tiny".into()))
            .with("llama.context_length", Item::U32(128))
            .with("llama.embedding_length", Item::U32(8))
            .with("llama.block_count", Item::U32(2))
            .with("llama.attention.head_count", Item::U32(4))
            .with("llama.attention.head_count_kv", Item::U32(2))
            .with("tokenizer.ggml.model", Item::Text("gpt2".into()))
            .with("tokenizer.ggml.tokens", Item::Texts(tokens))
            .with("tokenizer.ggml.scores", Item::F32s(vec![0.0; 4]))
            .with("tokenizer.chat_template", Item::Text("{{ messages }}".into()))
            .tensor("token_embd.weight", &[8, 4])
            .tensor("blk.0.attn_q.weight", &[8, 8])
            .tensor("blk.1.attn_q.weight", &[8, 8])
            .tensor("output_norm.weight", &[8])
    }

    /// The same with so many bytes of numbers more, which no other file of another `seed` has.
    pub(crate) fn large_model(seed: u32, bytes: usize) -> Self {
        let mut forge = Self::model();
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let numbers = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        });
        let rows = bytes / 32;
        let bytes = numbers.take(rows * 8).flat_map(u32::to_le_bytes).collect();
        forge.tensors.push(Block {
            name: "output.weight".into(),
            shape: vec![8, rows as i64],
            kind: 0,
            bytes,
            offset: None,
        });
        forge
    }

    /// A projector for images that is consistent.
    pub(crate) fn projector() -> Self {
        Self::new()
            .with("general.architecture", Item::Text("clip".into()))
            .with("clip.has_vision_encoder", Item::Bool(true))
            .with("clip.projector_type", Item::Text("mlp".into()))
            .with("clip.use_gelu", Item::Bool(true))
            .with("clip.vision.image_size", Item::U32(28))
            .with("clip.vision.patch_size", Item::U32(14))
            .with("clip.vision.embedding_length", Item::U32(8))
            .with("clip.vision.feed_forward_length", Item::U32(16))
            .with("clip.vision.block_count", Item::U32(1))
            .with("clip.vision.projection_dim", Item::U32(8))
            .with("clip.vision.attention.head_count", Item::U32(2))
            .with("clip.vision.attention.layer_norm_epsilon", Item::F32(1e-5))
            .tensor("v.patch_embd.weight", &[14, 14, 3, 8])
            .tensor("mm.0.weight", &[8, 8])
    }

    /// Sets a value.
    pub(crate) fn with(mut self, key: &str, item: Item) -> Self {
        match self.values.iter_mut().find(|(known, _)| known == key) {
            Some((_, value)) => *value = item,
            None => self.values.push((key.to_owned(), item)),
        }
        self
    }

    /// Adds a value, even of a key that is there.
    pub(crate) fn and(mut self, key: &str, item: Item) -> Self {
        self.values.push((key.to_owned(), item));
        self
    }

    /// Takes a value out.
    pub(crate) fn without(mut self, key: &str) -> Self {
        self.values.retain(|(known, _)| known != key);
        self
    }

    /// Adds a tensor of 32-bit floats.
    pub(crate) fn tensor(mut self, name: &str, shape: &[i64]) -> Self {
        let numbers: i64 = shape.iter().product();
        let bytes = (0..numbers).flat_map(|number| (number as f32).to_le_bytes()).collect();
        let (name, shape) = (name.to_owned(), shape.to_vec());
        self.tensors.push(Block { name, shape, kind: 0, bytes, offset: None });
        self
    }

    /// Changes the tensor of this name.
    pub(crate) fn change(mut self, name: &str, change: impl FnOnce(&mut Block)) -> Self {
        change(self.tensors.iter_mut().find(|tensor| tensor.name == name).expect("a tensor"));
        self
    }

    /// Takes the tensor of this name out.
    pub(crate) fn lacking(mut self, name: &str) -> Self {
        self.tensors.retain(|tensor| tensor.name != name);
        self
    }

    /// The file's bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.values.len() as u64).to_le_bytes());
        for (key, item) in &self.values {
            text(&mut file, key);
            value(&mut file, item);
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            text(&mut file, &tensor.name);
            file.extend((tensor.shape.len() as u32).to_le_bytes());
            tensor.shape.iter().for_each(|size| file.extend(size.to_le_bytes()));
            file.extend(tensor.kind.to_le_bytes());
            file.extend(tensor.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(&tensor.bytes);
            pad(&mut data, self.alignment);
        }
        // The last tensor ends where its numbers do.
        let last = self.tensors.last().map_or(0, |tensor| tensor.bytes.len());
        let padded = last.next_multiple_of(self.alignment) - last;
        data.truncate(data.len() - padded);
        pad(&mut file, self.alignment);
        file.extend(data);
        file
    }
}

fn pad(bytes: &mut Vec<u8>, alignment: usize) {
    bytes.resize(bytes.len().next_multiple_of(alignment), 0);
}

fn text(file: &mut Vec<u8>, text: &str) {
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(text.as_bytes());
}

fn value(file: &mut Vec<u8>, item: &Item) {
    let list = |file: &mut Vec<u8>, kind: u32, count: usize| {
        file.extend(9_u32.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend((count as u64).to_le_bytes());
    };
    let one = |file: &mut Vec<u8>, kind: u32, bytes: &[u8]| {
        file.extend(kind.to_le_bytes());
        file.extend(bytes);
    };
    match item {
        Item::U16(number) => one(file, 2, &number.to_le_bytes()),
        Item::U32(number) => one(file, 4, &number.to_le_bytes()),
        Item::I32(number) => one(file, 5, &number.to_le_bytes()),
        Item::F32(number) => one(file, 6, &number.to_le_bytes()),
        Item::Bool(yes) => one(file, 7, &[u8::from(*yes)]),
        Item::U64(number) => one(file, 10, &number.to_le_bytes()),
        Item::Text(letters) => {
            file.extend(8_u32.to_le_bytes());
            text(file, letters);
        }
        Item::U32s(numbers) => {
            list(file, 4, numbers.len());
            numbers.iter().for_each(|number| file.extend(number.to_le_bytes()));
        }
        Item::I32s(numbers) => {
            list(file, 5, numbers.len());
            numbers.iter().for_each(|number| file.extend(number.to_le_bytes()));
        }
        Item::F32s(numbers) => {
            list(file, 6, numbers.len());
            numbers.iter().for_each(|number| file.extend(number.to_le_bytes()));
        }
        Item::Texts(texts) => {
            list(file, 8, texts.len());
            texts.iter().for_each(|letters| text(file, letters));
        }
        Item::Raw(kind, bytes) => one(file, *kind, bytes),
    }
}
