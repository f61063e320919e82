//! Files that are uploaded: once, in pieces, and whatever breaks.

mod keeper;
mod runs;

use std::sync::Arc;

use flow_core::error::ErrorClass;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::asking::Asking;
use crate::server::{Answer, Server};
use keeper::{Break, Habits, Keeper, video};

const MB: usize = 1 << 20;

/// Just so much that no two of it are sent at once.
const CHUNK: usize = 4_200_000;

fn about(video: &str) -> Value {
    json!({ "video": video, "prompt": "What happens?", "options": { "upload": {} } })
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The log without what took how long and until when.
fn log(asking: &Asking) -> Vec<String> {
    let mut lines = asking.log();
    for line in &mut lines {
        for word in [" in ", " until ", " after "] {
            if let Some(at) = line.find(word)
                && (line.starts_with("uploaded") || line.contains(" is ready"))
            {
                line.truncate(at);
            }
        }
    }
    lines
}

#[tokio::test]
async fn a_video_goes_in_chunks_and_many_questions_of_it_upload_it_once() {
    let keeper = Keeper::new(Habits::default()).await;
    let (asking, folder) = (keeper.asking().await, folder());
    let bytes = video(folder.path(), "clip.mp4", 20 * MB + 123);
    let asked =
        join_all((0..10).map(|_| async { asking.ask(&about("@clip.mp4"), folder.path()).await }));
    for answer in asked.await {
        assert_eq!(answer, Ok(json!("yes")));
    }
    let requests = keeper.requests();
    let sent: Vec<_> = requests.iter().filter(|request| *request != "ask").collect();
    assert_eq!(
        sent,
        [
            "start",
            "upload 0+8388608",
            "upload 8388608+8388608",
            "upload, finalize 16777216+4194427"
        ]
    );
    assert_eq!(requests.len(), 14);
    assert_eq!(keeper.state().files["files/f0"], bytes);
    let mut log = log(&asking);
    assert_eq!(log.remove(0), "uploaded clip.mp4, 21 MB, to mine");
    assert_eq!(log, vec!["clip.mp4 is at mine already"; 9]);
    let told = &asking.log()[0];
    assert!(told.ends_with("s; it is kept until the run has ended"), "{told}");
    // Another step of the run finds it as well.
    let again = asking.ask(&about("@clip.mp4"), folder.path()).await;
    assert_eq!((again, keeper.counts()), (Ok(json!("yes")), (1, 3, 1)));
}

#[tokio::test]
async fn a_chunk_that_breaks_is_gone_on_with_from_what_has_come() {
    let parts = [Break::Refused(503), Break::Unheard, Break::Part(0), Break::Part(999)];
    let cases = (0..3).flat_map(|chunk| parts.map(|broken| (chunk, broken)));
    join_all(cases.map(|(chunk, broken)| async move {
        let (granularity, breaks) = (Some(CHUNK), [(chunk, broken)].into());
        let habits = Habits { granularity, breaks, ..Habits::default() };
        let keeper = Keeper::new(habits).await;
        let (asking, folder) = (keeper.asking().await, folder());
        let bytes = video(folder.path(), "clip.mp4", 2 * CHUNK + 1000);
        let case = format!("chunk {chunk}: {broken:?}");
        let answer = asking.ask(&about("@clip.mp4"), folder.path()).await;
        assert_eq!(answer, Ok(json!("yes")), "{case}");
        assert!(keeper.state().files["files/f0"] == bytes, "{case}: other bytes came");
        let requests = keeper.requests();
        let queries = requests.iter().filter(|request| *request == "query").count();
        assert_eq!((keeper.counts().0, queries), (1, 1), "{case}: {requests:?}");
        let log = asking.log();
        let start = format!("the upload of clip.mp4 broke after {}", so_far(chunk));
        assert!(log[0].starts_with(&start), "{case}: {log:?}");
    }))
    .await;
}

fn so_far(chunks: usize) -> &'static str {
    ["0 bytes", "4.2 MB", "8.4 MB"][chunks]
}

