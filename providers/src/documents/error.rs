//! What can be wrong with a document, kept apart from which document it is.
//!
//! Every fault carries the value that is at fault, so that the message can name it, and
//! has advice that is rendered apart from it (`hint:`).

use std::fmt;

/// A document that cannot be read: which one, and why.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{file}: {fault}")]
pub struct DocumentError {
    /// Name of the file as the user gave it.
    pub file: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file holds no bytes.
    #[error("the file is empty")]
    Empty,
    /// The file is larger than the limit.
    #[error("the file has {bytes} bytes, more than the {max} allowed")]
    TooLarge {
        /// Size of the file.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The bytes are those of no known format.
    #[error("not a format that can be read, it begins with {head}")]
    Unknown {
        /// The first bytes, printable ones as they are.
        head: Head,
    },
    /// The format is known, and no reader for it is built in.
    #[error("{media} cannot be read as a document")]
    Unsupported {
        /// Media type of the file.
        media: &'static str,
    },
    /// The bytes are no image, where an image is wanted.
    #[error("{media} is not an image")]
    NotAnImage {
        /// Media type of the file.
        media: &'static str,
    },
    /// The name promises another format than the bytes hold.
    #[error("the name says {named}, but the file holds {found}")]
    Mismatch {
        /// Media type of the name's extension.
        named: &'static str,
        /// Media type of the bytes.
        found: &'static str,
    },
    /// The file cannot be read without a password.
    #[error("the file is encrypted and needs a password")]
    Encrypted,
    /// The bytes break the rules of their format.
    #[error("damaged {media}: {detail}")]
    Damaged {
        /// Media type of the file.
        media: &'static str,
        /// What the reader stumbled over.
        detail: String,
    },
    /// The document has more pages than the limit.
    #[error("the document has {pages} pages, more than the {max} allowed")]
    TooManyPages {
        /// Pages in the document.
        pages: u64,
        /// The limit.
        max: u32,
    },
    /// The document has more pages than the limit, and they were not counted to the end.
    #[error("the document has more than the {max} pages allowed")]
    PagesUnending {
        /// The limit.
        max: u32,
    },
    /// There is no page of that number.
    #[error("there is no page {page}, the document has {pages}")]
    NoSuchPage {
        /// The number asked for.
        page: u32,
        /// Pages in the document.
        pages: u32,
    },
    /// A picture has more pixels than the limit.
    #[error("the image has {width}x{height} pixels, more than the {max} allowed")]
    ImageTooLarge {
        /// Width in pixels.
        width: u64,
        /// Height in pixels.
        height: u64,
        /// The limit.
        max: u64,
    },
    /// A page would have more pixels than the limit.
    #[error(
        "page {page} of {width}x{height} points has {pixels} pixels at {dpi} dpi, \
         more than the {max} allowed"
    )]
    PageTooLarge {
        /// Ordinal of the page.
        page: u32,
        /// Width in points.
        width: f32,
        /// Height in points.
        height: f32,
        /// Resolution asked for.
        dpi: f32,
        /// Pixels the page would have.
        pixels: u64,
        /// The limit.
        max: u64,
    },
    /// A page is too long to be drawn, however narrow it is.
    #[error(
        "page {page} of {width}x{height} points has a side of {side} pixels at {dpi} dpi, \
         more than the {max} that can be drawn"
    )]
    PageTooLong {
        /// Ordinal of the page.
        page: u32,
        /// Width in points.
        width: f32,
        /// Height in points.
        height: f32,
        /// Resolution asked for.
        dpi: f32,
        /// Pixels of the longer side.
        side: u64,
        /// The limit.
        max: u64,
    },
    /// A resolution no page can be drawn at.
    #[error("dpi must be from 1 to 2400, not {dpi}")]
    Dpi {
        /// The resolution asked for.
        dpi: f32,
    },
    /// Compressed data that unpacks to more than any document needs.
    #[error("{part} unpacks to more than the {max} bytes allowed")]
    Bomb {
        /// The part that is compressed.
        part: String,
        /// The limit.
        max: u64,
    },
    /// A font claims more glyphs than a font can have.
    #[error("a font has a table of {entries} entries, more than the {max} allowed")]
    FontTooLarge {
        /// Entries of the table.
        entries: u64,
        /// The limit.
        max: u64,
    },
    /// A reader failed on an error of its own.
    #[error("the reader crashed while {doing}")]
    Crashed {
        /// What it was doing.
        doing: &'static str,
    },
    /// A reader took longer than the limit.
    #[error("{doing} took longer than the {seconds} seconds allowed")]
    TimedOut {
        /// What it was doing.
        doing: &'static str,
        /// The limit.
        seconds: u64,
    },
}

impl DocumentError {
    /// Advice on what to do about it.
    pub fn hint(&self) -> &'static str {
        match self.fault {
            Fault::Empty => "check the program that wrote the file, or fetch it again",
            Fault::TooLarge { .. } => "split the file, or raise the limit on its size",
            Fault::Unknown { .. } | Fault::Unsupported { .. } | Fault::NotAnImage { .. } => {
                "convert the file to PDF, PNG, JPEG or TIFF"
            }
            Fault::Mismatch { .. } => {
                "look inside: a download often saves an error page under the name of the file"
            }
            Fault::Encrypted => "save a copy without the password and use that",
            Fault::Damaged { .. } => {
                "open the file in a viewer: if it shows, print it to a new PDF, else fetch it again"
            }
            Fault::TooManyPages { .. } | Fault::PagesUnending { .. } => {
                "split the document, or raise the limit on its pages"
            }
            Fault::NoSuchPage { .. } => "pages count from 1",
            Fault::ImageTooLarge { .. } => "scale the image down, or raise the limit on pixels",
            Fault::PageTooLarge { .. } => "lower the dpi, or raise the limit on pixels",
            Fault::PageTooLong { .. } => "lower the dpi",
            Fault::Dpi { .. } => "300 suits recognition, 150 suits a model that looks at pages",
            Fault::Bomb { .. } | Fault::FontTooLarge { .. } => {
                "do not trust the file: it seems made to fill memory"
            }
            Fault::Crashed { .. } | Fault::TimedOut { .. } => {
                "print the file to a new PDF and use that, and report the file as a bug"
            }
        }
    }
}

impl Fault {
    /// Says which file it is about.
    pub(crate) fn of(self, file: &str) -> DocumentError {
        DocumentError { file: file.to_owned(), fault: self }
    }

    /// The fault of bytes that are those of no known format.
    pub(crate) fn unknown(bytes: &[u8]) -> Self {
        Self::Unknown { head: Head::new(bytes) }
    }

    /// The fault of bytes that break the rules of their format.
    pub(crate) fn damaged(media: &'static str, detail: impl fmt::Display) -> Self {
        Self::Damaged { media, detail: detail.to_string() }
    }
}

/// The first bytes of a file, as they are shown to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head(Vec<u8>);

impl Head {
    /// Bytes shown at most.
    const SHOWN: usize = 8;

    fn new(bytes: &[u8]) -> Self {
        Self(bytes[..bytes.len().min(Self::SHOWN)].to_vec())
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}
