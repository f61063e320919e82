//! What is said about documents that cannot be read, word for word.

#[path = "support/office.rs"]
mod office;
#[path = "support/pdf.rs"]
mod pdf;

use std::time::{Duration, Instant};

use flow_providers::documents::{Limits, OpenDocument, decode_image};
use office::docx;
use pdf::{page, pdf};

fn data(path: &str) -> Vec<u8> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/");
    std::fs::read(format!("{root}{path}")).expect("a file of the repository")
}

/// Opens, reads and draws everything, and returns the first error with its hint.
fn complaint(name: &str, bytes: Vec<u8>, limits: &Limits) -> Option<(String, &'static str)> {
    let outcome = OpenDocument::open(name, bytes, limits).and_then(|document| {
        for number in 1..=document.page_count().min(3) {
            document.page(number)?;
            document.render(number, 150.0)?;
        }
        Ok(())
    });
    outcome.err().map(|e| (e.to_string(), e.hint()))
}

fn assert_complaint(name: &str, bytes: Vec<u8>, message: &str) {
    let started = Instant::now();
    let found = complaint(name, bytes, &Limits::default()).map(|(message, _)| message);
    assert_eq!(found.as_deref(), Some(message));
    let taken = started.elapsed();
    assert!(taken < Duration::from_secs(20), "{name} took {taken:?}");
}

#[test]
fn broken_and_locked_pdfs_are_named() {
    for (name, bytes, message) in [
        ("empty.pdf", data("bad-pdf/empty.pdf"), "empty.pdf: the file is empty"),
        (
            "locked.pdf",
            data("bad-pdf/password-example.pdf"),
            "locked.pdf: the file is encrypted and needs a password",
        ),
        (
            "header.pdf",
            b"%PDF-1.7\n".to_vec(),
            "header.pdf: damaged application/pdf: its structure cannot be read",
        ),
    ] {
        assert_complaint(name, bytes, message);
    }
}

#[test]
fn a_pdf_of_which_a_reader_complained_once_is_read_or_refused() {
    let found = complaint(
        "issue-932.pdf",
        data("bad-pdf/malformed-from-issue-932.pdf"),
        &Limits::default(),
    );
    assert_eq!(found, None);
}

#[test]
fn a_cut_pdf_is_read_or_refused() {
    let whole = data("invoices/AmazonWebServices.pdf");
    for eighths in 1..8 {
        let cut = whole[..whole.len() * eighths / 8].to_vec();
        if let Some((message, _)) = complaint("cut.pdf", cut, &Limits::default()) {
            assert!(message.starts_with("cut.pdf: damaged application/pdf: "), "{message}");
        }
    }
}

#[test]
fn a_pdf_with_flipped_bytes_is_read_or_refused() {
    let whole = data("invoices/NetpresseInvoice.pdf");
    let mut seed = 7_u64;
    for _ in 0..12 {
        let mut broken = whole.clone();
        for _ in 0..60 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (seed >> 33) as usize % broken.len();
            broken[at] ^= (seed >> 24) as u8;
        }
        if let Some((message, _)) = complaint("flipped.pdf", broken, &Limits::default()) {
            assert!(!message.contains("crashed"), "{message}");
            assert!(!message.contains("took longer"), "{message}");
        }
    }
}

#[test]
fn a_page_as_large_as_a_town_is_not_drawn() {
    assert_complaint(
        "town.pdf",
        page("/MediaBox [0 0 1000000 1000000]", ""),
        "town.pdf: page 1 of 1000000x1000000 points has 4340276388889 pixels at 150 dpi, \
         more than the 100000000 allowed",
    );
    assert_complaint(
        "tape.pdf",
        page("/MediaBox [0 0 100000 10]", ""),
        "tape.pdf: page 1 of 100000x10 points has a side of 208333 pixels at 150 dpi, \
         more than the 65535 that can be drawn",
    );
}

