//! Images as documents: pages of a TIFF, orientation, resolution, and paper behind glass.

use std::io::Cursor;

use flow_providers::documents::{Limits, OpenDocument, Rendered, decode_image};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

fn open(name: &str, bytes: Vec<u8>) -> OpenDocument {
    OpenDocument::open(name, bytes, &Limits::default()).expect("valid")
}

fn draw(document: &OpenDocument, number: u32) -> Rendered {
    let drawn = document.render(number, 300.0).expect("drawn");
    drawn.expect("an image has pixels")
}

/// A TIFF with a page of 4x2 pixels for each shade of grey, at 144 dpi.
fn tiff(shades: &[u8]) -> Vec<u8> {
    const PIXELS: usize = 8;
    const ENTRIES: u16 = 9;
    let page_size = PIXELS + 8 + 2 + usize::from(ENTRIES) * 12 + 4;
    let mut bytes = b"II*\0".to_vec();
    bytes.extend((8 + PIXELS as u32 + 8).to_le_bytes());
    for (i, shade) in shades.iter().enumerate() {
        let strip = (8 + i * page_size) as u32;
        bytes.extend([*shade; PIXELS]);
        bytes.extend([144_u32, 1].map(u32::to_le_bytes).concat());
        bytes.extend(ENTRIES.to_le_bytes());
        let resolution = strip + PIXELS as u32;
        for (tag, kind, value) in [
            (256_u16, 4_u16, 4_u32),
            (257, 4, 2),
            (258, 3, 8),
            (259, 3, 1),
            (262, 3, 1),
            (273, 4, strip),
            (278, 4, 2),
            (279, 4, PIXELS as u32),
            (282, 5, resolution),
        ] {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(1_u32.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        let last = i + 1 == shades.len();
        let next = strip + page_size as u32 + PIXELS as u32 + 8;
        bytes.extend(if last { 0 } else { next }.to_le_bytes());
    }
    bytes
}

#[test]
fn each_page_of_a_tiff_is_a_page() {
    let document = open("fax.tiff", tiff(&[10, 200, 90]));
    assert_eq!(document.page_count(), 3);
    for (number, shade) in [(1, 10), (2, 200), (3, 90)] {
        let page = document.page(number).expect("a page");
        assert_eq!((page.width, page.height), (2.0, 1.0));
        let drawn = draw(&document, number);
        assert!((drawn.dpi - 144.0).abs() < 0.01, "{}", drawn.dpi);
        assert_eq!(drawn.image, RgbImage::from_pixel(4, 2, Rgb([shade; 3])));
    }
}

#[test]
fn a_tiff_of_too_many_pages_is_refused() {
    let limits = Limits { max_pages: 2, ..Limits::default() };
    let outcome = OpenDocument::open("fax.tiff", tiff(&[1, 2, 3]), &limits);
    let error = outcome.map(drop).expect_err("three");
    assert_eq!(
        (error.to_string().as_str(), error.hint()),
        (
            "fax.tiff: the document has more than the 2 pages allowed",
            "split the document, or raise the limit on its pages"
        )
    );
}

/// A JPEG, black on the left and white on the right, that was held as `orientation` says.
fn photograph(orientation: u8) -> Vec<u8> {
    let image = RgbImage::from_fn(32, 16, |x, _| Rgb([if x < 16 { 0 } else { 255 }; 3]));
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Jpeg).expect("memory takes it");
    let entry = [0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0];
    let exif = [b"Exif\0\0II*\0\x08\0\0\0\x01\0".as_slice(), &entry, &[0; 4]].concat();
    let marker = [&[0xff, 0xe1, 0, exif.len() as u8 + 2], exif.as_slice()].concat();
    bytes.splice(2..2, marker);
    bytes
}

#[test]
fn a_photograph_is_shown_as_it_was_held() {
    for (orientation, size, black) in [
        (1, (32, 16), (2, 8)),
        (3, (32, 16), (29, 8)),
        (6, (16, 32), (8, 2)),
        (8, (16, 32), (8, 29)),
    ] {
        let bytes = photograph(orientation);
        let document = open("photo.jpg", bytes.clone());
        let page = document.page(1).expect("a page");
        assert_eq!((page.width as u32, page.height as u32), size, "{orientation}");
        let drawn = draw(&document, 1);
        assert_eq!((drawn.dpi, drawn.image.dimensions()), (72.0, size), "{orientation}");
        assert!(drawn.image.get_pixel(black.0, black.1).0[0] < 30, "{orientation}");
        let (image, dpi) = decode_image("photo.jpg", &bytes, &Limits::default()).expect("valid");
        assert_eq!((image.into_rgb8(), dpi), (drawn.image, None), "{orientation}");
    }
}

#[test]
fn what_is_transparent_is_paper() {
    let glass = DynamicImage::from(RgbaImage::from_pixel(3, 3, Rgba([0, 0, 0, 0])));
    let mut bytes = Vec::new();
    glass.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).expect("memory takes it");
    let drawn = draw(&open("glass.png", bytes), 1);
    assert_eq!(drawn.image, RgbImage::from_pixel(3, 3, Rgb([255; 3])));
}

#[test]
fn every_format_of_images_opens() {
    let image = DynamicImage::from(RgbImage::from_pixel(5, 4, Rgb([40, 80, 120])));
    for (name, format) in [
        ("a.png", ImageFormat::Png),
        ("a.jpg", ImageFormat::Jpeg),
        ("a.tiff", ImageFormat::Tiff),
        ("a.gif", ImageFormat::Gif),
        ("a.bmp", ImageFormat::Bmp),
        ("a.webp", ImageFormat::WebP),
    ] {
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), format).expect("memory takes it");
        let document = open(name, bytes);
        assert_eq!(document.media(), format.to_mime_type(), "{name}");
        assert_eq!(draw(&document, 1).image.dimensions(), (5, 4), "{name}");
    }
}
