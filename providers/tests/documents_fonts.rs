//! Fonts and page trees made to fill memory, and what is said of files that are no image.

#[path = "support/pdf.rs"]
mod pdf;

use std::time::{Duration, Instant};

use flow_providers::documents::{DocumentError, Limits, OpenDocument, decode_image};
use pdf::{page, pdf};

/// A page with a word in a font of this dictionary; object 5 is a map of its glyphs.
fn with_font(font: &str) -> Vec<u8> {
    let stream = |data: &str| {
        let length = data.len() + 1;
        format!("<< /Length {length} >>\nstream\n{data}\nendstream")
    };
    pdf(&[
        "<< /Type /Catalog /Pages 2 0 R >>".into(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".into(),
        format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 400] /Contents 4 0 R \
             /Resources << /Font << /F1 {font} >> >> >>"
        ),
        stream("BT /F1 20 Tf 50 200 Td (Invoice) Tj ET"),
        stream("begincmap 1 beginbfrange <00000000> <FFFFFFFF> <0041> endbfrange endcmap"),
    ])
}

fn refusal(outcome: Result<OpenDocument, DocumentError>) -> (String, &'static str) {
    let error = outcome.err().expect("it is refused");
    (error.to_string(), error.hint())
}

#[test]
fn a_font_that_maps_four_billion_glyphs_is_read_like_a_scan() {
    let font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 5 0 R >>";
    let started = Instant::now();
    let document = OpenDocument::open("glyphs.pdf", with_font(font), &Limits::default())
        .expect("it can be seen");
    assert_eq!(document.page(1).expect("a page").words.len(), 0);
    assert!(document.render(1, 72.0).expect("drawn").is_some());
    let taken = started.elapsed();
    assert!(taken < Duration::from_secs(10), "{taken:?}");
}

#[test]
fn a_font_with_the_widths_of_four_billion_glyphs_is_refused() {
    let font = "<< /Type /Font /Subtype /Type0 /BaseFont /Helvetica /Encoding /Identity-H \
                /DescendantFonts [<< /Type /Font /Subtype /CIDFontType2 /BaseFont /Helvetica \
                /W [7 [500 600] 0 4294967295 500] >>] >>";
    let opened = OpenDocument::open("glyphs.pdf", with_font(font), &Limits::default());
    assert_eq!(
        refusal(opened),
        (
            "glyphs.pdf: a font has a table of 4294967295 entries, more than the 1048576 allowed"
                .to_owned(),
            "do not trust the file: it seems made to fill memory"
        )
    );
}

#[test]
fn nesting_without_end_does_not_overflow_a_stack() {
    let deep = 100_000;
    let array = format!("{}{}", "[".repeat(deep), "]".repeat(deep));
    let dict = format!("{}1{}", "<</A".repeat(deep), ">>".repeat(deep));
    let saves = "q ".repeat(deep);
    for (entries, commands) in [
        (format!("/MediaBox [0 0 9 9] /X {array}"), array.as_str()),
        (format!("/MediaBox [0 0 9 9] /X {dict}"), dict.as_str()),
        ("/MediaBox [0 0 9 9]".to_owned(), saves.as_str()),
    ] {
        // Read or refused, but neither ends the program.
        let opened = OpenDocument::open("deep.pdf", page(&entries, commands), &Limits::default());
        if let Ok(document) = opened {
            let _ = document.page(1);
            let _ = document.render(1, 72.0);
        }
    }
}

#[test]
fn a_page_tree_that_repeats_its_branches_does_not_grow_beyond_the_file() {
    let mut objects = vec!["<< /Type /Catalog /Pages 2 0 R >>".to_owned()];
    for level in 2..40 {
        let kids = format!("{} 0 R ", level + 1).repeat(10);
        objects.push(format!("<< /Type /Pages /Kids [{kids}] /Count 10 >>"));
    }
    objects.push("<< /Type /Page /Parent 39 0 R /MediaBox [0 0 9 9] >>".to_owned());
    let document = OpenDocument::open("laughs.pdf", pdf(&objects), &Limits::default())
        .expect("a tree of one page");
    assert_eq!(document.page_count(), 1);
    assert!(document.page(1).is_ok());
}

#[test]
fn what_is_no_image_is_not_decoded_as_one() {
    let error = decode_image("a.png", &page("/MediaBox [0 0 9 9]", ""), &Limits::default())
        .expect_err("a PDF is no image");
    assert_eq!(error.to_string(), "a.png: application/pdf is not an image");
    assert_eq!(error.hint(), "convert the file to PDF, PNG, JPEG or TIFF");
}
