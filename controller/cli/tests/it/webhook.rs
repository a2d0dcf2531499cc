//! Webhooks of each forge, with bodies as they send them: what is signed right wakes a source that would sleep for an hour,
//! anything else wakes nobody. Which header counts how is tested where it is judged (`sources/src/webhook.rs`).

use std::{fs, path::PathBuf, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hemline_protocol::sas::SymmetricKey;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::{
    credentials::{device, every},
    git_source::webhook,
    hem::Hem,
    repository::{git_is_here, origin_and_clone, push},
};

/// A repository that nobody looks at for an hour, and what its forge signs with.
struct Asleep {
    hem: Hem,
    ca: PathBuf,
    clone: PathBuf,
    body: PathBuf,
    key: SymmetricKey,
    pushed: u32,
}

impl Asleep {
    fn new(secret: &str, key: &[u8]) -> Self {
        let (folder, origin, clone) = origin_and_clone();
        push(&clone, &device("press", 0), "first");
        let file = folder.path().join("secret");
        fs::write(&file, format!("{secret}\n")).expect("writable");
        let (body, file) = (folder.path().join("body"), file.display().to_string());
        let options = ["--branch", "main", "--interval", "1h", "--status-branch", "off"];
        let options = [&options[..], &["--webhook-secret-file", &file]].concat();
        let hem = Hem::up_from(folder, &format!("file://{}", origin.display()), &options);
        hem.eventually("the first commit is in force", |hem| (every(hem, "press") == Some(0)).then_some(()));
        let (ca, key) = (hem.ca_file(), SymmetricKey::from_bytes(key.to_vec()).expect("long enough"));
        Self { hem, ca, clone, body, key, pushed: 0 }
    }

    /// Posts a body; the HTTP status.
    fn post(&self, headers: &[String], body: &[u8]) -> String {
        fs::write(&self.body, body).expect("writable");
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        webhook(&self.hem, &self.ca, "default", &headers, &format!("@{}", self.body.display()))
    }

    /// One more commit; what was there before stays in force until somebody says something.
    fn push(&mut self) -> String {
        self.pushed += 1;
        push(&self.clone, &device("press", self.pushed), "one more")
    }

    fn is_in_force(&self, what: &str) {
        let wanted = Some(u64::from(self.pushed));
        self.hem.eventually(what, |hem| (every(hem, "press") == wanted).then_some(()));
    }

    fn still_sleeps(&self) {
        assert_eq!(every(&self.hem, "press"), Some(u64::from(self.pushed - 1)), "strangers wake nobody");
    }

    fn hex(&self, body: &[u8]) -> String {
        self.key.sign(body).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The members of a push that the documentation of each forge names; the commits are ours.
fn pushed(forge: &str, commit: &str) -> Vec<u8> {
    let before = "0".repeat(40);
    let author = json!({"name": "Ann", "email": "ann@example.org", "username": "ann"});
    let one = json!({
        "id": commit, "message": "Measure twice as often\n", "timestamp": "2026-01-02T03:04:05Z",
        "url": format!("https://forge.example/acme/fleet/commit/{commit}"),
        "author": author, "added": [], "removed": [], "modified": ["fleet.yaml"],
    });
    let body = if forge == "gitlab" {
        json!({
            "object_kind": "push", "event_name": "push", "before": before, "after": commit,
            "ref": "refs/heads/main", "checkout_sha": commit, "user_username": "ann", "project_id": 15,
            "project": {"id": 15, "path_with_namespace": "acme/fleet", "default_branch": "main"},
            "commits": [one], "total_commits_count": 1,
        })
    } else {
        json!({
            "ref": "refs/heads/main", "before": before, "after": commit, "created": false, "deleted": false,
            "compare_url": "https://forge.example/acme/fleet/compare", "total_commits": 1,
            "repository": {"id": 7, "full_name": "acme/fleet", "private": true, "default_branch": "main"},
            "pusher": author, "sender": {"login": "ann", "id": 1}, "commits": [one], "head_commit": one,
        })
    };
    body.to_string().into_bytes()
}

fn parts_are_here() -> bool {
    let curl = Command::new("curl").arg("--version").output().is_ok();
    git_is_here() && hemline_testkit::require("curl", curl, "apt-get install curl")
}

const SECRET: &str = "what only the forge and the hub know";

#[test]
fn the_push_of_each_forge_wakes_and_a_forged_one_does_not() {
    if !parts_are_here() {
        return;
    }
    let mut asleep = Asleep::new(SECRET, SECRET.as_bytes());
    for (forge, event, header, prefix) in [
        ("github", "X-GitHub-Event: push", "X-Hub-Signature-256", "sha256="),
        ("gitea", "X-Gitea-Event: push", "X-Gitea-Signature", ""),
        ("forgejo", "X-Forgejo-Event: push", "X-Forgejo-Signature", ""),
    ] {
        let body = pushed(forge, &asleep.push());
        let headers = |hex: &str| {
            [
                "Content-Type: application/json".to_owned(),
                event.to_owned(),
                format!("{header}: {prefix}{hex}"),
            ]
        };
        let right = asleep.hex(&body);
        let wrong = asleep.hex(b"another body");
        for signature in [wrong.as_str(), &right[..62], ""] {
            assert_eq!(asleep.post(&headers(signature), &body), "401", "{forge} {signature:?}");
        }
        // Of this signature, but with one more space.
        assert_eq!(asleep.post(&headers(&right), &[&body[..], b" "].concat()), "401", "{forge}");
        assert_eq!(asleep.post(&headers(&right)[..2], &body), "401", "{forge} without a signature");
        asleep.still_sleeps();
        assert_eq!(asleep.post(&headers(&right), &body), "200", "{forge}");
        asleep.is_in_force(forge);
    }

    // GitLab's older form: the secret itself.
    let body = pushed("gitlab", &asleep.push());
    let headers = |token: &str| ["X-Gitlab-Event: Push Hook".to_owned(), format!("X-Gitlab-Token: {token}")];
    assert_eq!(asleep.post(&headers("what nobody knows"), &body), "401");
    asleep.still_sleeps();
    assert_eq!(asleep.post(&headers(SECRET), &body), "200");
    asleep.is_in_force("gitlab's token");
}

#[test]
fn a_push_that_gitlab_signs_wakes_once_and_not_when_it_is_old() {
    if !parts_are_here() {
        return;
    }
    let key: Vec<u8> = (1..=32).collect();
    let mut asleep = Asleep::new(&format!("whsec_{}", STANDARD.encode(&key)), &key);
    let body = pushed("gitlab", &asleep.push());
    let signed = |asleep: &Asleep, at: Timestamp, body: &[u8]| {
        let head = format!("d3b07384.{}.", at.as_second());
        let signature = STANDARD.encode(asleep.key.sign(&[head.as_bytes(), body].concat()));
        [
            "X-Gitlab-Event: Push Hook".to_owned(),
            "webhook-id: d3b07384".to_owned(),
            format!("webhook-timestamp: {}", at.as_second()),
            format!("webhook-signature: v1,{signature}"),
        ]
    };
    let now = Timestamp::now();
    let old = signed(&asleep, now - SignedDuration::from_mins(10), &body);
    assert_eq!(asleep.post(&old, &body), "401", "sent again later");
    assert_eq!(asleep.post(&signed(&asleep, now, b"{}"), &body), "401", "another body");
    assert_eq!(asleep.post(&signed(&asleep, now, &body)[..3], &body), "401", "no signature");
    asleep.still_sleeps();
    assert_eq!(asleep.post(&signed(&asleep, now, &body), &body), "200");
    asleep.is_in_force("gitlab's signature");
}

#[test]
fn a_body_above_the_bound_is_not_read_however_it_is_signed() {
    if !parts_are_here() {
        return;
    }
    let mut asleep = Asleep::new(SECRET, SECRET.as_bytes());
    let mut body = pushed("github", &asleep.push());
    body.resize(hemline_sources::WEBHOOK_AT_MOST + 1, b' ');
    let headers =
        |asleep: &Asleep, body: &[u8]| [format!("X-Hub-Signature-256: sha256={}", asleep.hex(body))];
    assert_eq!(asleep.post(&headers(&asleep, &body), &body), "413");
    asleep.still_sleeps();
    // The largest that is read.
    body.truncate(hemline_sources::WEBHOOK_AT_MOST);
    assert_eq!(asleep.post(&headers(&asleep, &body), &body), "200");
    asleep.is_in_force("a body of the very bound");
}
