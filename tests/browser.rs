//! The page of `flow show --html` in a real browser: its boxes are seen where they are drawn.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{World, say};

/// Where a browser is; none where there is none.
fn browser() -> Option<PathBuf> {
    let named = std::env::var_os("FLOW_TEST_BROWSER").map(PathBuf::from);
    let usual = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let found = named.into_iter().chain(usual.map(PathBuf::from)).find(|path| path.is_file());
    if found.is_none() {
        say("skipped: there is no browser; `FLOW_TEST_BROWSER` names one");
    }
    found
}

/// What a browser makes of a page, in a home of its own.
fn browse(browser: &Path, world: &World, page: &Path, what: &[&str]) -> String {
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--window-size=900,1200"])
        .arg(format!("--user-data-dir={}", world.path("profile").display()))
        .args(what)
        .arg(format!("file://{}", page.display()))
        .env("HOME", world.folder())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_browser_shows_the_page_with_its_boxes() {
    let Some(browser) = browser() else { return };
    let world = World::new();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/samples/invoice.pdf");
    std::fs::copy(file, world.path("invoice.pdf")).unwrap();
    world.write(
        "w.yaml",
        "steps:\n  - {id: pages, uses: document.pages, with: {file: invoice.pdf, dpi: 60}}\n  \
         - {id: fields, uses: extract.fields, with: {pages: '{{ steps.pages.output.pages }}', schema: {type: object, properties: {total: {type: number}, date: {type: string, format: date}}}}}\n",
    );
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(0).run();
    let page = world.path("page.html");
    std::fs::write(&page, world.flow(&["show", &run, "--html"]).exits(0).stdout).unwrap();

    let seen = browse(&browser, &world, &page, &["--dump-dom"]);
    assert!(seen.matches("class=\"box\"").count() >= 2, "{seen}");
    assert!(seen.contains(">total</a>"), "{seen}");

    let shot = world.path("shot.png");
    let to = format!("--screenshot={}", shot.display());
    browse(&browser, &world, &page, &[&to]);
    // Its style is let in and its pictures are: the page is no blank, and boxes are coloured.
    let pixels = image::open(&shot).unwrap().into_rgb8();
    let coloured = pixels.pixels().filter(|pixel| {
        let [most, least] = [pixel.0.iter().max().unwrap(), pixel.0.iter().min().unwrap()];
        most - least > 60
    });
    let dark = pixels.pixels().filter(|pixel| pixel.0.iter().all(|channel| *channel < 100));
    assert!(coloured.count() > 100, "no box is seen");
    assert!(dark.count() > 500, "no page is seen");
}
