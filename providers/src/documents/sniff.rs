//! Telling what a file is from its bytes.
//!
//! Names lie, so that the bytes decide. Only what a step could be given is known here;
//! `None` means that nothing is known about the bytes, not that they are harmless.

/// Bytes looked at for the entries of a ZIP package and for the tags of a text format.
const WINDOW: usize = 64 << 10;

/// Tells the media type of a file from its bytes.
///
/// Needs the first 64 KiB of a file to know every format; an office document whose parts
/// are stored in an unusual order is known only from the whole file.
pub fn sniff(head: &[u8]) -> Option<&'static str> {
    signature(head).or_else(|| pdf(head)).or_else(|| text(head)).or_else(|| packets(head))
}

/// Tells the media type that the extension of a name stands for.
pub(crate) fn media_of_name(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "pdf" => "application/pdf",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "tif" | "tiff" => "image/tiff",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "bmp" => "image/bmp",
        "docx" => DOCX,
        "pptx" => PPTX,
        "xlsx" => XLSX,
        "epub" => EPUB,
        "html" | "htm" => "text/html",
        "eml" => "message/rfc822",
        "csv" => "text/csv",
        "md" | "markdown" => "text/markdown",
        "json" => "application/json",
        "txt" | "text" | "log" => "text/plain",
        _ => return None,
    })
}

pub(crate) const DOCX: &str =
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
pub(crate) const PPTX: &str =
    "application/vnd.openxmlformats-officedocument.presentationml.presentation";
pub(crate) const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
pub(crate) const EPUB: &str = "application/epub+zip";

fn signature(head: &[u8]) -> Option<&'static str> {
    Some(match head {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => "image/tiff",
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => "image/gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => "audio/wav",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => "video/x-msvideo",
        // Two letters are a weak sign; the size of the header that follows is a fixed few.
        [
            b'B',
            b'M',
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            12 | 40 | 52 | 56 | 64 | 108 | 124,
            0,
            0,
            0,
            ..,
        ] => "image/bmp",
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => iso_media(brand),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => matroska(head),
        [b'O', b'g', b'g', b'S', ..] => "audio/ogg",
        [b'I', b'D', b'3', ..] | [0xff, 0xfb | 0xf3 | 0xf2, ..] => "audio/mpeg",
        [b'f', b'L', b'a', b'C', ..] => "audio/flac",
        [b'F', b'O', b'R', b'M', _, _, _, _, b'A', b'I', b'F', b'F' | b'C', ..] => "audio/aiff",
        // The frames of a bare stream of AAC begin so; its second half byte has no layer.
        [0xff, 0xf0 | 0xf1 | 0xf8 | 0xf9, ..] => "audio/aac",
        [b'#', b'!', b'A', b'M', b'R', ..] => "audio/amr",
        [b'F', b'L', b'V', 1, ..] => "video/x-flv",
        [0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11, ..] => "video/x-ms-wmv",
        [0, 0, 1, 0xb3 | 0xba, ..] => "video/mpeg",
        [b'P', b'K', 3, 4, ..] => zip(head),
        [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1, ..] => "application/x-ole-storage",
        [0x1f, 0x8b, ..] => "application/gzip",
        [0, b'a', b's', b'm', ..] => "application/wasm",
        _ => return None,
    })
}

fn iso_media(brand: &[u8]) -> &'static str {
    match brand.get(..4) {
        Some(b"heic" | b"heix" | b"mif1" | b"msf1") => "image/heic",
        Some(b"avif" | b"avis") => "image/avif",
        Some(b"qt  ") => "video/quicktime",
        Some(b"M4A " | b"M4B ") => "audio/mp4",
        Some([b'3', b'g', b'p', _]) => "video/3gpp",
        _ => "video/mp4",
    }
}

fn matroska(head: &[u8]) -> &'static str {
    if contains(window(head), b"webm") { "video/webm" } else { "video/x-matroska" }
}

/// Which office format a ZIP package is, by the part that only it has.
fn zip(head: &[u8]) -> &'static str {
    if contains(window(head), b"mimetypeapplication/epub+zip") {
        return EPUB;
    }
    // Names of entries stand before their data and again at the end of the file.
    let tail = &head[head.len() - head.len().min(WINDOW)..];
    for (part, media) in [
        (b"word/document".as_slice(), DOCX),
        (b"ppt/presentation", PPTX),
        (b"xl/workbook", XLSX),
        (b"META-INF/container.xml", EPUB),
    ] {
        if contains(window(head), part) || contains(tail, part) {
            return media;
        }
    }
    "application/zip"
}

/// Packets of a transport stream are 188 bytes, and each begins with the same letter.
fn packets(head: &[u8]) -> Option<&'static str> {
    let begins = |packet: usize| head.get(packet * 188) == Some(&b'G');
    (begins(0) && begins(1) && begins(2)).then_some("video/mp2t")
}

/// A PDF's header may stand behind other bytes, within the first kilobyte.
fn pdf(head: &[u8]) -> Option<&'static str> {
    contains(&head[..head.len().min(1024)], b"%PDF-").then_some("application/pdf")
}

