//! How large the compressed parts of a file are once unpacked, without unpacking them.
//!
//! Neither reader of PDF bounds what a stream unpacks to, and Flate packs a thousand
//! bytes into one. Streams are found by their keywords in the raw file, before any reader
//! sees it, since a reader unpacks the table of contents just to open a file. Not covered:
//! LZW and run lengths, whose streams are rare and pack less, encrypted streams, and
//! images within the forms of a page.

use std::borrow::Cow;
use std::io::{Cursor, Read};

use flate2::read::ZlibDecoder;
use hayro::hayro_syntax::object::dict::keys::{CONTENTS, HEIGHT, RESOURCES, WIDTH, XOBJECT};
use hayro::hayro_syntax::object::{Array, Dict, Stream};
use hayro::hayro_syntax::page::Page;
use zip::ZipArchive;

use super::error::Fault;

/// Bytes a stream may unpack to: the pixels of a large scan.
pub(crate) const MAX_STREAM: u64 = 256 << 20;

/// Bytes the drawing commands of a page may unpack to: a dense map has 20 MiB.
pub(crate) const MAX_CONTENT: u64 = 64 << 20;

/// Bytes all parts of an office package may unpack to together.
pub(crate) const MAX_PACKAGE: u64 = 512 << 20;

/// The most that Flate packs into a byte.
const FLATE: u64 = 1032;

/// How often one stream may be packed.
const LAYERS: u32 = 3;

/// Refuses a PDF in which a stream unpacks to more than [`MAX_STREAM`].
pub(crate) fn check_streams(pdf: &[u8]) -> Result<(), Fault> {
    let mut rest = pdf;
    let mut at = 0;
    while let Some(found) = find(rest, b"stream") {
        let closes = rest[..found].ends_with(b"end");
        at += found + b"stream".len();
        rest = &pdf[at..];
        if closes {
            continue;
        }
        let ([b'\r', b'\n', body @ ..] | [b'\n' | b'\r', body @ ..]) = rest else {
            continue;
        };
        let end = find(body, b"endstream").unwrap_or(body.len());
        if exceeds(&body[..end], MAX_STREAM) {
            return Err(Fault::Bomb { part: format!("the stream at byte {at}"), max: MAX_STREAM });
        }
        at += end;
        rest = &pdf[at..];
    }
    Ok(())
}

/// Refuses a page whose commands unpack to more than [`MAX_CONTENT`], one stream named
/// many times being counted as often, or that shows an image of more than `max` pixels.
pub(crate) fn check_page(page: &Page<'_>, number: u32, max: u64) -> Result<(), Fault> {
    let dict = page.raw();
    let content: u64 = if let Some(stream) = dict.get::<Stream<'_>>(CONTENTS) {
        size(&stream.raw_data(), MAX_CONTENT)
    } else if let Some(array) = dict.get::<Array<'_>>(CONTENTS) {
        let mut sum = 0;
        for stream in array.iter::<Stream<'_>>() {
            sum += size(&stream.raw_data(), MAX_CONTENT);
            if sum > MAX_CONTENT {
                break;
            }
        }
        sum
    } else {
        0
    };
    if content > MAX_CONTENT {
        return Err(Fault::Bomb {
            part: format!("the content of page {number}"),
            max: MAX_CONTENT,
        });
    }
    check_images(dict, max)
}

fn check_images(page: &Dict<'_>, max: u64) -> Result<(), Fault> {
    let Some(objects) =
        page.get::<Dict<'_>>(RESOURCES).and_then(|resources| resources.get::<Dict<'_>>(XOBJECT))
    else {
        return Ok(());
    };
    for name in objects.keys() {
        let Some(object) = objects.get::<Stream<'_>>(name) else {
            continue;
        };
        let side = |key: &[u8]| object.dict().get::<u32>(key).map_or(0, u64::from);
        let (width, height) = (side(WIDTH), side(HEIGHT));
        if width * height > max {
            return Err(Fault::ImageTooLarge { width, height, max });
        }
    }
    Ok(())
}

/// Refuses a package whose parts together unpack to more than [`MAX_PACKAGE`].
///
/// What the package says of its sizes is not believed: every part is unpacked.
pub(crate) fn check_package(package: &[u8], media: &'static str) -> Result<(), Fault> {
    let mut archive =
        ZipArchive::new(Cursor::new(package)).map_err(|e| Fault::damaged(media, e))?;
    let mut left = MAX_PACKAGE;
    for index in 0..archive.len() {
        // A part packed in a way that cannot be unpacked here takes no room in a reader.
        let Ok(mut part) = archive.by_index(index) else {
            continue;
        };
        let Some(rest) = left.checked_sub(count(&mut part, left)) else {
            return Err(Fault::Bomb {
                part: format!("the package, at its part {},", index + 1),
                max: MAX_PACKAGE,
            });
        };
        left = rest;
    }
    Ok(())
}

