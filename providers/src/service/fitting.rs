//! Making files fit, as many at once as memory allows, and none twice at the same time.
//!
//! A decoded image is a hundred times its file. Who makes one takes a share of what may be held
//! for all of them, by the number of its pixels, so that two hundred calls with an image each
//! do not decode two hundred. Calls that want the same made of the same file wait for the one
//! that makes it, and use it as long as one of them is under way.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use flow_core::artifact::ArtifactRef;
use flow_core::content::ContentHash;
use flow_core::error::Failure;
use flow_core::intake::Intake;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::picture::{self, Pages, Size};
use crate::catalog::ImageLimits;
use crate::documents::{Fault, Limits, OpenDocument, PageSelection};

/// Mebibytes of pixels that are held at once in the process. A single image may take more, and
/// is alone then.
const MOST_PIXELS: u32 = 128;

/// Mebibytes that any file counts for: reading and encoding takes some as well.
const LEAST: u32 = 32;

/// Mebibytes that a page that is drawn counts for.
const DRAWN: u64 = 64;

/// Files whose head is read at once.
const GLANCES: usize = 16;

/// The most counts of pages that are remembered.
const COUNTS: usize = 4096;

/// Makes files fit; clones share what they make.
#[derive(Clone)]
pub(crate) struct Fitting(Arc<Shared>);

struct Shared {
    pixels: Arc<Semaphore>,
    glances: Arc<Semaphore>,
    making: Mutex<HashMap<Work, Weak<OnceCell<Outcome>>>>,
    counts: Mutex<HashMap<ContentHash, u32>>,
}

/// What is to be made of a file: its pages that are meant, as images within limits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Work {
    /// Its name, after which what is made is called.
    pub(super) name: String,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its type by its bytes.
    pub(super) media_type: String,
    /// Which pages; all where none are chosen.
    pub(super) selection: Option<PageSelection>,
    /// How large and of which types they may be.
    pub(super) limits: ImageLimits,
    /// The most pages.
    pub(super) most: u32,
}

enum Outcome {
    Made(Vec<MadePage>),
    TooMany(u32),
}

/// A page, or the one image of a file, as it was made.
pub(super) struct MadePage {
    /// Its ordinal in the file.
    pub(super) number: u32,
    /// The image.
    pub(super) file: ArtifactRef,
    /// How large it was, as it is shown.
    pub(super) from: Size,
    /// How large it is.
    pub(super) to: Size,
}

/// What was made; as long as this is held, nobody makes it again.
pub(super) struct Made(Arc<OnceCell<Outcome>>);

impl Made {
    /// The pages that are meant; how many these are where they are too many.
    pub(super) fn pages(&self) -> Result<&[MadePage], u32> {
        match self.0.get() {
            Some(Outcome::Made(pages)) => Ok(pages),
            Some(Outcome::TooMany(count)) => Err(*count),
            None => Ok(&[]),
        }
    }
}

impl Default for Fitting {
    fn default() -> Self {
        Self(Arc::new(Shared {
            pixels: Arc::new(Semaphore::new(MOST_PIXELS as usize)),
            glances: Arc::new(Semaphore::new(GLANCES)),
            making: Mutex::default(),
            counts: Mutex::default(),
        }))
    }
}

impl Fitting {
    /// Makes what is to be made of a file, or waits for who does. `pixels` is how many a page
    /// has, where that is known.
    ///
    /// Dropping the future leaves behind what was kept by then; a page that is being made is
    /// made to its end.
    pub(super) async fn make(
        &self,
        work: Work,
        pixels: Option<u64>,
        intake: &Intake,
    ) -> Result<Made, Failure> {
        let cell = {
            let mut making = self.0.making.lock().unwrap_or_else(PoisonError::into_inner);
            match making.get(&work).and_then(Weak::upgrade) {
                Some(cell) => cell,
                None => {
                    making.retain(|_, cell| cell.strong_count() > 0);
                    let cell = Arc::new(OnceCell::new());
                    making.insert(work.clone(), Arc::downgrade(&cell));
                    cell
                }
            }
        };
        cell.get_or_try_init(|| self.made(work, pixels, intake)).await?;
        Ok(Made(cell))
    }

    async fn made(
        &self,
        work: Work,
        pixels: Option<u64>,
        intake: &Intake,
    ) -> Result<Outcome, Failure> {
        let held = pixels.map_or(DRAWN, |pixels| (pixels * 4) >> 20);
        // Whoever is not waited for any more still holds its share until it has ended.
        let share = Arc::new(self.share(held).await);
        let Work { name, path, media_type, selection, limits, most } = work;
        let opened = blocking(&share, {
            let name = name.clone();
            move || {
                let pages = Pages::open(&name, &path, &media_type)?;
                let numbers = picture::selected(&name, selection.as_ref(), pages.count())?;
                Ok((pages, numbers))
            }
        });
        let (pages, numbers) = opened.await?;
        if numbers.len() > most as usize {
            return Ok(Outcome::TooMany(numbers.len() as u32));
        }
        let (pages, limits) = (Arc::new(pages), Arc::new(limits));
        let mut made = Vec::with_capacity(numbers.len());
        for number in numbers {
            let (pages, limits, called) = (Arc::clone(&pages), Arc::clone(&limits), name.clone());
            let picture = blocking(&share, move || pages.picture(&called, number, &limits)).await?;
            let to = picture.to;
            let kept = intake.keep(picture.bytes, &name).await?;
            let file = ArtifactRef { width: Some(to.0), height: Some(to.1), ..kept };
            made.push(MadePage { number, file, from: picture.from, to });
        }
        Ok(Outcome::Made(made))
    }

