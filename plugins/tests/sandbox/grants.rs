//! What a guest reaches is what was granted: hosts, models, memory. Nothing else.

use std::sync::Mutex;

use async_trait::async_trait;
use flow_core::action::CallUsage;
use flow_core::error::Failure;
use flow_core::provider::{Answer, Request};
use flow_core::units::Money;
use flow_plugins::policy::{Capabilities, Granted, Limits};
use flow_plugins::{Came, Outside};
use serde_json::{Value, json};

use crate::attacks::{asking, sending, sending_with};
use crate::support::{Guest, Place, granted};

/// What a step that sends this comes to where a host is granted.
async fn sent(place: &Place, grant: &Value, method: &str, url: &str) -> Came<Value> {
    let plugin = place.load(&sending(method, url));
    place.run_with(&plugin, &json!({}), &granted(grant, Limits::USUAL)).await
}

#[tokio::test]
async fn a_host_that_was_granted_is_asked_and_counted() {
    let place = Place::new().await;
    let grant = json!({ "http": [{ "host": "api.example.com", "methods": ["POST"],
        "secret_header": { "Authorization": "Bearer KEY" } }] });
    let came = sent(&place, &grant, "post", "https://api.example.com/v1").await;
    came.result.unwrap();
    assert_eq!((came.used.requests, came.used.received), (1, 5));
    let asked = place.http.asked.lock().unwrap();
    assert_eq!((asked[0].method.as_str(), asked[0].private), ("POST", false));
    assert_eq!(
        asked[0].secrets,
        [("authorization".to_owned(), "Bearer ".to_owned(), "KEY".to_owned())]
    );
}

