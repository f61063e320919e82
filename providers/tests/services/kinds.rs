//! A file of another kind than its part says is refused whoever is asked, before it is.

use flow_core::error::ErrorClass;
use serde_json::json;

use crate::asking::Asking;
use crate::server::Server;

#[tokio::test]
async fn no_provider_is_asked_about_a_file_of_another_kind() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("invoice.png"), "Dear Sir").expect("written");
    let server = Server::of(Vec::new()).await;
    let at = |url: String| json!({ "base_url": url, "api_key": "key-1234" });
    for (kind, settings) in [
        ("openai", at(server.url())),
        ("anthropic", at(server.url())),
        ("gemini", at(server.url())),
        ("ollama", json!({ "base_url": server.url() })),
        ("auto", json!({})),
        ("command", json!({ "command": ["touch", "asked"] })),
    ] {
        let asking = match kind {
            "auto" => {
                let variables = [
                    ("OPENAI_API_KEY".to_owned(), "key-1234".to_owned()),
                    ("OPENAI_BASE_URL".to_owned(), server.url()),
                ];
                Asking::on(variables.into(), kind, &settings, "auto").await
            }
            _ => Asking::new(kind, &settings, "large").await,
        };
        for (input, message) in [
            (json!({ "image": "@invoice.png" }), "`image`: `invoice.png` is text, not an image"),
            (json!({ "video": "@invoice.png" }), "`video`: `invoice.png` is text, not a video"),
            (
                json!({ "images": ["@invoice.png"] }),
                "`images[0]`: `invoice.png` is text, not an image",
            ),
            (
                json!({ "content": [{ "text": "a" }, { "audio": "@invoice.png" }] }),
                "`content[1].audio`: `invoice.png` is text, not a sound",
            ),
            (
                json!({ "messages": [{ "role": "user", "content": [{ "image": "@invoice.png" }] }] }),
                "`messages[0].content[0].image`: `invoice.png` is text, not an image",
            ),
        ] {
            let mut input = input;
            input["prompt"] = json!("What is this?");
            let failure = asking.ask(&input, folder.path()).await.expect_err("it is refused");
            assert_eq!((failure.class, failure.message.as_str()), (ErrorClass::Input, message));
            let hint =
                "look inside: a download often saves an error page under the name of the file";
            assert_eq!(failure.hint.as_deref(), Some(hint), "{kind}");
        }
        assert!(!asking.context.paths.folder.join("asked").exists());
    }
    assert_eq!(server.received().len(), 0);
}
