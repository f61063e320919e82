//! Files are made such as a model takes them before anything is sent, and the log says so.

use std::io::Cursor;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flow_core::error::{ErrorClass, Failure};
use image::{DynamicImage, GenericImageView, ImageFormat, Rgb, RgbImage, RgbaImage};
use serde_json::{Value, json};

use crate::asking::Asking;
use crate::server::{Answer, Server};

fn yes() -> Answer {
    Answer::json(200, r#"{"choices":[{"message":{"content":"yes"},"finish_reason":"stop"}]}"#)
}

/// A picture that does not compress well.
fn picture(width: u32, height: u32) -> DynamicImage {
    let mut state = 1_u32;
    RgbImage::from_fn(width, height, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [_, red, green, blue] = state.to_le_bytes();
        Rgb([red, green, blue])
    })
    .into()
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("a picture");
    bytes.into_inner()
}

fn written(folder: &Path, name: &str, image: &DynamicImage, format: ImageFormat) {
    std::fs::write(folder.join(name), encoded(image, format)).expect("written");
}

/// What became of a question.
struct Asked {
    told: Result<Value, Failure>,
    log: Vec<String>,
    /// Media type and bytes of each image that was sent.
    images: Vec<(String, Vec<u8>)>,
    requests: usize,
}

impl Asked {
    /// The decoded images, of a question that was answered.
    #[track_caller]
    fn decoded(&self) -> Vec<DynamicImage> {
        assert_eq!(self.told, Ok(json!("yes")));
        let decoded = self.images.iter().map(|(_, bytes)| image::load_from_memory(bytes));
        decoded.map(|image| image.expect("it can be read")).collect()
    }

    /// The class, words and hint of a refusal, before which nothing was sent.
    #[track_caller]
    fn refusal(&self) -> (ErrorClass, &str, &str) {
        assert_eq!(self.requests, 0);
        let failure = self.told.as_ref().expect_err("it is refused");
        (failure.class, &failure.message, failure.hint.as_deref().unwrap_or_default())
    }
}

/// Asks a model of which this is said, with files of this folder.
async fn asked(said: Value, input: Value, folder: &Path) -> Asked {
    let server = Server::of(vec![yes()]).await;
    let settings = json!({
        "base_url": format!("{}/v1", server.url()), "api_key": "k", "models": { "large": said },
    });
    let asking = Asking::new("openai", &settings, "large").await;
    let mut input = input;
    input["prompt"] = json!("What?");
    let told = asking.ask(&input, folder).await;
    let received = server.received();
    let images = received.iter().flat_map(|request| images(&request.body)).collect();
    Asked { told, log: asking.log(), images, requests: received.len() }
}

fn images(body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let body: Value = serde_json::from_slice(body).expect("it is JSON");
    let parts = body["messages"][0]["content"].as_array().cloned().unwrap_or_default();
    let urls = parts.iter().filter_map(|part| part["image_url"]["url"].as_str());
    let files = urls.map(|url| {
        let (media_type, data) = url.split_once(";base64,").expect("a data URL");
        let media_type = media_type.trim_start_matches("data:").to_owned();
        (media_type, STANDARD.decode(data).expect("base64"))
    });
    files.collect()
}

#[tokio::test]
async fn an_image_that_fits_is_sent_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    for (name, format) in
        [("a.png", ImageFormat::Png), ("a.jpg", ImageFormat::Jpeg), ("a.gif", ImageFormat::Gif)]
    {
        written(folder.path(), name, &picture(40, 30), format);
        let input = json!({ "image": format!("@{name}") });
        let asked = asked(json!({ "image_side": 40 }), input, folder.path()).await;
        assert_eq!(asked.told, Ok(json!("yes")));
        assert_eq!(asked.log, [] as [&str; 0]);
        assert_eq!(asked.images[0].1, std::fs::read(folder.path().join(name)).unwrap());
    }
}

#[tokio::test]
async fn an_image_that_is_too_large_is_scaled_with_its_proportions_and_the_log_says_so() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), "a.png", &picture(400, 300), ImageFormat::Png);
    let asked = asked(json!({ "image_side": 200 }), json!({ "image": "@a.png" }), folder.path());
    let asked = asked.await;
    assert_eq!(asked.decoded()[0].dimensions(), (200, 150));
    assert_eq!(
        asked.log,
        [
            "image `a.png`: 400 x 300 PNG sent as 200 x 150 PNG: model `mine/large` takes 200 pixels a side"
        ]
    );
}