#[tokio::test]
async fn an_upload_that_is_gone_is_begun_again() {
    let habits = Habits { breaks: [(1, Break::Gone)].into(), ..Habits::default() };
    let keeper = Keeper::new(habits).await;
    let (asking, folder) = (keeper.asking().await, folder());
    let bytes = video(folder.path(), "clip.mp4", 9 * MB);
    let answer = asking.ask(&about("@clip.mp4"), folder.path()).await;
    assert_eq!(answer, Ok(json!("yes")));
    assert_eq!(
        keeper.requests(),
        [
            "start",
            "upload 0+8388608",
            "upload, finalize 8388608+1048576",
            "start",
            "upload 0+8388608",
            "upload, finalize 8388608+1048576",
            "ask"
        ]
    );
    assert_eq!(keeper.state().files["files/f0"], bytes);
}

#[tokio::test]
async fn chunks_are_multiples_of_what_the_service_says() {
    let habits = Habits { granularity: Some(3_000_000), ..Habits::default() };
    let keeper = Keeper::new(habits).await;
    let (asking, folder) = (keeper.asking().await, folder());
    video(folder.path(), "clip.mp4", 7_000_000);
    assert_eq!(asking.ask(&about("@clip.mp4"), folder.path()).await, Ok(json!("yes")));
    let chunks = ["start", "upload 0+6000000", "upload, finalize 6000000+1000000", "ask"];
    assert_eq!(keeper.requests(), chunks);
}

#[tokio::test]
async fn what_passes_is_waited_for_and_what_does_not_ends_the_upload() {
    let starts = |starts: &[u16]| Habits { refused_starts: starts.to_vec(), ..Habits::default() };
    let chunk = |broken| Habits { breaks: [(0, broken)].into(), ..Habits::default() };
    let fails = |class, message: &str| {
        Some((class, format!("uploading `clip.mp4`: provider `mine`: {message}")))
    };
    for (habits, failure, begun) in [
        (starts(&[500, 503]), None, 1),
        (starts(&[400]), fails(ErrorClass::BadRequest, "INVALID_ARGUMENT: come back later"), 0),
        (starts(&[401]), fails(ErrorClass::Auth, "UNAUTHENTICATED: come back later"), 0),
        (starts(&[404]), fails(ErrorClass::NotFound, "NOT_FOUND: come back later"), 0),
        (chunk(Break::Refused(401)), fails(ErrorClass::Auth, "UNAUTHENTICATED: it is full"), 1),
        (chunk(Break::Refused(500)), None, 1),
    ] {
        let keeper = Keeper::new(habits).await;
        let (asking, folder) = (keeper.asking().await, folder());
        video(folder.path(), "clip.mp4", 1000);
        let answer = asking.ask(&about("@clip.mp4"), folder.path()).await;
        match failure {
            None => assert_eq!(answer, Ok(json!("yes"))),
            Some((class, message)) => {
                let failure = answer.expect_err("it fails");
                assert_eq!((failure.class, failure.message), (class, message));
            }
        }
        assert_eq!(keeper.counts().0, begun);
    }
}

#[tokio::test]
async fn a_video_is_waited_for_until_it_is_ready() {
    let states = vec!["PROCESSING", "PROCESSING", "ACTIVE"];
    let keeper = Keeper::new(Habits { states, ..Habits::default() }).await;
    let (asking, folder) = (keeper.asking().await, folder());
    video(folder.path(), "clip.mp4", 1000);
    assert_eq!(asking.ask(&about("@clip.mp4"), folder.path()).await, Ok(json!("yes")));
    let look = "GET /v1beta/files/f0";
    assert_eq!(keeper.requests(), ["start", "upload, finalize 0+1000", look, look, "ask"]);
    assert_eq!(log(&asking), ["uploaded clip.mp4, 1.0 kB, to mine", "clip.mp4 is ready"]);
}

#[tokio::test]
async fn a_video_that_cannot_be_used_is_told_with_the_reason_and_removed() {
    let states = vec!["PROCESSING", "FAILED"];
    let keeper = Keeper::new(Habits { states, ..Habits::default() }).await;
    let (asking, folder) = (keeper.asking().await, folder());
    video(folder.path(), "clip.mp4", 1000);
    let failure = asking.ask(&about("@clip.mp4"), folder.path()).await.expect_err("it failed");
    let message = "provider `mine` cannot use `clip.mp4`: The video has no frames.";
    assert_eq!((failure.class, failure.message.as_str()), (ErrorClass::BadRequest, message));
    assert_eq!(keeper.state().files.len(), 0);
    assert_eq!(keeper.requests().last().map(String::as_str), Some("DELETE /v1beta/files/f0"));
    // Whoever tries again begins anew.
    keeper.state().habits.states = vec!["ACTIVE"];
    assert_eq!(asking.ask(&about("@clip.mp4"), folder.path()).await, Ok(json!("yes")));
    assert_eq!(keeper.counts(), (2, 2, 2));
}

