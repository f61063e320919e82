//! Networks computed by `rten`: pure Rust, no library of the system.

use std::sync::Arc;

use rten::{Model, ModelOptions, RunOptions, ThreadPool};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

use super::super::models::ModelFile;
use super::{Network, Networks, OcrError, OcrModels, Pixels, Scores, nameless};

/// A network with the threads that it is run by.
struct RtenNetwork {
    model: Arc<Model>,
    options: RunOptions,
}

/// Loads the networks.
///
/// Batches are read side by side, each on one thread: the layers of the network that reads
/// are too small to be worth sharing.
pub(super) fn load(models: &OcrModels, threads: usize) -> Result<Networks, OcrError> {
    let network = |model: &Arc<Model>, threads: usize| {
        let pool = Some(Arc::new(ThreadPool::with_num_threads(threads)));
        let options = RunOptions::default().with_thread_pool(pool);
        Box::new(RtenNetwork { model: Arc::clone(model), options }) as Box<dyn Network>
    };
    let detector = network(&Arc::new(model(models.detector()?)?), threads);
    let reader = Arc::new(model(models.recogniser()?)?);
    let characters = reader.metadata().get("character").ok_or_else(nameless)?.to_owned();
    let readers = (0..threads).map(|_| network(&reader, 1)).collect();
    Ok(Networks { detector, readers, characters })
}

fn model(mut file: ModelFile) -> Result<Model, OcrError> {
    let mut options = ModelOptions::with_all_ops();
    options.prepack_weights(true);
    options.load(std::mem::take(&mut file.bytes)).map_err(|error| file.damaged(&error))
}

impl Network for RtenNetwork {
    fn run(&self, pixels: Pixels) -> Result<Scores, String> {
        let input = NdTensor::from_data(pixels.shape, pixels.data);
        let output = self
            .model
            .run_one(input.view().into(), Some(self.options.clone()))
            .map_err(|error| error.to_string())?;
        let output = output.into_tensor::<f32>().ok_or("the scores are no numbers")?;
        Ok(Scores { shape: output.shape().to_vec(), data: output.into_data() })
    }
}