#[tokio::test]
async fn types_that_are_not_taken_are_converted_without_loss() {
    let folder = tempfile::tempdir().unwrap();
    let clear = RgbaImage::from_fn(40, 30, |x, y| image::Rgba([x as u8, y as u8, 7, x as u8 * 6]));
    for (name, image, format, kind) in [
        ("a.tiff", picture(40, 30), ImageFormat::Tiff, "TIFF"),
        ("a.bmp", picture(40, 30), ImageFormat::Bmp, "BMP"),
        ("clear.tiff", clear.into(), ImageFormat::Tiff, "TIFF"),
    ] {
        written(folder.path(), name, &image, format);
        let input = json!({ "image": format!("@{name}") });
        let asked = asked(json!({ "image_side": 100 }), input, folder.path()).await;
        assert_eq!(asked.decoded()[0].to_rgba8(), image.to_rgba8(), "{name}");
        assert_eq!(asked.images[0].0, "image/png");
        let line = format!(
            "image `{name}`: 40 x 30 {kind} sent as 40 x 30 PNG: model `mine/large` takes JPEG, PNG, GIF and WebP"
        );
        assert_eq!(asked.log, [line]);
    }
}

#[tokio::test]
async fn a_file_of_too_many_bytes_becomes_a_jpeg_and_then_smaller() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), "a.png", &picture(400, 300), ImageFormat::Png);
    for (bytes, size) in [(200_000, Some((400, 300))), (20_000, None)] {
        let said = json!({ "image_bytes": bytes });
        let asked = asked(said, json!({ "image": "@a.png" }), folder.path()).await;
        let (width, height) = asked.decoded()[0].dimensions();
        assert_eq!(asked.images[0].0, "image/jpeg");
        assert!(asked.images[0].1.len() <= bytes, "{bytes}");
        match size {
            Some(size) => assert_eq!((width, height), size),
            None => {
                assert!(width < 400 && (width * 3).abs_diff(height * 4) < 8, "{width}x{height}");
            }
        }
    }
    let said = json!({ "image_bytes": 100 });
    let asked = asked(said, json!({ "image": "@a.png" }), folder.path()).await;
    let (class, message, _) = asked.refusal();
    assert_eq!(class, ErrorClass::TooLarge);
    assert_eq!(message, "`a.png` cannot be made smaller than 100 bytes");
}

/// A JPEG of this picture that was taken with the camera on its side.
fn sideways(image: &DynamicImage) -> Vec<u8> {
    let tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    let exif = [b"Exif\0\0".as_slice(), &tiff].concat();
    let length = u16::try_from(exif.len() + 2).expect("it is short").to_be_bytes();
    let jpeg = encoded(image, ImageFormat::Jpeg);
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

#[tokio::test]
async fn a_photograph_stays_one_and_upright() {
    let folder = tempfile::tempdir().unwrap();
    let half = RgbImage::from_fn(80, 40, |x, _| if x < 40 { Rgb([255; 3]) } else { Rgb([0; 3]) });
    std::fs::write(folder.path().join("a.jpg"), sideways(&half.into())).unwrap();
    let asked = asked(json!({ "image_side": 40 }), json!({ "image": "@a.jpg" }), folder.path());
    let asked = asked.await;
    let decoded = asked.decoded()[0].to_luma8();
    assert_eq!(asked.images[0].0, "image/jpeg");
    assert_eq!(decoded.dimensions(), (20, 40));
    assert!(decoded.get_pixel(10, 5).0[0] > 200 && decoded.get_pixel(10, 35).0[0] < 50);
    assert!(asked.log[0].starts_with("image `a.jpg`: 40 x 80 JPEG sent as 20 x 40 JPEG:"));
}

/// A TIFF of pages of these sizes: black, a byte a pixel.
fn tiff(sizes: &[(u16, u16)]) -> Vec<u8> {
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    for (at, (width, height)) in sizes.iter().enumerate() {
        let fields: [(u16, u32); 9] = [
            (256, u32::from(*width)),
            (257, u32::from(*height)),
            (258, 8),
            (259, 1),
            (262, 1),
            (273, file.len() as u32 + 2 + 9 * 12 + 4),
            (277, 1),
            (278, u32::from(*height)),
            (279, u32::from(*width) * u32::from(*height)),
        ];
        file.extend(9_u16.to_le_bytes());
        for (tag, value) in fields {
            file.extend([tag.to_le_bytes(), 4_u16.to_le_bytes()].concat());
            file.extend([1_u32.to_le_bytes(), value.to_le_bytes()].concat());
        }
        let pixels = usize::from(*width) * usize::from(*height);
        let next = if at + 1 < sizes.len() { file.len() + 4 + pixels } else { 0 };
        file.extend(u32::try_from(next).expect("it is short").to_le_bytes());
        file.extend(vec![0; pixels]);
    }
    file
}

#[tokio::test]
async fn pages_of_a_tiff_are_sent_in_order_and_so_are_those_that_are_chosen() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.tiff"), tiff(&[(9, 4), (8, 4), (7, 4)])).unwrap();
    for (input, widths) in [
        (json!({ "image": "@a.tiff" }), vec![9, 8, 7]),
        (json!({ "document": "@a.tiff" }), vec![9, 8, 7]),
        (json!({ "document": "@a.tiff", "options": { "pages": "3,1" } }), vec![7, 9]),
        (json!({ "content": [{ "image": "@a.tiff", "pages": 2 }] }), vec![8]),
    ] {
        let asked = asked(json!({}), input.clone(), folder.path()).await;
        let found: Vec<_> = asked.decoded().iter().map(DynamicImage::width).collect();
        assert_eq!(found, widths, "{input}");
    }
    let asked = asked(json!({ "max_images": 2 }), json!({ "image": "@a.tiff" }), folder.path());
    assert_eq!(
        asked.await.refusal(),
        (
            ErrorClass::TooLarge,
            "model `mine/large` takes 2 images at once: `a.tiff` has 3 pages",
            "ask page by page: `document.pages`, and a loop over its images"
        )
    );
}

