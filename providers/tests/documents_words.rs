//! Words stand where their ink is, however a page is turned or cut.

#[path = "support/pdf.rs"]
mod pdf;

use flow_providers::documents::{Limits, OpenDocument, Page, Rendered, decode_image, encode_png};
use pdf::page;

const TEXT: &str = "BT /F1 24 Tf 60 250 Td (Total amount) Tj 0 -80 Td (Amsterdam 42.17) Tj ET";

fn read(name: &str, bytes: Vec<u8>) -> (Page, Rendered) {
    let document = OpenDocument::open(name, bytes, &Limits::default()).expect("valid");
    let read = document.page(1).expect("a page");
    let drawn = document.render(1, 150.0).expect("drawn").expect("pixels");
    (read, drawn)
}

/// Share of the pixels darker than pale grey that lie within a word, and the words without one.
fn ink(page: &Page, drawn: &Rendered) -> (f64, Vec<String>) {
    let point = 72.0 / drawn.dpi;
    let (mut all, mut inside) = (0_u32, 0_u32);
    let mut inked = vec![false; page.words.len()];
    for (x, y, pixel) in drawn.image.enumerate_pixels() {
        if pixel.0.iter().map(|c| u32::from(*c)).sum::<u32>() > 600 {
            continue;
        }
        all += 1;
        let (x, y) = ((x as f32 + 0.5) * point, (y as f32 + 0.5) * point);
        let mut found = false;
        for (word, inked) in page.words.iter().zip(&mut inked) {
            let r = word.rect;
            let within = x >= r.x0 - 1.0 && x <= r.x1 + 1.0 && y >= r.y0 - 1.0 && y <= r.y1 + 1.0;
            *inked |= within;
            found |= within;
        }
        inside += u32::from(found);
    }
    let bare = page.words.iter().zip(inked).filter(|(_, inked)| !inked);
    let bare = bare.map(|(word, _)| word.text.clone()).collect();
    (f64::from(inside) / f64::from(all.max(1)), bare)
}

#[test]
fn words_coincide_with_ink_on_turned_and_cut_pages() {
    for (entries, size) in [
        ("/MediaBox [0 0 400 300]", (400.0, 300.0)),
        ("/MediaBox [0 0 400 300] /Rotate 90", (300.0, 400.0)),
        ("/MediaBox [0 0 400 300] /Rotate 180", (400.0, 300.0)),
        ("/MediaBox [0 0 400 300] /Rotate 270", (300.0, 400.0)),
        ("/MediaBox [0 0 400 300] /Rotate -90", (300.0, 400.0)),
        ("/MediaBox [0 0 400 300] /CropBox [40 30 380 290]", (340.0, 260.0)),
        ("/MediaBox [0 0 400 300] /CropBox [40 30 380 290] /Rotate 90", (260.0, 340.0)),
        ("/MediaBox [0 0 400 300] /CropBox [40 30 380 290] /Rotate 180", (340.0, 260.0)),
        ("/MediaBox [0 0 400 300] /CropBox [40 30 380 290] /Rotate 270", (260.0, 340.0)),
        ("/MediaBox [-50 -60 350 300]", (400.0, 360.0)),
        ("/MediaBox [0 0 400 300] /CropBox [-100 -100 900 900]", (400.0, 300.0)),
    ] {
        let (read, drawn) = read("turned.pdf", page(entries, TEXT));
        assert_eq!((read.width, read.height), size, "{entries}");
        let pixels = [read.width, read.height].map(|side| (side * 150.0 / 72.0) as u32);
        assert_eq!([drawn.image.width(), drawn.image.height()], pixels, "{entries}");
        let mut words: Vec<_> = read.words.iter().map(|w| w.text.as_str()).collect();
        words.sort_unstable();
        assert_eq!(words, ["42.17", "Amsterdam", "Total", "amount"], "{entries}");
        let (inside, bare) = ink(&read, &drawn);
        assert!(inside > 0.98, "{entries}: {inside} of the ink is in words: {:?}", read.words);
        assert!(bare.is_empty(), "{entries}: no ink in {bare:?}");
    }
}

#[test]
fn text_reads_line_by_line() {
    let (read, _) = read("a.pdf", page("/MediaBox [0 0 400 300]", TEXT));
    assert_eq!(read.text, "Total amount\nAmsterdam 42.17\n");
}

#[test]
fn a_text_layer_without_meaning_counts_as_none() {
    let codes = "BT /F1 24 Tf 60 250 Td <0102030405060708> Tj ET";
    let (read, _) = read("codes.pdf", page("/MediaBox [0 0 400 300]", codes));
    assert_eq!((read.text.as_str(), read.words.len()), ("", 0));
}

#[test]
fn invoices_have_their_words_where_their_ink_is() {
    for (name, wanted, least) in
        [("AmazonWebServices.pdf", "4.11", 0.5), ("NetpresseInvoice.pdf", "Total TTC : 56,02", 0.5)]
    {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/invoices/");
        let bytes = std::fs::read(format!("{root}{name}")).expect("a file of the repository");
        let (read, drawn) = read(name, bytes);
        assert!(read.text.contains(wanted), "{name}: {}", read.text);
        // TCPDF signs its pages in letters that are not drawn, as recognition does.
        let (inside, bare) = ink(&read, &drawn);
        assert!(inside > least, "{name}: {inside}");
        assert!(bare.len() * 30 <= read.words.len(), "{name}: no ink in {bare:?}");
    }
}

#[test]
fn a_drawn_page_carries_its_resolution_into_a_png_and_back() {
    let (_, drawn) = read("a.pdf", page("/MediaBox [0 0 400 300]", TEXT));
    let png = encode_png(&drawn.image, Some(drawn.dpi));
    let (image, dpi) = decode_image("a.png", &png, &Limits::default()).expect("valid");
    assert_eq!(image.into_rgb8(), drawn.image);
    assert!((dpi.expect("a resolution") - 150.0).abs() < 0.02);
    let (page, again) = read("a.png", png);
    assert!((page.width - 400.0).abs() < 0.5, "{}", page.width);
    assert_eq!(again.image, drawn.image);
}
