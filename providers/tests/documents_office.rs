//! Documents without pixels come as Markdown, a page a slide and a sheet.

#[path = "support/office.rs"]
mod office;

use std::fmt::Write as _;

use flow_providers::documents::{Limits, OpenDocument};
use office::{docx, package};

const WORD: &str = r#"xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main""#;

fn read(name: &str, bytes: Vec<u8>) -> Vec<String> {
    let document = OpenDocument::open(name, bytes, &Limits::default()).expect("valid");
    (1..=document.page_count())
        .map(|number| {
            assert_eq!(document.render(number, 150.0).expect("no error"), None);
            let page = document.page(number).expect("a page");
            assert!(page.words.is_empty());
            page.text
        })
        .collect()
}

#[test]
fn a_letter_is_one_page_of_markdown() {
    let body = format!(
        r#"<?xml version="1.0"?><w:document {WORD}><w:body>
        <w:p><w:r><w:t>Invoice 4711</w:t></w:r></w:p>
        <w:tbl><w:tr><w:tc><w:p><w:r><w:t>Item</w:t></w:r></w:p></w:tc>
        <w:tc><w:p><w:r><w:t>Price</w:t></w:r></w:p></w:tc></w:tr>
        <w:tr><w:tc><w:p><w:r><w:t>Tea</w:t></w:r></w:p></w:tc>
        <w:tc><w:p><w:r><w:t>3.20</w:t></w:r></w:p></w:tc></w:tr></w:tbl>
        </w:body></w:document>"#
    );
    let pages = read("letter.docx", docx(body.as_bytes()));
    assert_eq!(
        pages,
        ["Invoice 4711\n\n| Item   |   Price |\n|--------|---------|\n| Tea    |    3.20 |"]
    );
}

#[test]
fn a_workbook_has_a_page_a_sheet() {
    let sheet = |text: &str, at: &str| {
        format!(
            r#"<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1"><c r="{at}" t="inlineStr"><is><t>{text}</t></is></c></row></sheetData></worksheet>"#
        )
    };
    let pages = read(
        "book.xlsx",
        package(&[
            ("[Content_Types].xml", br#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/></Types>"#),
            ("_rels/.rels", br#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#),
            ("xl/workbook.xml", br#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="May" sheetId="1" r:id="r1"/><sheet name="June" sheetId="2" r:id="r2"/></sheets></workbook>"#),
            ("xl/_rels/workbook.xml.rels", br#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="r2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet2.xml"/></Relationships>"#),
            ("xl/worksheets/sheet1.xml", sheet("tea", "A1").as_bytes()),
            ("xl/worksheets/sheet2.xml", sheet("milk", "B1").as_bytes()),
        ]),
    );
    assert_eq!(pages.len(), 2, "{pages:?}");
    assert!(pages[0].contains("tea") && pages[1].contains("milk"), "{pages:?}");
}

#[test]
fn web_pages_tables_mail_and_notes_are_read() {
    for (name, bytes, text) in [
        (
            "a.html",
            "<!DOCTYPE html><h1>Invoice</h1><p>Total <b>3</b><img src='http://127.0.0.1:1/a.png'>",
            "# Invoice\n\nTotal **3**",
        ),
        (
            "a.csv",
            "item,price\ntea,3",
            "| item   |   price |\n|--------|---------|\n| tea    |       3 |",
        ),
        ("a.txt", "\u{feff}Total: 3\n", "Total: 3\n"),
        ("a.json", "{\"total\": 3}", "{\"total\": 3}"),
    ] {
        assert_eq!(read(name, bytes.into()), [text], "{name}");
    }
    let mail = "From: a@b.example\r\nTo: c@d.example\r\nSubject: Invoice\r\n\
                Date: Mon, 2 Nov 2026 10:00:00 +0000\r\n\r\nTotal 3\r\n";
    let [text] = &read("a.eml", mail.into())[..] else {
        panic!("one page");
    };
    assert!(text.contains("Invoice") && text.contains("Total 3"), "{text}");
}

#[test]
fn text_of_an_old_encoding_is_decoded() {
    let shift_jis = b"\x90\xbf\x8b\x81\x8f\x91 \x8d\x87\x8cv\x8b\xe0\x8az 1,200\x89~";
    assert_eq!(
        read("a.txt", shift_jis.to_vec()),
        ["\u{8acb}\u{6c42}\u{66f8} \u{5408}\u{8a08}\u{91d1}\u{984d} 1,200\u{5186}"]
    );
}

#[test]
fn deep_and_self_multiplying_documents_end() {
    let deep = format!("<!DOCTYPE html>{}deep", "<div>".repeat(100_000));
    assert_eq!(read("deep.html", deep.into()), ["deep"]);
    let mut laughs = String::new();
    for i in 1..12 {
        let before = format!("&l{};", i - 1).repeat(10);
        write!(laughs, r#"<!ENTITY l{i} "{before}">"#).expect("a string takes all");
    }
    let body = format!(
        r#"<?xml version="1.0"?><!DOCTYPE d [<!ENTITY l0 "ha">{laughs}]><w:document {WORD}><w:body><w:p><w:r><w:t>&l11;</w:t></w:r></w:p></w:body></w:document>"#
    );
    let outcome = OpenDocument::open("laughs.docx", docx(body.as_bytes()), &Limits::default());
    let message = outcome.map(drop).expect_err("not read").to_string();
    assert!(message.starts_with("laughs.docx: damaged "), "{message}");
}