#[test]
fn a_pdf_of_too_many_pages_is_refused() {
    let pages = 100_000;
    let kids: Vec<_> = (0..pages).map(|i| format!("{} 0 R", i + 3)).collect();
    let kids = kids.join(" ");
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Kids [{kids}] /Count {pages} >>"),
    ];
    objects.extend(
        (0..pages).map(|_| "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>".to_owned()),
    );
    assert_complaint(
        "phonebook.pdf",
        pdf(&objects),
        "phonebook.pdf: the document has 100000 pages, more than the 10000 allowed",
    );
}

#[test]
fn a_page_tree_that_holds_itself_ends() {
    let bytes = pdf(&[
        "<< /Type /Catalog /Pages 2 0 R >>".into(),
        "<< /Type /Pages /Kids [3 0 R 2 0 R] /Count 2 >>".into(),
        "<< /Type /Pages /Kids [2 0 R] /Count 1 /Parent 2 0 R >>".into(),
    ]);
    assert_complaint("loop.pdf", bytes, "loop.pdf: damaged application/pdf: it has no page");
}

#[test]
fn a_pdf_that_is_something_else_is_named() {
    for (bytes, message) in [
        (
            b"Dear Sir, the invoice follows.".to_vec(),
            "scan.pdf: the name says application/pdf, but the file holds text/plain",
        ),
        (
            b"<!DOCTYPE html><p>404".to_vec(),
            "scan.pdf: the name says application/pdf, but the file holds text/html",
        ),
        (
            b"\x01\x02\x03\xffnoise".to_vec(),
            r#"scan.pdf: not a format that can be read, it begins with "\x01\x02\x03\xffnois""#,
        ),
        (
            b"\0\0\0\x18ftypmp42\0\0\0\0".to_vec(),
            "scan.pdf: video/mp4 cannot be read as a document",
        ),
    ] {
        assert_complaint("scan.pdf", bytes, message);
    }
}

/// A PNG that says it has this size, and has a few bytes of pixels.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    for (kind, body) in [
        (b"IHDR", [size.as_slice(), &[8, 2, 0, 0, 0]].concat()),
        (b"IDAT", vec![0x78, 0x9c, 0x03, 0, 0, 0, 0, 1]),
        (b"IEND", Vec::new()),
    ] {
        let chunk = [kind.as_slice(), &body].concat();
        let mut sum = flate2::Crc::new();
        sum.update(&chunk);
        bytes.extend((body.len() as u32).to_be_bytes());
        bytes.extend(chunk);
        bytes.extend(sum.sum().to_be_bytes());
    }
    bytes
}

#[test]
fn images_that_would_fill_memory_are_refused_unread() {
    let message = "bomb.png: the image has 60000x60000 pixels, more than the 100000000 allowed";
    assert_complaint("bomb.png", png(60_000, 60_000), message);
    let error =
        decode_image("bomb.png", &png(60_000, 60_000), &Limits::default()).expect_err("too large");
    assert_eq!(error.to_string(), message);
    assert_eq!(error.hint(), "scale the image down, or raise the limit on pixels");
}

#[test]
fn damaged_images_are_named() {
    for (name, bytes) in [
        ("a.png", png(4, 4)),
        ("a.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0".to_vec()),
        ("a.tiff", b"II*\0\x08\0\0\0".to_vec()),
        ("a.gif", b"GIF89a".to_vec()),
        ("a.webp", b"RIFF\x04\0\0\0WEBP".to_vec()),
        ("a.bmp", b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec()),
    ] {
        let (message, hint) = complaint(name, bytes, &Limits::default()).expect("it is damaged");
        assert!(message.starts_with(&format!("{name}: damaged image/")), "{message}");
        assert!(hint.starts_with("open the file in a viewer"), "{hint}");
    }
}

#[test]
fn what_unpacks_to_gigabytes_is_refused() {
    let zeros = vec![b' '; 600 << 20];
    assert_complaint(
        "bomb.docx",
        docx(&zeros),
        "bomb.docx: the package, at its part 3, unpacks to more than the 536870912 bytes allowed",
    );
}