/// A PDF of so many pages of one inch.
fn pdf(pages: usize) -> Vec<u8> {
    let kids: Vec<_> = (0..pages).map(|at| format!("{} 0 R", at + 3)).collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Kids [{}] /Count {pages} >>", kids.join(" ")),
    ];
    objects.extend(
        (0..pages).map(|at| {
            format!("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 72 {}] >>", 72 * (at + 1))
        }),
    );
    crate::pdf::pdf(&objects)
}

#[tokio::test]
async fn pages_of_a_pdf_are_images_for_a_model_without_documents_and_where_they_are_chosen() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.pdf"), pdf(3)).unwrap();
    let blind = json!({ "documents": false, "max_images": 3 });
    for (said, input, heights, line) in [
        (
            &blind,
            json!({ "document": "@a.pdf" }),
            vec![150, 300, 450],
            "3 pages sent as images: model `mine/large` takes no documents",
        ),
        (
            &json!({}),
            json!({ "content": [{ "document": "@a.pdf", "pages": "2-", "title": "A" }] }),
            vec![300, 450],
            "2 pages sent as images: `pages: 2-` are chosen",
        ),
    ] {
        let asked = asked(said.clone(), input, folder.path()).await;
        let found: Vec<_> = asked.decoded().iter().map(DynamicImage::height).collect();
        assert_eq!((found, asked.log), (heights, vec![format!("document `a.pdf`: {line}")]));
    }
    let document = || json!({ "document": "@a.pdf" });
    let by_pages = "ask page by page: `document.pages`, and a loop over its images";
    for (said, input, class, message, hint) in [
        (
            json!({ "documents": false, "max_images": 2 }),
            document(),
            ErrorClass::TooLarge,
            "model `mine/large` takes 2 images at once: `a.pdf` has 3 pages",
            by_pages,
        ),
        (
            json!({ "document_bytes": 10 }),
            document(),
            ErrorClass::TooLarge,
            "model `mine/large` takes documents of 10 bytes: `a.pdf` has 519",
            by_pages,
        ),
        (
            json!({ "document_pages": 2 }),
            document(),
            ErrorClass::TooLarge,
            "model `mine/large` takes 2 pages at once: the request has 3",
            by_pages,
        ),
        (
            json!({}),
            json!({ "content": [{ "document": "@a.pdf", "pages": "4" }] }),
            ErrorClass::Input,
            "`a.pdf`: `pages`: page 4 is selected, the document has 3",
            "",
        ),
        (
            json!({ "documents": false, "images": false }),
            document(),
            ErrorClass::BadRequest,
            "model `mine/large` takes no documents",
            "",
        ),
    ] {
        let asked = asked(said, input, folder.path()).await;
        assert_eq!(asked.refusal(), (class, message, hint));
    }
}

