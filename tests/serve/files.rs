//! Files that are uploaded, and files that are fetched.

use serde_json::json;

use crate::client::{Server, form};
use crate::support::World;

const KEEP: &str = r"
name: keep
inputs:
  file: { type: file }
  note: { type: string, default: none }
steps:
  - { id: it, uses: value.set, with: { value: '{{ inputs.file }}' } }
outputs: { file: '{{ steps.it.output }}', note: '{{ inputs.note }}' }
";

const COPY: &str = r"
name: copy
inputs: { path: { type: string } }
steps:
  - { id: out, uses: file.write, with: { path: '{{ inputs.path }}', content: x } }
";

/// Bytes that are no text, over several pieces of a body.
fn bytes() -> Vec<u8> {
    let mut bytes = b"%PDF-1.4\n".to_vec();
    bytes.extend((0..700_000_u32).map(|at| (at.wrapping_mul(at) >> 3) as u8));
    bytes
}

#[test]
fn a_file_that_is_uploaded_comes_back_byte_for_byte() {
    let world = World::new();
    world.write("keep.yaml", KEEP);
    let server = Server::start(&world, &[]);
    let bytes = bytes();
    let (kind, body) =
        form(&[("file", Some("../../scan \u{fc}.pdf"), &bytes), ("note", None, b"hello")]);
    let path = "/api/v1/workflows/keep/runs";
    let answer = server.send("POST", path, &[("content-type", &kind)], &body);
    assert_eq!(answer.status, 201, "{answer:?}");
    let run = answer.json()["run"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("/api/v1/runs/{run}"));
    let outputs = server.stands(&run, "succeeded")["outputs"].clone();
    assert_eq!(outputs["note"], "hello");
    let file = &outputs["file"];
    assert_eq!(file["name"], "scan \u{fc}.pdf");
    assert_eq!(file["media_type"], "application/pdf");
    assert_eq!(file["size"], bytes.len());
    let hash = file["$artifact"].as_str().unwrap();
    let whole = server.get(&format!("/api/v1/artifacts/{hash}?name=a%22b.pdf"));
    assert_eq!(whole.status, 200);
    assert!(whole.body == bytes);
    assert_eq!(whole.header("content-type"), "application/pdf");
    assert_eq!(whole.header("content-disposition"), "inline; filename*=UTF-8''a%22b.pdf");
    assert_eq!(whole.header("x-content-type-options"), "nosniff");

    let part = |range: &str| {
        server.send("GET", &format!("/api/v1/artifacts/{hash}"), &[("range", range)], b"")
    };
    let middle = part("bytes=100-199");
    assert_eq!((middle.status, &middle.body[..]), (206, &bytes[100..200]));
    assert_eq!(middle.header("content-range"), format!("bytes 100-199/{}", bytes.len()));
    assert_eq!(part("bytes=-7").body, &bytes[bytes.len() - 7..]);
    let none = part("bytes=9999999-");
    assert_eq!(none.status, 416);
    assert_eq!(none.header("content-range"), format!("bytes */{}", bytes.len()));
    let etag = whole.header("etag").to_owned();
    let known =
        server.send("GET", &format!("/api/v1/artifacts/{hash}"), &[("if-none-match", &etag)], b"");
    assert_eq!((known.status, known.body.len()), (304, 0));

    // Named by its hash, it need not be sent again; what is said of it is not believed.
    let again = server.run(
        "keep",
        &json!({ "file": { "$artifact": hash, "media_type": "text/html", "size": 1, "name": "b" } }),
    );
    let file = server.stands(&again, "succeeded")["outputs"]["file"].clone();
    assert_eq!(
        (&file["media_type"], &file["size"]),
        (&json!("application/pdf"), &json!(bytes.len()))
    );
}