    /// How many pages a PDF has; 0 where it cannot be read here, and the service may.
    ///
    /// Dropping the future does nothing.
    pub(super) async fn pages(&self, file: &ArtifactRef, path: PathBuf) -> Result<u32, Failure> {
        let counts = || self.0.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts().get(&file.hash) {
            return Ok(*count);
        }
        let share = Arc::new(self.share(2 * (file.size >> 20)).await);
        let name = file.name.clone();
        let count = blocking(&share, move || {
            let bytes = std::fs::read(path).map_err(|error| unreadable(&name, &error))?;
            match OpenDocument::open(&name, bytes, &Limits::default()) {
                Ok(document) => Ok(document.page_count()),
                Err(error) if error.fault == Fault::Encrypted => Err(error.into()),
                Err(_) => Ok(0),
            }
        });
        let count = count.await?;
        let mut counts = counts();
        if counts.len() >= COUNTS {
            counts.clear();
        }
        counts.insert(file.hash, count);
        Ok(count)
    }

    /// Reads the head of a file.
    ///
    /// Dropping the future does nothing.
    pub(super) async fn glance<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = Arc::clone(&self.0.glances).acquire_owned().await;
        blocking(&Arc::new(turn.expect("nobody closes it")), work).await
    }

    async fn share(&self, mebibytes: u64) -> OwnedSemaphorePermit {
        let share = u32::try_from(mebibytes).unwrap_or(MOST_PIXELS).clamp(LEAST, MOST_PIXELS);
        let turn = Arc::clone(&self.0.pixels).acquire_many_owned(share).await;
        turn.expect("nobody closes it")
    }
}

/// The failure of a file of the store that cannot be read.
pub(super) fn unreadable(name: &str, error: &std::io::Error) -> Failure {
    let message = format!("cannot read `{name}`: {error}");
    Failure::new(flow_core::error::ErrorClass::Io, message)
}

/// Does work that takes the processor for a while, on a thread for such.
async fn blocking<T: Send + 'static>(
    share: &Arc<OwnedSemaphorePermit>,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let share = Arc::clone(share);
    let done = tokio::task::spawn_blocking(move || {
        let _share = share;
        work()
    });
    done.await.unwrap_or_else(|error| {
        Err(Failure::internal(format!("reading a file for a model failed: {error}")))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use flow_core::store::Store;

    use super::*;
    use crate::catalog::MediaTypes;

    #[tokio::test]
    async fn who_wants_the_same_at_once_has_it_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let intake = Intake::new(store.artifacts().clone(), crate::documents::sniff);
        let mut bytes = Cursor::new(Vec::new());
        image::RgbImage::new(60, 40).write_to(&mut bytes, image::ImageFormat::Bmp).unwrap();
        let file = intake.keep(bytes.into_inner(), "a.bmp").await.unwrap();
        let types = MediaTypes::new(vec!["image/png".into()]);
        let work = |side| Work {
            name: file.name.clone(),
            path: intake.artifacts().local_path(&file.hash).unwrap(),
            media_type: file.media_type.clone(),
            selection: None,
            limits: ImageLimits { side: Some(side), types: types.clone(), ..Default::default() },
            most: 1,
        };
        let fitting = Fitting::default();
        let make = |side| fitting.make(work(side), Some(2400), &intake);
        let (one, two, other) = tokio::join!(make(30), make(30), make(20));
        let (one, two, other) = (one.unwrap(), two.unwrap(), other.unwrap());
        assert!(Arc::ptr_eq(&one.0, &two.0), "it was made once");
        assert!(!Arc::ptr_eq(&one.0, &other.0));
        let sizes = |made: &Made| made.pages().ok().map(|pages| (pages[0].from, pages[0].to));
        assert_eq!(sizes(&one), Some((Size(60, 40), Size(30, 20))));
        assert_eq!(sizes(&other), Some((Size(60, 40), Size(20, 13))));
        drop(one);
        let third = make(30).await.unwrap();
        assert!(Arc::ptr_eq(&third.0, &two.0), "it is used as long as a call is under way");
        drop((two, third, other));
        let _last = make(10).await.unwrap();
        let making = fitting.0.making.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(making.len(), 1, "what nobody uses is forgotten");
    }
}