#[tokio::test]
async fn a_video_that_is_not_ready_in_time_is_waited_for_again_and_not_uploaded_again() {
    let keeper = Keeper::new(Habits { states: vec!["PROCESSING"], ..Habits::default() }).await;
    let (asking, folder) = (keeper.asking().await, folder());
    video(folder.path(), "clip.mp4", 1000);
    let mut question = about("@clip.mp4");
    question["options"]["upload"] = json!({ "wait": "300ms" });
    let failure = asking.ask(&question, folder.path()).await.expect_err("it is never ready");
    let message = "provider `mine`: `clip.mp4` is not ready after 300ms";
    assert_eq!((failure.class, failure.message.as_str()), (ErrorClass::Timeout, message));
    let hint = "raise `wait` of `options.upload`, and `timeout` of the step";
    assert_eq!(failure.hint.as_deref(), Some(hint));
    keeper.state().habits.states = vec!["ACTIVE"];
    assert_eq!(asking.ask(&question, folder.path()).await, Ok(json!("yes")));
    assert_eq!(keeper.counts(), (1, 1, 1));
}

#[tokio::test]
async fn what_expires_soon_is_uploaded_again() {
    let keeper = Keeper::new(Habits { minutes: Some(9), ..Habits::default() }).await;
    let (asking, folder) = (keeper.asking().await, folder());
    video(folder.path(), "clip.mp4", 1000);
    for (minutes, uploads) in [(9, 1), (11, 2), (11, 2)] {
        keeper.state().habits.minutes = Some(minutes);
        assert_eq!(asking.ask(&about("@clip.mp4"), folder.path()).await, Ok(json!("yes")));
        assert_eq!(keeper.counts().2, uploads);
    }
}

#[tokio::test]
async fn what_is_gone_is_uploaded_again_once_and_the_log_says_so() {
    let keeper = Keeper::new(Habits::default()).await;
    let (asking, folder) = (keeper.asking().await, folder());
    video(folder.path(), "clip.mp4", 1000);
    assert_eq!(asking.ask(&about("@clip.mp4"), folder.path()).await, Ok(json!("yes")));
    keeper.state().files.clear();
    assert_eq!(asking.ask(&about("@clip.mp4"), folder.path()).await, Ok(json!("yes")));
    assert_eq!(keeper.counts().2, 2);
    let uploaded = "uploaded clip.mp4, 1.0 kB, to mine";
    let again = "clip.mp4 is not at mine any more; it is uploaded again";
    assert_eq!(log(&asking), [uploaded, "clip.mp4 is at mine already", again, uploaded]);

    keeper.state().habits.blind = true;
    let failure = asking.ask(&about("@clip.mp4"), folder.path()).await.expect_err("it is blind");
    assert_eq!(failure.class, ErrorClass::NotFound);
    assert_eq!(
        failure.message,
        "provider `mine`: PERMISSION_DENIED: You do not have permission to access the File f2 or \
         it may not exist."
    );
    assert_eq!(keeper.counts().2, 3);
}