#[tokio::test]
async fn documents_of_other_types_are_refused_with_what_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), "a,b\n1,2\n").unwrap();
    let text = "give its text: `document.text` reads `a.csv`";
    for (said, message) in [
        (json!({ "documents": false }), "model `mine/large` takes no documents"),
        (
            json!({ "document_types": ["application/pdf"] }),
            "model `mine/large` takes documents of type PDF: `a.csv` is text",
        ),
    ] {
        let asked = asked(said, json!({ "document": "@a.csv" }), folder.path()).await;
        assert_eq!(asked.refusal(), (ErrorClass::BadRequest, message, text));
    }
}

#[tokio::test]
async fn what_cannot_be_an_image_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let fetch =
        "open the file in a viewer: if it shows, print it to a new PDF, else fetch it again";
    let bmp = encoded(&picture(4, 3), ImageFormat::Bmp);
    let jpeg = encoded(&picture(4, 3), ImageFormat::Jpeg);
    for (name, bytes, class, message, hint) in [
        (
            "a.png",
            &b"\x89PNG\r\n\x1a\n"[..],
            ErrorClass::Input,
            "a.png: damaged image/png: it ends too early",
            fetch,
        ),
        (
            "a.bmp",
            &bmp[..20],
            ErrorClass::Input,
            "a.bmp: damaged image/bmp: it ends too early",
            fetch,
        ),
        (
            "a.jpg",
            &jpeg[..20],
            ErrorClass::Input,
            "a.jpg: damaged image/jpeg: it ends too early",
            fetch,
        ),
        (
            "a.svg",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            ErrorClass::BadRequest,
            "provider `mine` takes no image of type image/svg+xml: `a.svg`",
            "it takes JPEG, PNG, GIF and WebP: convert the file to one of them",
        ),
    ] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let asked = asked(json!({}), json!({ "image": format!("@{name}") }), folder.path()).await;
        assert_eq!(asked.refusal(), (class, message, hint));
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused_with_its_size() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), "a.png", &picture(100, 100), ImageFormat::Png);
    let input = json!({ "images": ["@a.png", "@a.png"] });
    let asked = asked(json!({ "request_bytes": 50_000 }), input.clone(), folder.path()).await;
    let (class, message, hint) = asked.refusal();
    assert_eq!(class, ErrorClass::TooLarge);
    let size =
        message.strip_prefix("model `mine/large` takes requests of 50000 bytes: this one has ");
    assert!(size.and_then(|size| size.parse::<u64>().ok()) > Some(80_000), "{message}");
    assert_eq!(hint, "send fewer or smaller files at once; in base64 a file is a third larger");
    let asked = crate::fitting::asked(json!({ "max_images": 1 }), input, folder.path()).await;
    assert_eq!(
        asked.refusal(),
        (
            ErrorClass::TooLarge,
            "model `mine/large` takes 1 image at once: the request has 2",
            "ask of fewer at once, e.g. in a loop"
        )
    );
}

#[tokio::test]
async fn many_images_are_made_smaller_than_few() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("long.tiff"), tiff(&[(2100, 1); 21])).unwrap();
    std::fs::write(folder.path().join("short.tiff"), tiff(&[(2100, 1); 20])).unwrap();
    for (name, width) in [("short.tiff", 2100), ("long.tiff", 2000)] {
        let answer = json!({
            "content": [{ "type": "text", "text": "yes" }], "stop_reason": "end_turn",
            "usage": { "input_tokens": 3, "output_tokens": 2 },
        });
        let server = Server::of(vec![Answer::json(200, &answer.to_string())]).await;
        let settings = json!({ "base_url": server.url(), "api_key": "k" });
        let asking = Asking::new("anthropic", &settings, "large").await;
        let input = json!({ "image": format!("@{name}"), "prompt": "What?" });
        assert_eq!(asking.ask(&input, folder.path()).await, Ok(json!("yes")));
        let body: Value = serde_json::from_slice(&server.received()[0].body).expect("it is JSON");
        let parts = body["messages"][0]["content"].as_array().expect("parts");
        let first = parts[0]["source"]["data"].as_str().expect("data");
        let bytes = STANDARD.decode(first).expect("base64");
        assert_eq!(image::load_from_memory(&bytes).unwrap().width(), width, "{name}");
        assert_eq!(asking.log().len(), parts.len() - 1, "a line a page");
    }
}
