//! How large a JPEG is, from its head.
//!
//! Decoders read the file whole to say it; a segment after the other is enough, and what they
//! hold is skipped on the disk.

use std::io::{self, Read, Seek, SeekFrom};

/// Width and height; `None` where the picture begins without having said it.
pub(super) fn size(file: &mut (impl Read + Seek)) -> io::Result<Option<(u32, u32)>> {
    // The file's first marker has no content.
    file.seek(SeekFrom::Start(2))?;
    loop {
        let mut marker = [0; 2];
        file.read_exact(&mut marker)?;
        // Any number of fill bytes may stand before the code of a marker.
        while marker[1] == 0xff {
            file.read_exact(&mut marker[1..])?;
        }
        let [0xff, code] = marker else { return Ok(None) };
        let mut length = [0; 2];
        match code {
            // Markers without content.
            0x01 | 0xd0..=0xd8 => {}
            // Frames of every coding process.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let mut frame = [0; 7];
                file.read_exact(&mut frame)?;
                let [_, _, _, high, low, wide, narrow] = frame;
                let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
                let (height, width) = (side(high, low), side(wide, narrow));
                return Ok((width > 0 && height > 0).then_some((width, height)));
            }
            // The picture itself, or the end.
            0xd9 | 0xda => return Ok(None),
            _ => {
                file.read_exact(&mut length)?;
                // The length counts itself.
                let rest = i64::from(u16::from_be_bytes(length).max(2)) - 2;
                file.seek_relative(rest)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{GrayImage, ImageFormat};

    use super::*;

    fn jpeg() -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        GrayImage::new(31, 17).write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn the_size_is_read_behind_whatever_stands_before_it() {
        let plain = jpeg();
        assert_eq!(size(&mut Cursor::new(&plain)).unwrap(), Some((31, 17)));
        let comment = [&[0xff, 0xff, 0xfe, 0xff, 0xff][..], &vec![7; 0xfffd]].concat();
        let long = [&plain[..2], &comment, &plain[2..]].concat();
        assert_eq!(size(&mut Cursor::new(long)).unwrap(), Some((31, 17)));
    }

    #[test]
    fn a_head_that_is_cut_or_none_is_an_error_or_nothing() {
        let plain = jpeg();
        for end in 0..plain.len() {
            if let Ok(found) = size(&mut Cursor::new(&plain[..end])) {
                assert_eq!(found, Some((31, 17)), "{end}");
            }
        }
        assert_eq!(size(&mut Cursor::new(b"\xff\xd8\xff\xd9")).unwrap(), None);
        assert_eq!(size(&mut Cursor::new(b"\xff\xd8ab")).unwrap(), None);
    }
}
