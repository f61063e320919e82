//! Images by address, at a service that fetches none: what we would fetch for it ourselves is
//! asked of public addresses alone.

use std::path::Path;

use flow_core::error::ErrorClass;
use serde_json::json;

use crate::asking::Asking;
use crate::server::{Answer, Server};

/// A server that would answer, and what a step that names `image` comes to.
async fn failure(image: &str) -> (String, Option<String>, usize) {
    let server = Server::start(|_, _| Answer::json(200, "{}")).await;
    let image = image.replace("PORT", server.url().rsplit(':').next().expect("a port"));
    let asking = Asking::new("ollama", &json!({ "base_url": server.url() }), "llava:13b").await;
    let input = json!({ "prompt": "What is it?", "image": image });
    let failure = asking.ask(&input, Path::new(".")).await.expect_err("it is refused");
    assert_eq!(failure.class, ErrorClass::Input, "{failure}");
    let port = server.url().rsplit(':').next().expect("a port").to_owned();
    (failure.message.replace(&port, "PORT"), failure.hint, server.received().len())
}

#[tokio::test]
async fn addresses_of_this_machine_and_its_network_are_not_asked() {
    for (image, message) in [
        (
            "http://127.0.0.1:PORT/x.png?key=secret",
            "`http://127.0.0.1:PORT/x.png` is not fetched: 127.0.0.1 is no public address",
        ),
        (
            "http://0x7f.1:PORT/x.png",
            "`http://127.0.0.1:PORT/x.png` is not fetched: 127.0.0.1 is no public address",
        ),
        (
            "http://2130706433:PORT/x.png",
            "`http://127.0.0.1:PORT/x.png` is not fetched: 127.0.0.1 is no public address",
        ),
        (
            "http://[::1]:PORT/x.png",
            "`http://[::1]:PORT/x.png` is not fetched: ::1 is no public address",
        ),
        (
            "http://[::ffff:127.0.0.1]:PORT/x.png",
            "`http://[::ffff:7f00:1]:PORT/x.png` is not fetched: ::ffff:127.0.0.1 is no public address",
        ),
        (
            "http://169.254.169.254/latest/meta-data",
            "`http://169.254.169.254/latest/meta-data` is not fetched: 169.254.169.254 is no public address",
        ),
        (
            "https://user:pass@192.168.1.1/x.png",
            "`https://192.168.1.1/x.png` is not fetched: 192.168.1.1 is no public address",
        ),
    ] {
        let hint = Some("download it yourself, and give the file".to_owned());
        assert_eq!(failure(image).await, (message.to_owned(), hint, 0), "{image}");
    }
}

/// The name may stand for either address of the loopback.
#[tokio::test]
async fn a_name_that_is_at_such_an_address_is_not_asked() {
    let (message, hint, requests) = failure("http://localhost:PORT/x.png?key=secret").await;
    let at = |address: &str| {
        format!(
            "`http://localhost:PORT/x.png` is not fetched: `localhost` is at {address}, which is no public address"
        )
    };
    assert!([at("127.0.0.1"), at("::1")].contains(&message), "{message}");
    assert_eq!(hint.as_deref(), Some("download it yourself, and give the file"));
    assert_eq!(requests, 0);
}

#[tokio::test]
async fn what_is_no_address_of_the_web_is_no_file() {
    let hint = Some("a file is an input, a step's artifact, a URL, or `{file_id: …}`".to_owned());
    for image in ["file:///etc/passwd", "ftp://x/y.png", "data:image/png;base64,AAAA"] {
        let message = format!("`image`: `\"{image}\"` is no file");
        assert_eq!(failure(image).await, (message, hint.clone(), 0), "{image}");
    }
}
