//! The directory structure of a TIFF file: its pages and their resolution.
//!
//! The image decoder reads the first page only. A further page is decoded from a copy
//! whose header points at it, which spares a second set of colour conversions. EXIF data
//! is the same structure, so that a photograph's resolution is read here as well.

use std::collections::HashSet;
use std::ops::Range;

const NEW_SUBFILE_TYPE: u16 = 254;
const X_RESOLUTION: u16 = 282;
const RESOLUTION_UNIT: u16 = 296;

/// Entries of a directory that is read; a rich one has a hundred. Directories may overlap, so
/// that without a bound a file is walked whole for each of its pages.
const MOST_ENTRIES: usize = 4096;

/// A TIFF file of either byte order, classic or with 64-bit offsets.
#[derive(Clone, Copy)]
pub(crate) struct Tiff<'a> {
    bytes: &'a [u8],
    little: bool,
    big: bool,
}

/// Where a page's directory stands in the file.
pub(crate) type Directory = u64;

impl<'a> Tiff<'a> {
    /// Reads the header; `None` where there is none.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let (little, big) = match bytes.get(..4)? {
            b"II*\0" => (true, false),
            b"MM\0*" => (false, false),
            b"II+\0" => (true, true),
            b"MM\0+" => (false, true),
            _ => return None,
        };
        Some(Self { bytes, little, big })
    }

    /// The pages in order, `max` at most, without the previews of other pages.
    ///
    /// Ends at the first directory that was seen before or lies outside the file.
    pub(crate) fn pages(&self, max: usize) -> Vec<Directory> {
        const PREVIEW: u64 = 1;
        let mut seen = HashSet::new();
        let mut pages = Vec::new();
        let mut next = self.number(self.first_field());
        while let Some(at) = next.filter(|&at| at != 0) {
            let Some(end) = self.entries(at).map(|entries| entries.end) else {
                break;
            };
            if pages.len() >= max || !seen.insert(at) {
                break;
            }
            if self.value(at, NEW_SUBFILE_TYPE).unwrap_or(0) & PREVIEW == 0 {
                pages.push(at);
            }
            next = self.number(end..end + self.offset_size());
        }
        pages
    }

    /// Dots per inch of a page, or of the file's first.
    pub(crate) fn dpi(&self, page: Option<Directory>) -> Option<f32> {
        const CENTIMETRE: u64 = 3;
        const INCH: u64 = 2;
        let page = page.or_else(|| self.number(self.first_field()))?;
        let at = usize::try_from(self.value(page, X_RESOLUTION)?).ok()?;
        let over = self.number(at..at.checked_add(4)?)? as f32;
        let under = self.number(at + 4..at.checked_add(8)?)? as f32;
        match self.value(page, RESOLUTION_UNIT).unwrap_or(INCH) {
            INCH => Some(over / under),
            CENTIMETRE => Some(over / under * 2.54),
            _ => None,
        }
    }

    /// A copy of the file in which `page` comes first.
    pub(crate) fn starting_at(&self, page: Directory) -> Vec<u8> {
        let mut copy = self.bytes.to_vec();
        let field = self.first_field();
        let width = field.len();
        if self.little {
            copy[field].copy_from_slice(&page.to_le_bytes()[..width]);
        } else {
            copy[field].copy_from_slice(&page.to_be_bytes()[8 - width..]);
        }
        copy
    }

    fn first_field(&self) -> Range<usize> {
        if self.big { 8..16 } else { 4..8 }
    }

    fn offset_size(&self) -> usize {
        if self.big { 8 } else { 4 }
    }

    fn entry_size(&self) -> usize {
        if self.big { 20 } else { 12 }
    }

    /// The bytes of a directory's entries, where they lie within the file.
    fn entries(&self, directory: Directory) -> Option<Range<usize>> {
        let at = usize::try_from(directory).ok()?;
        let start = at.checked_add(if self.big { 8 } else { 2 })?;
        let count = usize::try_from(self.number(at..start)?).ok()?;
        if count > MOST_ENTRIES {
            return None;
        }
        let end = start.checked_add(count.checked_mul(self.entry_size())?)?;
        (end <= self.bytes.len()).then_some(start..end)
    }

    /// The first value of a tag, or where its values stand.
    fn value(&self, directory: Directory, tag: u16) -> Option<u64> {
        const SHORT: u64 = 3;
        let entries = self.entries(directory)?;
        let entry = entries
            .step_by(self.entry_size())
            .find(|&e| self.number(e..e + 2) == Some(u64::from(tag)))?;
        let field = entry + if self.big { 12 } else { 8 };
        let width = match self.number(entry + 2..entry + 4)? {
            SHORT => 2,
            _ => self.offset_size(),
        };
        // A rational has no room in a classic entry, but fits one with 64 bits.
        if self.big && tag == X_RESOLUTION {
            return Some(field as u64);
        }
        self.number(field..field + width)
    }

    fn number(&self, at: Range<usize>) -> Option<u64> {
        let digits = self.bytes.get(at)?;
        let add = |number: u64, digit: &u8| number << 8 | u64::from(*digit);
        Some(if self.little {
            digits.iter().rev().fold(0, add)
        } else {
            digits.iter().fold(0, add)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_points_at_itself_is_one_page() {
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&8_u32.to_le_bytes());
        assert_eq!(Tiff::new(&bytes).expect("a header").pages(100), vec![8]);
    }

    #[test]
    fn a_directory_of_more_entries_than_any_has_is_no_page() {
        for (entries, pages) in [(MOST_ENTRIES, 1), (MOST_ENTRIES + 1, 0)] {
            let mut bytes = b"II+\0\x08\0\0\0".to_vec();
            bytes.extend(16_u64.to_le_bytes());
            bytes.extend((entries as u64).to_le_bytes());
            bytes.resize(bytes.len() + entries * 20 + 8, 0);
            assert_eq!(Tiff::new(&bytes).expect("a header").pages(100).len(), pages, "{entries}");
        }
    }

    #[test]
    fn a_directory_outside_the_file_is_no_page() {
        for offset in [9_u32, 4000, u32::MAX] {
            let bytes = [b"II*\0".as_slice(), &offset.to_le_bytes()].concat();
            assert!(Tiff::new(&bytes).expect("a header").pages(100).is_empty());
        }
        let bytes = [b"MM\0+\0\x08\0\0".as_slice(), &[0xff; 8]].concat();
        assert!(Tiff::new(&bytes).expect("a header").pages(100).is_empty());
    }
}
