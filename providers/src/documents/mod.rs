//! Reading documents: pages and their pixels, words with boxes, recognition, and fields.
//!
//! Every reader yields the same vocabulary (see [`Page`]), so that what finds a value
//! does not care whether its words came from a PDF's text layer or from recognition.

mod error;
mod fields;
mod fonts;
mod guard;
mod jpeg;
mod layout;
mod ocr;
mod office;
mod open;
mod pages;
mod pdf;
mod raster;
mod reading;
mod resolution;
mod sniff;
mod tiff;
mod unpacked;

pub use error::{DocumentError, Fault, Head};
pub(crate) use fields::same_value;
pub use fields::{Evidence, Extraction, FieldsError, Grounding, extract, ground, inconsistencies};
pub use guard::PARSER_THREAD;
pub use layout::{Line, Page, Rect, Word};
pub use ocr::{OcrEngine, OcrError, OcrModels, OcrPage, OcrRuntime};
pub(crate) use office::reads as reads_text;
pub use open::{Limits, OpenDocument, Rendered};
pub use pages::{PageSelection, PageSelectionError};
pub use raster::decode_image;
pub(crate) use raster::{OpenImage, decode_upright, format_of, image_size};
pub use resolution::encode_png;
pub use sniff::sniff;
pub(crate) use sniff::{DOCX, EPUB, PPTX, XLSX, media_of_name};