#[tokio::test]
async fn a_step_that_is_stopped_ends_in_the_middle_of_a_chunk() {
    let habits = Habits { breaks: [(0, Break::Stalled)].into(), ..Habits::default() };
    let keeper = Keeper::new(habits).await;
    let (asking, folder) = (keeper.asking().await, folder());
    video(folder.path(), "clip.mp4", 9 * MB);
    let cancel = asking.context.cancel.clone();
    let stop = async {
        while keeper.counts().1 == 0 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let question = about("@clip.mp4");
    let (answer, ()) = tokio::join!(asking.ask(&question, folder.path()), stop);
    assert_eq!(answer.expect_err("it was stopped").class, ErrorClass::Cancelled);
    assert_eq!(keeper.counts(), (1, 1, 0));
}

#[tokio::test]
async fn a_file_that_changes_is_not_uploaded() {
    let habits = Habits { breaks: [(0, Break::Unheard)].into(), ..Habits::default() };
    let keeper = Arc::new(Keeper::new(habits).await);
    let (asking, folder) = (keeper.asking().await, folder());
    video(folder.path(), "clip.mp4", 9 * MB);
    let taken = asking.context.intake.take("clip.mp4", &folder.path().join("clip.mp4")).await;
    let taken = taken.expect("it is there");
    let stored = asking.store.artifacts().local_path(&taken.hash).expect("it is kept");
    let question = about("@clip.mp4");
    let change = async {
        while keeper.counts().1 == 0 {
            tokio::task::yield_now().await;
        }
        std::fs::OpenOptions::new()
            .write(true)
            .open(&stored)
            .expect("ours")
            .set_len(9)
            .expect("cut");
    };
    let input = json!({ "video": taken.to_value(), "prompt": "x", "options": { "upload": {} } });
    let (answer, ()) = tokio::join!(asking.ask(&input, folder.path()), change);
    let failure = answer.expect_err("it was cut");
    assert_eq!(failure.class, ErrorClass::Io);
    let message =
        format!("uploading `clip.mp4`: {} changed while it was uploaded", stored.display());
    assert_eq!(failure.message, message);
    // What is damaged is not even begun with.
    let failure = asking.ask(&input, folder.path()).await.expect_err("it is damaged");
    let message = format!(
        "artifact {} is damaged: {} does not hold what was kept",
        taken.hash,
        stored.display()
    );
    assert_eq!(failure.message, message);
    assert_eq!(keeper.counts(), (1, 1, 0));
    // Taken in again it is mended.
    assert_eq!(asking.ask(&question, folder.path()).await, Ok(json!("yes")));
}

#[tokio::test]
async fn only_what_does_not_fit_into_a_request_is_uploaded_unasked() {
    let keeper = Keeper::new(Habits::default()).await;
    let mut settings = keeper.settings();
    settings["models"] = json!({ "*": { "inline_bytes": 4_000 } });
    let asking = Asking::new("gemini", &settings, "gemini-3.8-flash").await;
    let folder = folder();
    video(folder.path(), "small.mp4", 900);
    video(folder.path(), "large.mp4", 3_000);
    let ask = async |parts: Value| asking.ask(&json!({ "content": parts }), folder.path()).await;
    let (small, large) = (json!({ "video": "@small.mp4" }), json!({ "video": "@large.mp4" }));
    assert_eq!(ask(json!([small, large.clone()])).await, Ok(json!("yes")));
    assert_eq!(keeper.requests(), ["start", "upload, finalize 0+3000", "ask"]);
    assert_eq!(ask(json!([large])).await, Ok(json!("yes")));
    assert_eq!(keeper.requests().len(), 4, "it fits alone");
    let body = &keeper.server.received()[2].body;
    let body: Value = serde_json::from_slice(body).expect("it is JSON");
    let parts = &body["contents"][0]["parts"];
    assert!(parts[0]["inlineData"].is_object() && parts[1]["fileData"].is_object(), "{parts}");
}

#[tokio::test]
async fn what_a_service_takes_no_uploaded_file_of_goes_within_the_request() {
    let said = json!({
        "choices": [{ "message": { "content": "yes" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1 },
    });
    let server = Server::of(vec![Answer::json(200, &said.to_string())]).await;
    let settings = json!({ "base_url": server.url(), "api_key": "key-1234" });
    let asking = Asking::new("openai", &settings, "any").await;
    let folder = folder();
    std::fs::write(folder.path().join("a.png"), crate::parts::png()).expect("written");
    let input = json!({ "image": "@a.png", "prompt": "x", "options": { "upload": {} } });
    assert_eq!(asking.ask(&input, folder.path()).await, Ok(json!("yes")));
    assert_eq!(
        asking.log(),
        ["a.png is not uploaded: mine takes an image of its type within a request only"]
    );
}

#[tokio::test]
async fn an_id_that_spells_the_key_is_not_kept() {
    let told = json!({ "id": "file-key-12345678", "status": "processed" });
    let server = Server::of(vec![Answer::json(200, &told.to_string())]).await;
    let settings = json!({ "base_url": server.url(), "api_key": "key-12345678" });
    let asking = Asking::new("openai", &settings, "any").await;
    let folder = folder();
    std::fs::write(folder.path().join("a.pdf"), b"%PDF-1.4\n").expect("written");
    let input = json!({ "document": "@a.pdf", "prompt": "x", "options": { "upload": {} } });
    let failure = asking.ask(&input, folder.path()).await.expect_err("it is no id");
    assert_eq!(failure.message, "provider `mine` names a file by a secret");
}