fn exceeds(packed: &[u8], max: u64) -> bool {
    let (data, layers) = unpack(packed);
    // Most streams are too short to unpack to that much, and need not be read.
    let most = (packed.len() as u64).saturating_mul(FLATE.pow(layers));
    most > max && count(data, max) > max
}

/// Bytes the data unpacks to, as far as a little above `max`.
fn size(packed: &[u8], max: u64) -> u64 {
    count(unpack(packed).0, max)
}

/// The data behind its layers of Flate, and how many they are.
fn unpack(packed: &[u8]) -> (Box<dyn Read + '_>, u32) {
    let mut data: Box<dyn Read + '_> = Box::new(Cursor::new(unlettered(packed)));
    let mut layers = 0;
    loop {
        let mut head = [0; 2];
        let read = data.read(&mut head).unwrap_or(0);
        data = Box::new(Cursor::new(head).take(read as u64).chain(data));
        if layers == LAYERS || read < 2 || !is_flate(head) {
            return (data, layers);
        }
        data = Box::new(ZlibDecoder::new(data));
        layers += 1;
    }
}

/// The data behind hexadecimal or base 85 letters, where Flate is behind them.
fn unlettered(packed: &[u8]) -> Cow<'_, [u8]> {
    let head = &packed[..packed.len().min(64)];
    for decode in [base16, base85] {
        if let [first, second, ..] = decode(head)[..]
            && is_flate([first, second])
        {
            return decode(packed).into();
        }
    }
    packed.into()
}

fn base16(letters: &[u8]) -> Vec<u8> {
    let digit = |letter: &u8| char::from(*letter).to_digit(16);
    let digits: Vec<_> = letters.iter().filter_map(digit).collect();
    let byte = |pair: &[u32]| pair.iter().fold(0, |byte, digit| byte << 4 | digit) as u8;
    digits.chunks(2).map(byte).collect()
}

fn base85(letters: &[u8]) -> Vec<u8> {
    let letters = letters.strip_prefix(b"<~").unwrap_or(letters);
    let mut bytes = Vec::with_capacity(letters.len());
    let (mut group, mut found) = (0_u32, 0);
    for letter in letters {
        match letter {
            b'z' if found == 0 => bytes.extend([0; 4]),
            b'!'..=b'u' => {
                let digit = u32::from(letter - b'!');
                group = group.wrapping_mul(85).wrapping_add(digit);
                found += 1;
            }
            _ => {}
        }
        if found == 5 {
            bytes.extend(group.to_be_bytes());
            (group, found) = (0, 0);
        }
    }
    bytes
}

fn count(data: impl Read, max: u64) -> u64 {
    let mut data = data.take(max + 1);
    let mut buffer = vec![0; 64 << 10];
    let mut sum = 0;
    // An error ends the data where any reader would end it as well.
    while let Ok(read @ 1..) = data.read(&mut buffer) {
        sum += read as u64;
    }
    sum
}

fn is_flate([first, second]: [u8; 2]) -> bool {
    first & 0xf == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, part)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn packed(size: u64) -> Vec<u8> {
        let mut packer = ZlibEncoder::new(Vec::new(), Compression::fast());
        let spaces = vec![b' '; 1 << 20];
        for _ in 0..size >> 20 {
            packer.write_all(&spaces).expect("memory takes it");
        }
        packer.finish().expect("memory takes it")
    }

    fn in_base16(bytes: &[u8]) -> Vec<u8> {
        let mut letters = String::new();
        for byte in bytes {
            write!(letters, "{byte:02x}").expect("a string takes all");
        }
        letters.into_bytes()
    }

    fn in_base85(bytes: &[u8]) -> Vec<u8> {
        let mut letters = Vec::new();
        for group in bytes.chunks(4) {
            let mut word = [0; 4];
            word[..group.len()].copy_from_slice(group);
            let word = u32::from_be_bytes(word);
            let digits = [4, 3, 2, 1, 0].map(|power| word / 85_u32.pow(power) % 85);
            letters.extend(digits.map(|digit| digit as u8 + b'!'));
        }
        letters
    }

    fn stream(data: &[u8]) -> Vec<u8> {
        [b"%PDF-1.7 stream\r\n", data, b"\nendstream"].concat()
    }

    #[test]
    fn a_stream_that_unpacks_to_too_much_is_found_behind_letters_too() {
        let bomb = packed(MAX_STREAM + (1 << 20));
        for data in [in_base16(&bomb), in_base85(&bomb), bomb] {
            let error = check_streams(&stream(&data)).expect_err("a bomb").of("a.pdf");
            assert_eq!(
                error.to_string(),
                "a.pdf: the stream at byte 15 unpacks to more than the 268435456 bytes allowed"
            );
        }
    }

    #[test]
    fn a_large_scan_is_no_bomb() {
        let scan = packed(MAX_STREAM);
        for data in [in_base16(&scan), in_base85(&scan), scan] {
            assert_eq!(check_streams(&stream(&data)), Ok(()));
        }
    }
}