fn text(head: &[u8]) -> Option<&'static str> {
    let text = readable(window(head))?;
    let start = text.trim_start_matches('\u{feff}').trim_start();
    let lower = start.get(..start.floor_char_boundary(1024)).unwrap_or(start).to_ascii_lowercase();
    Some(if start.is_empty() {
        "text/plain"
    } else if lower.starts_with("<!doctype html") || lower.contains("<html") {
        "text/html"
    } else if lower.starts_with("<svg") || (lower.starts_with("<?xml") && lower.contains("<svg")) {
        "image/svg+xml"
    } else if lower.starts_with("<?xml") {
        "application/xml"
    } else if lower.starts_with("{\\rtf") {
        "application/rtf"
    } else if looks_like_json(start) {
        "application/json"
    } else if looks_like_mail(start) {
        "message/rfc822"
    } else {
        "text/plain"
    })
}

/// The bytes as text, where they are text; a character may be cut at the end.
fn readable(head: &[u8]) -> Option<&str> {
    if head.is_empty() || head.contains(&0) {
        return None;
    }
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(cut) if cut.error_len().is_none() => std::str::from_utf8(&head[..cut.valid_up_to()])
            .expect("bytes up to valid_up_to are valid"),
        Err(_) => return None,
    };
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}' | '\u{1b}');
    (!text.contains(odd)).then_some(text)
}

/// Whether it opens like an object or an array of JSON, which prose in brackets does not.
fn looks_like_json(start: &str) -> bool {
    let mut marks = start.chars().filter(|c| !c.is_whitespace());
    match (marks.next(), marks.next()) {
        (Some('{'), Some('"' | '}')) => true,
        (Some('['), Some(next)) => matches!(next, '{' | '[' | '"' | ']' | '-' | '0'..='9'),
        _ => false,
    }
}

/// Whether it opens with header fields, and one that every mail has is among them.
fn looks_like_mail(start: &str) -> bool {
    let mut known = false;
    for (i, line) in start.lines().take(40).enumerate() {
        if line.is_empty() {
            break;
        }
        if line.starts_with([' ', '\t']) && i > 0 {
            continue;
        }
        let Some((field, _)) = line.split_once(':') else {
            return false;
        };
        if field.is_empty() || !field.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return false;
        }
        known |= ["received", "message-id", "mime-version", "return-path"]
            .iter()
            .any(|name| field.eq_ignore_ascii_case(name));
    }
    known
}

fn window(head: &[u8]) -> &[u8] {
    &head[..head.len().min(WINDOW)]
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|w| w == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_from_their_bytes() {
        let packets = [b"G".as_slice(), &[0; 187]].concat().repeat(3);
        for (bytes, media) in [
            (b"%PDF-1.7\n".as_slice(), "application/pdf"),
            (b"\r\n junk before it %PDF-1.4", "application/pdf"),
            (b"\x89PNG\r\n\x1a\n", "image/png"),
            (b"\xff\xd8\xff\xe0", "image/jpeg"),
            (b"II*\0", "image/tiff"),
            (b"MM\0*", "image/tiff"),
            (b"GIF89a", "image/gif"),
            (b"RIFF\0\0\0\0WEBP", "image/webp"),
            (b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "image/bmp"),
            (b"\0\0\0\x18ftypmp42", "video/mp4"),
            (b"\0\0\0\x18ftyp3gp5", "video/3gpp"),
            (b"\0\0\0\x18ftypheic", "image/heic"),
            (b"FORM\0\0\0\0AIFF", "audio/aiff"),
            (b"\xff\xf1\x50\x80", "audio/aac"),
            (b"FLV\x01\x05", "video/x-flv"),
            (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-wmv"),
            (b"\0\0\x01\xba", "video/mpeg"),
            (&packets, "video/mp2t"),
            (b"PK\x03\x04 [Content_Types].xml word/document.xml", DOCX),
            (b"PK\x03\x04 ppt/presentation.xml", PPTX),
            (b"PK\x03\x04 xl/workbook.xml", XLSX),
            (b"PK\x03\x04mimetypeapplication/epub+zip", "application/epub+zip"),
            (b"PK\x03\x04 notes.txt", "application/zip"),
            (b"<!DOCTYPE html><p>", "text/html"),
            (b"  <HTML lang=en>", "text/html"),
            (b"<?xml version='1.0'?><svg>", "image/svg+xml"),
            (b"<?xml version='1.0'?><a>", "application/xml"),
            (b"{\"a\": 1}", "application/json"),
            (b"[1, 2]", "application/json"),
            (b"Received: by x\r\n\twith y\r\nSubject: z\r\n\r\nhello", "message/rfc822"),
            (b"Note: bring milk", "text/plain"),
            ("\u{feff}caf\u{e9}".as_bytes(), "text/plain"),
            (b"BMW sells cars, as everybody knows", "text/plain"),
            (b"[see page 3]", "text/plain"),
        ] {
            assert_eq!(sniff(bytes), Some(media), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn bytes_of_no_format_are_not_guessed_at() {
        for bytes in [b"".as_slice(), b"\0\0\0\0", b"\xfe\xfd\xfc\xfb", b"a\x01\x02"] {
            assert_eq!(sniff(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn text_cut_within_a_character_is_still_text() {
        assert_eq!(sniff(&"\u{65e5}\u{672c}".as_bytes()[..5]), Some("text/plain"));
    }

    #[test]
    fn extensions_stand_for_media_types_in_any_case() {
        assert_eq!(media_of_name("Scan.PDF"), Some("application/pdf"));
        assert_eq!(media_of_name("a.b.jpeg"), Some("image/jpeg"));
        assert_eq!(media_of_name("Makefile"), None);
    }
}
