//! Networks computed by ONNX Runtime: a shared library, loaded when it is first needed.
//!
//! The library is used through `ort`, whose interface is safe; that the file is the library
//! it claims to be is for whoever names it. A process loads one and keeps it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::session::Session;
use ort::value::Tensor;

use super::super::models::ModelFile;
use super::{Network, Networks, OcrError, OcrModels, Pixels, Scores, nameless};

/// The most batches that are read at once: each takes the weights of the network once more.
const READERS: usize = 4;

/// A network. A session is run by one thread at a time.
struct OnnxNetwork(Mutex<Session>);

/// Loads the library and says which it is.
pub(super) fn verify(library: &Path) -> Result<String, OcrError> {
    environment(library).map(|_| format!("ONNX Runtime, `{}`", library.display()))
}

/// Loads the networks.
pub(super) fn load(
    library: &Path,
    models: &OcrModels,
    threads: usize,
) -> Result<Networks, OcrError> {
    let environment = environment(library)?;
    let detector = session(&environment, &models.detector()?, threads)?;
    let model = models.recogniser()?;
    let readers = threads.min(READERS);
    let sessions: Vec<Session> = (0..readers)
        .map(|_| session(&environment, &model, threads / readers))
        .collect::<Result<_, _>>()?;
    let characters = sessions
        .first()
        .and_then(|session| session.metadata().ok()?.custom("character"))
        .ok_or_else(nameless)?;
    let network = |session| Box::new(OnnxNetwork(Mutex::new(session))) as Box<dyn Network>;
    Ok(Networks {
        detector: network(detector),
        readers: sessions.into_iter().map(network).collect(),
        characters,
    })
}

/// The library, loaded; a process loads one.
fn environment(library: &Path) -> Result<Environment, OcrError> {
    static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);
    let unusable = |why: String| OcrError::Library { file: library.to_path_buf(), why };
    if !library.is_file() {
        return Err(OcrError::NoLibrary(library.to_path_buf()));
    }
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((file, environment)) = &*loaded {
        if file != library {
            return Err(unusable(format!("this process has loaded `{}`", file.display())));
        }
        return Ok(environment.clone());
    }
    let environment = ort::init_from(library)
        .map_err(|error| unusable(error.to_string()))?
        .with_name("flow")
        .with_telemetry(false)
        // What goes wrong comes back as an error; a library does not write to the terminal.
        .with_logger(Arc::new(|_, _, _, _, _| {}))
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    *loaded = Some((library.to_path_buf(), environment.clone()));
    Ok(environment)
}

fn session(
    environment: &Environment,
    model: &ModelFile,
    threads: usize,
) -> Result<Session, OcrError> {
    let built = || -> ort::Result<Session> {
        Session::builder(environment)?
            .with_intra_threads(threads)?
            // Threads that wait for work by spinning take the cores from other steps.
            .with_intra_op_spinning(false)?
            .commit_from_memory(&model.bytes)
    };
    built().map_err(|error| model.damaged(&error))
}

impl Network for OnnxNetwork {
    fn run(&self, pixels: Pixels) -> Result<Scores, String> {
        let mut session = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let input =
            Tensor::from_array((pixels.shape, pixels.data)).map_err(|error| error.to_string())?;
        let output = session.run(ort::inputs![input]).map_err(|error| error.to_string())?;
        let (shape, data) =
            output[0].try_extract_tensor::<f32>().map_err(|error| error.to_string())?;
        let shape = shape.iter().map(|side| *side as usize).collect();
        Ok(Scores { shape, data: data.to_vec() })
    }
}
