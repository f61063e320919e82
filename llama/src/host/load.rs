//! From files to a model that can be asked.

use std::ffi::CString;
use std::num::NonZeroU32;
use std::path::Path;
use std::pin::Pin;

use aho_corasick::{AhoCorasick, MatchKind};
use flow_core::error::{ErrorClass, Failure};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::mtmd::{MtmdContext, MtmdContextParams};

use super::prompt::MARKER;
use super::template::Template;
use crate::protocol::Load;

/// The most tokens that one step computes, and in pieces of how many.
pub(super) const BATCH: u32 = 2048;
const PIECE: u32 = 512;

/// What is left of a card's memory for others, in bytes.
const LEFT_ON_CARD: usize = 1 << 30;

/// llama.cpp's word for a log of errors alone.
const ONLY_ERRORS: u32 = 4;

/// A model, its projector, and how it is spoken to.
pub(super) struct Model {
    pub(super) name: String,
    // Before the backend, which they need as long as they live.
    pub(super) model: LlamaModel,
    backend: LlamaBackend,
    pub(super) template: Template,
    /// Texts that mean something to the tokenizer, and must not when they stand in what was
    /// read from a file.
    pub(super) special: AhoCorasick,
    /// Whether what is remembered of a sequence can be cut and copied.
    pub(super) can_cut: bool,
}

impl Model {
    pub(super) fn load(load: &Load) -> Result<Self, Failure> {
        refuse_old_processor()?;
        let backend = LlamaBackend::init()
            .map_err(|error| Failure::internal(format!("llama.cpp does not start: {error}")))?;
        exists(&load.weights)?;
        let params = placed(load, &backend);
        let model = LlamaModel::load_from_file(&backend, &load.weights, &params)
            .map_err(|_| unusable("weights", &load.weights))?;
        let template = Template::of(&model, load)?;
        let special = special(&model)?;
        let can_cut = !model.is_recurrent() && !model.is_hybrid();
        Ok(Self { name: load.name.clone(), model, backend, template, special, can_cut })
    }

    pub(super) fn backend(&self) -> &LlamaBackend {
        &self.backend
    }

    /// What looks at images; none of a model of text alone.
    pub(super) fn eyes(&self, load: &Load) -> Result<Option<MtmdContext>, Failure> {
        let Some(path) = &load.projector else { return Ok(None) };
        exists(path)?;
        let params = MtmdContextParams {
            n_threads: load.threads as i32,
            print_timings: false,
            ..MtmdContextParams::default()
        };
        let text = path.to_str().ok_or_else(|| unusable("projector", path))?;
        let eyes = MtmdContext::init_from_file(text, &self.model, &params)
            .map_err(|_| unusable("projector", path))?;
        if eyes.support_vision() {
            return Ok(Some(eyes));
        }
        let message = format!("the projector `{}` is not for images", path.display());
        Err(Failure::input(message))
    }

    /// What remembers sequences. `whole` is whether an image has to be taken in one piece.
    pub(super) fn context(&self, load: &Load, whole: bool) -> Result<LlamaContext<'_>, Failure> {
        self.model.new_context(&self.backend, remembering(load, whole)).map_err(|_| {
            let message = format!(
                "there is no memory for model `{}` with {} tokens in mind",
                load.name, load.cells
            );
            let hint = "set a smaller `context` or `parallel` in its `options`";
            Failure::new(ErrorClass::Limit, message).with_hint(hint)
        })
    }
}

/// How sequences are remembered.
fn remembering(load: &Load, whole: bool) -> LlamaContextParams {
    LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(load.cells))
        .with_n_batch(BATCH)
        .with_n_ubatch(if whole { BATCH } else { PIECE })
        .with_n_seq_max(load.sequences)
        .with_n_threads(load.threads as i32)
        .with_n_threads_batch(load.threads as i32)
        // One memory for all sequences: they share what they have in common.
        .with_kv_unified(true)
        .with_swa_full(true)
        .with_no_perf(true)
}

/// Which layers lie on a graphics card: as many as was said, else as many as fit beside the
/// context, the projector and what others may take. Where llama.cpp cannot tell, none.
fn placed(load: &Load, backend: &LlamaBackend) -> Pin<Box<LlamaModelParams>> {
    let mut params = Box::pin(LlamaModelParams::default());
    if let Some(layers) = load.gpu_layers {
        return Box::pin(LlamaModelParams::default().with_n_gpu_layers(layers));
    }
    if !backend.supports_gpu_offload() {
        return params;
    }
    let projector = load.projector.as_ref().and_then(|path| path.metadata().ok());
    let beside = projector.map_or(0, |file| file.len() as usize).saturating_add(LEFT_ON_CARD);
    let mut margins = vec![beside; llama_cpp_2::max_devices()];
    let fits = CString::new(load.weights.as_os_str().as_encoded_bytes()).ok().is_some_and(|path| {
        let mut context = remembering(load, load.projector.is_some());
        let fitted =
            params.as_mut().fit_params(&path, &mut context, &mut margins, load.cells, ONLY_ERRORS);
        fitted.is_ok()
    });
    match fits {
        true => params,
        false => Box::pin(LlamaModelParams::default().with_n_gpu_layers(0)),
    }
}

/// Texts of control tokens, and the one that stands for images.
fn special(model: &LlamaModel) -> Result<AhoCorasick, Failure> {
    let vocab = model.vocab();
    let mut texts: Vec<_> = vocab
        .tokens()
        .filter(|token| vocab.is_control(*token))
        .filter_map(|token| Some(vocab.text(token)?.to_string_lossy().into_owned()))
        .filter(|text| text.chars().count() > 1)
        .collect();
    texts.push(MARKER.to_owned());
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .build(texts)
        .map_err(|error| Failure::internal(format!("control tokens cannot be looked for: {error}")))
}

fn exists(path: &Path) -> Result<(), Failure> {
    if path.is_file() {
        return Ok(());
    }
    Err(Failure::new(ErrorClass::NotFound, format!("there is no model file `{}`", path.display())))
}

fn unusable(what: &str, path: &Path) -> Failure {
    let message = format!("llama.cpp cannot use the {what} `{}`", path.display());
    Failure::input(message)
        .with_hint("the file may be damaged, or of a kind of model that llama.cpp does not know")
}

/// What llama.cpp is built for; it would be stopped in the middle of computing otherwise.
fn refuse_old_processor() -> Result<(), Failure> {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        if !(has!("avx2") && has!("fma") && has!("f16c") && has!("bmi2")) {
            let message = "local models need a processor with AVX2, FMA, F16C and BMI2";
            return Err(Failure::new(ErrorClass::Limit, message).with_hint(
                "every x86-64 processor since about 2015 has them; ask `ollama/…` instead",
            ));
        }
    }
    Ok(())
}