#[test]
fn damaged_office_documents_are_named() {
    let whole = docx(b"<w:document/>");
    let cut = whole[..whole.len() / 2].to_vec();
    let (message, _) = complaint("cut.docx", cut, &Limits::default()).expect("it is cut");
    assert!(message.starts_with("cut.docx: "), "{message}");
    assert_complaint(
        "locked.docx",
        [
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0\0\0".as_slice(),
            b"E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e\0",
        ]
        .concat(),
        "locked.docx: the file is encrypted and needs a password",
    );
}

#[test]
fn limits_and_page_numbers_are_kept() {
    let small = Limits { max_bytes: 10, ..Limits::default() };
    let bytes = page("/MediaBox [0 0 200 100]", "");
    let size = bytes.len();
    assert_eq!(
        complaint("a.pdf", bytes.clone(), &small),
        Some((
            format!("a.pdf: the file has {size} bytes, more than the 10 allowed"),
            "split the file, or raise the limit on its size"
        ))
    );
    let document = OpenDocument::open("a.pdf", bytes, &Limits::default()).expect("valid");
    for (outcome, message) in [
        (document.page(2).map(drop), "a.pdf: there is no page 2, the document has 1"),
        (document.page(0).map(drop), "a.pdf: there is no page 0, the document has 1"),
        (document.render(1, 0.0).map(drop), "a.pdf: dpi must be from 1 to 2400, not 0"),
        (document.render(1, f32::NAN).map(drop), "a.pdf: dpi must be from 1 to 2400, not NaN"),
    ] {
        assert_eq!(outcome.expect_err(message).to_string(), message);
    }
}

#[test]
fn a_blank_page_is_no_error() {
    let blank = page("/MediaBox [0 0 200 100]", "");
    let document = OpenDocument::open("blank.pdf", blank, &Limits::default()).expect("valid");
    let read = document.page(1).expect("a page");
    assert_eq!((read.width, read.height), (200.0, 100.0));
    assert!(read.words.is_empty());
    let drawn = document.render(1, 72.0).expect("drawn").expect("pixels");
    assert_eq!((drawn.image.width(), drawn.image.height()), (200, 100));
}

#[test]
fn a_page_that_draws_for_ever_is_refused() {
    use std::fmt::Write as _;
    use std::io::Write as _;

    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let lines = b"0 0 m 9 9 l S\n".repeat(1 << 16);
    for _ in 0..80 {
        packer.write_all(&lines).expect("memory takes it");
    }
    let mut letters = String::new();
    for byte in packer.finish().expect("memory takes it") {
        write!(letters, "{byte:02x}").expect("a string takes all");
    }
    let bytes = pdf(&[
        "<< /Type /Catalog /Pages 2 0 R >>".into(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".into(),
        "<< /Type /Page /Parent 2 0 R /Contents 4 0 R /MediaBox [0 0 9 9] >>".into(),
        format!(
            "<< /Length {} /Filter [/ASCIIHexDecode /FlateDecode] >>\nstream\n{letters}>\nendstream",
            letters.len() + 1
        ),
    ]);
    assert_complaint(
        "scribble.pdf",
        bytes,
        "scribble.pdf: the content of page 1 unpacks to more than the 67108864 bytes allowed",
    );
}

#[test]
fn advice_stands_beside_the_message() {
    for (name, bytes, hint) in [
        ("a.pdf", Vec::new(), "check the program that wrote the file, or fetch it again"),
        (
            "a.pdf",
            data("bad-pdf/password-example.pdf"),
            "save a copy without the password and use that",
        ),
        (
            "a.pdf",
            b"Dear Sir".to_vec(),
            "look inside: a download often saves an error page under the name of the file",
        ),
        (
            "a.pdf",
            page("/MediaBox [0 0 1000000 1000000]", ""),
            "lower the dpi, or raise the limit on pixels",
        ),
        ("a.bin", b"\x01\x02".to_vec(), "convert the file to PDF, PNG, JPEG or TIFF"),
    ] {
        let found = complaint(name, bytes, &Limits::default()).map(|(_, hint)| hint);
        assert_eq!(found, Some(hint));
    }
}