#[test]
fn html_and_svg_are_saved_and_never_shown() {
    let world = World::new();
    world.write("keep.yaml", KEEP);
    let server = Server::start(&world, &[]);
    for text in [
        "<!doctype html><script>alert(1)</script>",
        "<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>",
        "<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\"/>",
    ] {
        let (kind, body) = form(&[("file", Some("a.html"), text.as_bytes())]);
        let path = "/api/v1/workflows/keep/runs";
        let answer = server.send("POST", path, &[("content-type", &kind)], &body);
        let run = answer.json()["run"].as_str().unwrap().to_owned();
        let file = server.stands(&run, "succeeded")["outputs"]["file"].clone();
        let hash = file["$artifact"].as_str().unwrap();
        let sent = server.get(&format!("/api/v1/artifacts/{hash}?name=a.html"));
        assert_eq!(sent.text(), text);
        assert_eq!(sent.header("content-type"), "application/octet-stream");
        assert_eq!(sent.header("content-disposition"), "attachment; filename*=UTF-8''a.html");
        let policy = "default-src 'none'; sandbox; frame-ancestors 'none'";
        assert_eq!(sent.header("content-security-policy"), policy);
    }
}

#[test]
fn a_request_names_no_file_of_the_machine() {
    let world = World::new();
    world.write("keep.yaml", KEEP);
    world.write("copy.yaml", COPY);
    world.write("secret.txt", "secret");
    let server = Server::start(&world, &[]);
    let hint = "upload the file as multipart/form-data, or name one that was uploaded by \
                `{\"$artifact\": \"sha256:…\"}`";
    for path in ["secret.txt", "/etc/passwd", "http://127.0.0.1/"] {
        let body = json!({ "inputs": { "file": path } });
        server.post("/api/v1/workflows/keep/runs", &body).is_problem(
            422,
            "input `file`: a path of this machine is not taken over HTTP",
            Some(hint),
        );
    }
    let unknown = format!("sha256:{}", "0".repeat(64));
    let body = json!({ "inputs": { "file": { "$artifact": unknown } } });
    server.post("/api/v1/workflows/keep/runs", &body).is_problem(
        422,
        &format!("input `file`: there is no file {unknown}"),
        Some("upload it as multipart/form-data"),
    );
    // A text may be a path to a step: then it is confined, as one that a step computed.
    for path in ["../outside.txt", "/tmp/flow-outside.txt"] {
        let run = server.run("copy", &json!({ "path": path }));
        let failed = server.stands(&run, "failed");
        let error = failed["steps"]["out"]["error"]["message"].as_str().unwrap();
        assert!(error.contains("outside"), "{error}");
    }
    assert!(!world.folder().parent().unwrap().join("outside.txt").exists());
    let inside = server.run("copy", &json!({ "path": "inside.txt" }));
    server.stands(&inside, "succeeded");
    for path in [
        "/api/v1/artifacts/..%2F..%2Fsecret.txt",
        "/api/v1/artifacts/sha256:..%2F..%2Fflow.db",
        "/api/v1/workflows/..%2Fsecret/runs",
        "/api/v1/../../secret.txt",
        "/secret.txt",
        "/.flow/flow.db",
    ] {
        let answer = server.get(path);
        assert!((400..=405).contains(&answer.status), "{path}: {answer:?}");
        assert!(!answer.text().contains("SQLite format"), "{path}");
    }
}

#[test]
fn what_is_too_large_is_refused_with_what_takes_more() {
    let world = World::new();
    world.write("keep.yaml", KEEP);
    let server = Server::start(&world, &["--max-upload", "100KB"]);
    let path = "/api/v1/workflows/keep/runs";
    let (kind, body) = form(&[("file", Some("a.pdf"), &bytes()[..120_000])]);
    server.send("POST", path, &[("content-type", &kind)], &body).is_problem(
        413,
        "the upload is larger than 100000 bytes",
        Some("`flow serve --max-upload SIZE` takes more"),
    );
    let long = json!({ "inputs": { "note": "x".repeat(3 << 20) } });
    server.post(path, &long).is_problem(
        413,
        "a body of JSON has at most 2097152 bytes",
        Some("upload files as multipart/form-data"),
    );
    assert_eq!(server.get("/api/v1/runs").json()["runs"], json!([]));
}
