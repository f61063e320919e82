//! Pictures as steps change them: their pixels, their scale, and what is said where that cannot
//! be.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};

use image::{GenericImageView, Rgb, RgbImage};
use serde_json::{Value, json};
use support::World;

/// A page of 600 by 300 pixels whose left half is red and whose right half is blue.
fn halves(world: &World, name: &str) {
    let picture =
        RgbImage::from_fn(
            600,
            300,
            |x, _| {
                if x < 300 { Rgb([200, 0, 0]) } else { Rgb([0, 0, 200]) }
            },
        );
    picture.save(world.path(name)).unwrap();
}

/// What a step yields, or what its run says.
fn step(world: &World, uses: &str, with: &Value) -> Result<Value, String> {
    world.write(
        "w.yaml",
        &format!("steps: [{{id: a, uses: {uses}, with: {with}}}]\noutputs: {{a: '{{{{ steps.a.output }}}}'}}\n"),
    );
    let output = world.flow(&["run", "w.yaml", "--json"]);
    match output.code {
        Some(0) => Ok(output.json()["outputs"]["a"].clone()),
        _ => Err(output.stderr),
    }
}

/// The file of an artifact.
fn file(world: &World, artifact: &Value) -> PathBuf {
    let hash = artifact["$artifact"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let files = support::files(&world.path(".flow/artifacts"));
    let named = |path: &&PathBuf| {
        let joined: String = path
            .components()
            .rev()
            .take(3)
            .collect::<Vec<_>>()
            .iter()
            .rev()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        joined.contains(hash) || joined.contains(&hash[2..])
    };
    files.iter().find(named).unwrap_or_else(|| panic!("{hash}: {files:?}")).clone()
}

fn opened(world: &World, artifact: &Value) -> image::DynamicImage {
    image::ImageReader::open(file(world, artifact))
        .unwrap()
        .with_guessed_format()
        .unwrap()
        .decode()
        .unwrap()
}

#[test]
fn a_smaller_image_shows_the_same_page() {
    let world = World::new();
    halves(&world, "page.png");
    let small = step(&world, "image.resize", &json!({ "image": "page.png", "side": 150 })).unwrap();
    let image = &small["image"];
    assert_eq!((&image["width"], &image["height"]), (&json!(150), &json!(75)));
    // 600 points before, where a pixel was a point, and now.
    assert_eq!(image["dpi"], 18.0);
    assert_eq!(image["name"], "page-150x75.png");
    let pixels = opened(&world, image);
    assert_eq!(pixels.get_pixel(10, 40).0, [200, 0, 0, 255]);
    assert_eq!(pixels.get_pixel(140, 40).0, [0, 0, 200, 255]);
    let same =
        step(&world, "image.resize", &json!({ "image": "page.png", "width": 9000 })).unwrap();
    assert_eq!(same["image"]["width"], 600, "it does not grow unless that is said");
}

#[test]
fn a_box_means_the_same_place_at_every_scale() {
    let world = World::new();
    halves(&world, "page.png");
    world.write(
        "w.yaml",
        "steps:\n  \
         - {id: small, uses: image.resize, with: {image: page.png, side: 300}}\n  \
         - {id: whole, uses: image.crop, with: {image: page.png, box: [290, 0, 310, 20]}}\n  \
         - {id: part, uses: image.crop, with: {image: '{{ steps.small.output.image }}', box: [290, 0, 310, 20]}}\n  \
         - {id: region, uses: image.crop, with: {image: page.png, region: {x0: 250, y0: 0, x1: 500, y1: 1000}, margin: 5}}\n\
         outputs: {whole: '{{ steps.whole.output }}', part: '{{ steps.part.output }}', region: '{{ steps.region.output }}'}\n",
    );
    let outputs = world.flow(&["run", "w.yaml", "--json"]).exits(0).json()["outputs"].clone();
    for (name, width) in [("whole", 20), ("part", 10)] {
        let cut = &outputs[name];
        assert_eq!(cut["box"], json!([290.0, 0.0, 310.0, 20.0]), "{name}");
        assert_eq!(cut["image"]["width"], width);
        let pixels = opened(&world, &cut["image"]);
        assert_eq!(pixels.get_pixel(1, 1).0, [200, 0, 0, 255], "{name}");
        assert_eq!(pixels.get_pixel(width - 2, 1).0, [0, 0, 200, 255], "{name}");
    }
    // It ends where the page does.
    assert_eq!(outputs["region"]["box"], json!([145.0, 0.0, 305.0, 300.0]));
}

#[test]
fn tiles_cover_the_page_and_say_where_they_lie() {
    let world = World::new();
    halves(&world, "page.png");
    let with = json!({ "image": "page.png", "side": 250, "overlap": 0.2 });
    let tiles = step(&world, "image.tile", &with).unwrap()["tiles"].clone();
    let places: Vec<_> = tiles.as_array().unwrap().iter().map(|tile| tile["box"].clone()).collect();
    assert_eq!(
        places,
        [
            json!([0.0, 0.0, 250.0, 250.0]),
            json!([175.0, 0.0, 425.0, 250.0]),
            json!([350.0, 0.0, 600.0, 250.0]),
            json!([0.0, 50.0, 250.0, 300.0]),
            json!([175.0, 50.0, 425.0, 300.0]),
            json!([350.0, 50.0, 600.0, 300.0]),
        ]
    );
    assert_eq!((&tiles[4]["row"], &tiles[4]["column"]), (&json!(1), &json!(1)));
    let middle = opened(&world, &tiles[1]["image"]);
    assert_eq!(middle.get_pixel(124, 9).0, [200, 0, 0, 255]);
    assert_eq!(middle.get_pixel(125, 9).0, [0, 0, 200, 255]);
    let refused =
        step(&world, "image.tile", &json!({ "image": "page.png", "side": 16, "overlap": 0.9 }));
    let said = refused.unwrap_err();
    assert!(said.contains("tiles, and at most 1000 are"), "{said}");
}

#[test]
fn boxes_are_drawn_where_they_lie() {
    let world = World::new();
    halves(&world, "page.png");
    let boxes = json!([
        { "box": [100, 100, 200, 200], "label": "total 12", "colour": "#00ff00" },
        { "region": { "x0": 500, "y0": 500, "x1": 900, "y1": 900 } },
    ]);
    let drawn =
        step(&world, "image.annotate", &json!({ "image": "page.png", "boxes": boxes })).unwrap();
    let pixels = opened(&world, &drawn["image"]);
    assert_eq!(pixels.dimensions(), (600, 300));
    assert_eq!(pixels.get_pixel(100, 150).0, [0, 255, 0, 255]);
    assert_eq!(pixels.get_pixel(150, 150).0, [200, 0, 0, 255], "within it the page is seen");
    assert_eq!(pixels.get_pixel(100, 91).0, [0, 255, 0, 255], "the label stands above it");
    assert_eq!(pixels.get_pixel(300, 200).0, [0, 114, 178, 255]);
}

#[test]
fn a_scan_that_names_its_resolution_is_read_by_it() {
    let world = World::new();
    let scan = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows/samples/invoice.pdf");
    std::fs::copy(scan, world.path("invoice.pdf")).unwrap();
    world.write(
        "w.yaml",
        "steps:\n  \
         - {id: pages, uses: document.pages, with: {file: invoice.pdf, dpi: 144, pages: 1}}\n  \
         - {id: part, uses: image.crop, with: {image: '{{ steps.pages.output.pages[0].image }}', box: [72, 72, 144, 108]}}\n\
         outputs: {part: '{{ steps.part.output.image }}'}\n",
    );
    let part = world.flow(&["run", "w.yaml", "--json"]).exits(0).json()["outputs"]["part"].clone();
    assert_eq!((&part["width"], &part["height"]), (&json!(144), &json!(72)));
    assert_eq!((&part["dpi"], &part["page"]), (&json!(144.0), &json!(1)));
}

/// The checksum that a PNG has of its parts.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

#[test]
fn what_cannot_be_is_said() {
    let world = World::new();
    halves(&world, "page.png");
    world.write("no.png", "no picture");
    // A head that promises more pixels than any page has.
    let mut huge = std::fs::read(world.path("page.png")).unwrap();
    huge[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let sum = checksum(&huge[12..29]).to_be_bytes();
    huge[29..33].copy_from_slice(&sum);
    std::fs::write(world.path("huge.png"), huge).unwrap();
    for (uses, with, expected) in [
        (
            "image.crop",
            json!({ "image": "page.png", "box": [700, 0, 800, 10] }),
            "the box [700.0,0.0,800.0,10.0] shows nothing of `page.png`, which is [0.0,0.0,600.0,300.0]\n",
        ),
        (
            "image.crop",
            json!({ "image": "page.png", "box": [20, 0, 10, 10] }),
            "shows nothing of `page.png`",
        ),
        ("image.crop", json!({ "image": "page.png" }), "give one of `box` and `region`\n"),
        (
            "image.crop",
            json!({ "image": "page.png", "box": [0, 0, 1, 1], "region": { "x0": 0, "y0": 0, "x1": 1, "y1": 1 } }),
            "give one of `box` and `region`\n",
        ),
        (
            "image.resize",
            json!({ "image": "page.png" }),
            "give a size: `side`, `width` or `height`\n",
        ),
        (
            "image.resize",
            json!({ "image": "page.png", "side": 0 }),
            "`side` is wrong: 0 is less than the minimum of 1\n",
        ),
        (
            "image.annotate",
            json!({ "image": "page.png", "boxes": [{ "label": "x" }] }),
            "`boxes.0`: give one of `box` and `region`\n",
        ),
        ("image.tile", json!({ "image": "no.png" }), "no.png"),
        (
            "image.resize",
            json!({ "image": "huge.png", "side": 10 }),
            "huge.png: the image has 65536x65536 pixels, more than the 100000000 allowed\n",
        ),
    ] {
        let said = step(&world, uses, &with).unwrap_err();
        assert!(said.contains(expected), "{uses} {with}: {said}");
    }
}