#[tokio::test]
async fn every_other_address_is_denied_before_anybody_is_asked() {
    let place = Place::new().await;
    let grant = json!({ "http": [{ "host": "api.example.com", "methods": ["GET"] }] });
    for (method, url) in [
        ("POST", "https://api.example.com/"),
        ("GET", "https://evil.example.com/"),
        ("GET", "http://169.254.169.254/latest/meta-data/"),
        ("GET", "http://127.0.0.1:8080/"),
        ("GET", "https://api.example.com@evil.example.com/"),
        ("GET", "https://api.example.com:8443/"),
        ("GET", "file:///etc/passwd"),
        ("GET", "https://api.example.com\\@evil.example.com/"),
    ] {
        let came = sent(&place, &grant, method, url).await;
        let failure = came.result.unwrap_err().into_failure("guest");
        assert_eq!(failure.class.as_str(), "plugin", "{method} {url}: {failure:?}");
        assert_eq!(came.used.denied.len(), 1, "{method} {url}");
    }
    assert!(place.http.asked.lock().unwrap().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn a_denial_says_what_to_write() {
    let place = Place::new().await;
    let plugin = place.load(&sending("POST", "https://api.example.com/"));
    let came = place.run(&plugin, &json!({})).await;
    let failure = came.result.unwrap_err().into_failure("guest");
    assert_eq!(
        failure.hint.unwrap(),
        "the plugin does not ask for it: in its plugin.yaml:\n\
         capabilities:\n  http: [{ host: \"api.example.com\", methods: [POST] }]\n\
         and in the workflow:\nplugins:\n  guest:\n    grant:\n      \
         http: [{ host: \"api.example.com\", methods: [POST] }]"
    );
    assert!(
        failure.message.starts_with(
            "plugin `guest`: plugin `guest` may not send POST to `api.example.com`; the plugin"
        ),
        "the guest is told it, too: {}",
        failure.message
    );
}

#[tokio::test]
async fn what_only_one_side_grants_is_denied() {
    let place = Place::new().await;
    let plugin = place.load(&sending("GET", "https://api.example.com/"));
    let rule = Capabilities::read(&json!({ "http": [{ "host": "api.example.com" }] }), "grant");
    let (rule, nothing) = (rule.unwrap(), Capabilities::default());
    for (asked, given) in [(rule.clone(), nothing.clone()), (nothing, rule)] {
        let grant = Granted::of("guest", asked, &given, Limits::USUAL, None);
        let came = place.run_with(&plugin, &json!({}), &std::sync::Arc::new(grant)).await;
        assert!(came.result.is_err());
    }
    assert!(place.http.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_host_field_of_the_guests_goes_nowhere() {
    let place = Place::new().await;
    let headers = [
        ("Host", "evil.example.com"),
        ("X-Mine", "1"),
        ("authorization", "stolen"),
        ("Transfer-Encoding", "chunked"),
        ("Proxy-Authorization", "x"),
    ];
    let plugin = place.load(&sending_with("GET", "https://api.example.com/", &headers));
    let grant = json!({ "http": [{ "host": "api.example.com",
        "secret_header": { "Authorization": "KEY" } }] });
    place.run_with(&plugin, &json!({}), &granted(&grant, Limits::USUAL)).await.result.unwrap();
    let asked = place.http.asked.lock().unwrap();
    assert_eq!(asked[0].headers, [("x-mine".to_owned(), "1".to_owned())]);
}

#[tokio::test]
async fn a_header_that_would_be_two_is_refused() {
    let place = Place::new().await;
    let headers = [("x-mine", "1\r\nhost: evil.example.com")];
    let plugin = place.load(&sending_with("GET", "https://api.example.com/", &headers));
    let grant = json!({ "http": [{ "host": "api.example.com" }] });
    let came = place.run_with(&plugin, &json!({}), &granted(&grant, Limits::USUAL)).await;
    assert_eq!(came.result.unwrap_err().to_string(), "`x-mine` is no header field");
}

#[tokio::test]
async fn a_secret_is_not_sent_in_the_clear() {
    let place = Place::new().await;
    let grant = json!({ "http": [{ "host": "api.example.com",
        "secret_header": { "Authorization": "KEY" } }] });
    let came = sent(&place, &grant, "GET", "http://api.example.com/").await;
    assert_eq!(
        came.result.unwrap_err().to_string(),
        "a secret is not sent to `api.example.com` unencrypted"
    );
}

#[tokio::test]
async fn a_server_that_is_busy_is_worth_another_try() {
    let place = Place::new().await;
    let grant = json!({ "http": [{ "host": "api.example.com" }] });
    let came = sent(&place, &grant, "GET", "https://api.example.com/busy").await;
    // The guest of this test says of every error that it is for good.
    let failure = came.result.unwrap_err().into_failure("guest");
    assert_eq!(failure.message, "plugin `guest`: it is busy");
}

/// A model that answers, and remembers what it was asked and what that may cost.
#[derive(Default)]
struct Model(Mutex<Vec<(String, Option<Money>)>>);

#[async_trait]
impl Outside for Model {
    async fn ask(
        &self,
        model: &str,
        request: Request,
        most: Option<Money>,
    ) -> Result<(Answer, CallUsage), Failure> {
        assert_eq!(request.messages.len(), 1);
        self.0.lock().unwrap().push((model.to_owned(), most));
        let cost = Some(Money::from_micros(30_000));
        Ok((Answer { text: "12.00".into() }, CallUsage { cost, ..CallUsage::default() }))
    }

    fn delta(&self, _text: &str) -> bool {
        true
    }
}

#[tokio::test]
async fn a_model_that_was_granted_is_asked_within_what_it_may_cost() {
    let place = Place::new().await;
    let plugin = place.load(&asking("reader"));
    let grant =
        json!({ "models": { "names": ["reader"], "max_calls": 1, "max_cost": "0.10 USD" } });
    let model = Model::default();
    let grant = granted(&grant, Limits::USUAL);
    let came = place.run_outside(&plugin, &json!({}), &grant, &model).await;
    came.result.unwrap();
    assert_eq!((came.used.questions, came.used.cost), (1, Some(Money::from_micros(30_000))));
    assert_eq!(
        *model.0.lock().unwrap(),
        [("reader".to_owned(), Some(Money::from_micros(100_000)))]
    );
}

#[tokio::test]
async fn a_model_that_was_not_granted_is_not_asked() {
    let place = Place::new().await;
    let plugin = place.load(&asking("writer"));
    let model = Model::default();
    let grant = granted(&json!({ "models": { "names": ["reader"] } }), Limits::USUAL);
    let came = place.run_outside(&plugin, &json!({}), &grant, &model).await;
    let failure = came.result.unwrap_err().into_failure("guest");
    assert!(
        failure.message.starts_with("plugin `guest`: plugin `guest` may not ask model `writer`"),
        "{failure:?}"
    );
    assert!(model.0.lock().unwrap().is_empty());
}

/// A step that remembers its input, and says what it remembered before.
fn remembering() -> Guest {
    let mut guest = Guest::new("").importing("kv", "get", "(param i32 i32 i32)").importing(
        "kv",
        "set",
        "(param i32 i32 i32 i32 i32 i64 i32)",
    );
    let key = guest.texts.text("last");
    guest
        .running(&format!(
            "(call $get {key} (i32.const 256))
         (if (i32.load8_u (i32.const 256))
           (then (return (call $relay_error (i32.const 256)))))
         (call $set {key} (local.get 7) (local.get 8) (i32.const 0) (i64.const 0) (i32.const 512))
         (if (i32.load8_u (i32.const 512))
           (then (return (call $relay_error (i32.const 512)))))
         (if (i32.eqz (i32.load8_u (i32.const 264)))
           (then (return (call $ok (i32.const 8) (i32.const 2)))))
         (call $ok (i32.load (i32.const 268)) (i32.load (i32.const 272)))"
        ))
        .function(
            "(func $relay_error (param i32) (result i32)
           (call $err
             (i32.load (i32.add (local.get 0) (i32.const 8)))
             (i32.load (i32.add (local.get 0) (i32.const 12)))
             (i32.load (i32.add (local.get 0) (i32.const 16)))
             (i32.load (i32.add (local.get 0) (i32.const 20)))))",
        )
}

#[tokio::test]
async fn what_a_guest_remembers_outlives_its_calls_and_stays_within_bounds() {
    let place = Place::new().await;
    let plugin = place.load(&remembering());
    let grant = granted(&json!({ "kv": { "max_bytes": 64 } }), Limits::USUAL);
    let first = place.run_with(&plugin, &json!({ "n": 1 }), &grant).await;
    let second = place.run_with(&plugin, &json!({ "n": 2 }), &grant).await;
    assert_eq!((first.result.unwrap(), second.result.unwrap()), (json!({}), json!({ "n": 1 })));
    let large = json!({ "text": "x".repeat(64) });
    let fault = place.run_with(&plugin, &large, &grant).await.result.unwrap_err();
    assert_eq!(fault.to_string(), "more than 64 bytes would be remembered");
}

#[tokio::test]
async fn a_memory_that_was_not_granted_is_denied() {
    let place = Place::new().await;
    let came = place.run(&place.load(&remembering()), &json!({})).await;
    assert_eq!(came.used.denied, ["plugin `guest` may not remember anything"]);
    assert!(came.result.is_err());
}
