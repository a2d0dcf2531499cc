//! Forges as their documentation describes them: a server that keeps what was asked, checks each field, and answers in the
//! recorded shapes.
//!
//! GitHub: docs.github.com/rest (commit statuses, commits, issue comments, pulls; version 2022-11-28). GitLab:
//! docs.gitlab.com/api (commits, notes, merge requests). Gitea: the swagger document of its API, which Forgejo shares.

use hemline_testkit::git_is_here;
use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use hemline_model::{id::Revision, secret::Secret};
use hemline_sources::{
    ForgeConfig, ForgeKind, Git, GitConfig, News, Outcome, Phase, Reason, Revert, SecretText, Source as _,
};
use hemline_testkit::within;
use serde_json::{Value, json};

use super::repository::Repository;

const SOON: Duration = Duration::from_secs(20);
const COMMIT: &str = "6dcb09b5b57875f334f61aebed695e2e4193db5e";

/// A request as it came in.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) line: String,
    headers: Vec<(String, String)>,
    pub(super) body: Value,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(have, _)| have == name).map_or("", |(_, value)| value)
    }
}

type Script = VecDeque<(u16, Vec<(&'static str, String)>, Value)>;

/// Answers in the order of a script; whatever comes after it is a failure of the test.
pub(super) struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub(super) fn start(script: Vec<(u16, Value)>) -> Self {
        Self::with_headers(script.into_iter().map(|(status, body)| (status, Vec::new(), body)).collect())
    }

    fn with_headers(mut script: Script) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let mut line = String::new();
                if reader.read_line(&mut line).is_err() || line.is_empty() {
                    continue;
                }
                let mut headers = Vec::new();
                loop {
                    let mut header = String::new();
                    reader.read_line(&mut header).unwrap();
                    match header.trim_end().split_once(": ") {
                        Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
                        None => break,
                    }
                }
                let mut asked = Asked {
                    line: line.trim_end().trim_end_matches(" HTTP/1.1").to_owned(),
                    headers,
                    body: Value::Null,
                };
                let mut body = vec![0; asked.header("content-length").parse().unwrap_or(0)];
                reader.read_exact(&mut body).unwrap();
                if !body.is_empty() {
                    asked.body = serde_json::from_slice(&body).unwrap();
                }
                kept.lock().unwrap().push(asked);
                let unexpected = (500, Vec::new(), json!({ "message": "not in the script" }));
                let (status, headers, body) = script.pop_front().unwrap_or(unexpected);
                let body = body.to_string();
                let headers: String =
                    headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Type: application/json\r\n{headers}\
                     Content-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                drop(reader.get_mut().write_all(answer.as_bytes()));
            }
        });
        Self { port, asked }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

pub(super) fn token(text: &str) -> Option<SecretText> {
    Some(SecretText::Value(Secret::new(text)))
}

pub(super) fn config(kind: ForgeKind, server: &Server) -> ForgeConfig {
    let url = format!("http://127.0.0.1:{}/acme/fleet.git", server.port);
    ForgeConfig {
        every: Duration::from_millis(1),
        target_url: Some("https://hem.example/".to_owned()),
        ..ForgeConfig::of(&url, Some(kind)).unwrap()
    }
}

/// A source that tells this forge; where its documents come from plays no part.
fn source(repository: &Repository, forge: ForgeConfig) -> Git {
    let mirrors = tempfile::tempdir().unwrap();
    let config = GitConfig {
        forge: Some(forge),
        ..GitConfig::new(repository.path().display().to_string(), mirrors.path())
    };
    Git::open(config).unwrap()
}

fn outcome(phase: Phase, line: &str) -> Outcome {
    let revision = Revision::new(COMMIT).unwrap();
    Outcome { revision, phase, line: line.to_owned(), details: "| device | state |".to_owned() }
}

async fn tell(source: &mut Git, outcome: &Outcome) {
    source.tell(std::slice::from_ref(outcome));
    within(SOON, "the forge", source.settle()).await;
}

fn repository() -> Option<Repository> {
    git_is_here().then(|| {
        let repository = Repository::new();
        repository.commit("first", &[("a.yaml", "1")]);
        repository
    })
}

#[tokio::test]
async fn commit_statuses_say_where_a_commit_stands() {
    let Some(repository) = repository() else { return };
    let phases = [
        (Phase::Pending, "waits"),
        (Phase::Rolling { done: 2, all: 12 }, "canary"),
        (Phase::Healthy, "12 of 12 ready"),
        (Phase::Degraded, "press-01 is off"),
        (Phase::Halted, "camera exits 1"),
        (Phase::Reverted, "reverted: camera exits 1"),
    ];
    for (kind, path, header, shown, states) in [
        (
            ForgeKind::GitHub,
            "/api/v3/repos/acme/fleet",
            "authorization",
            "Bearer s3cret",
            ["pending", "pending", "success", "failure", "failure", "failure"],
        ),
        (
            ForgeKind::GitLab,
            "/api/v4/projects/acme%2Ffleet",
            "private-token",
            "s3cret",
            ["pending", "running", "success", "failed", "failed", "failed"],
        ),
        (
            ForgeKind::Gitea,
            "/api/v1/repos/acme/fleet",
            "authorization",
            "token s3cret",
            ["pending", "pending", "success", "failure", "failure", "failure"],
        ),
    ] {
        let server = Server::start(phases.iter().map(|_| (201, json!({ "id": 1 }))).collect());
        let forge = ForgeConfig { statuses: token("s3cret"), ..config(kind, &server) };
        let mut source = source(&repository, forge);
        for (phase, line) in phases {
            tell(&mut source, &outcome(phase, line)).await;
        }
        assert!(source.trouble().is_empty());
        let asked = server.asked();
        assert_eq!(asked.len(), phases.len());
        let descriptions = [
            "pending: waits",
            "rolling 2/12: canary",
            "healthy: 12 of 12 ready",
            "degraded: press-01 is off",
            "halted: camera exits 1",
            "reverted: camera exits 1",
        ];
        for ((asked, state), description) in asked.iter().zip(states).zip(descriptions) {
            assert_eq!(asked.line, format!("POST {path}/statuses/{COMMIT}"));
            assert_eq!(asked.header(header), shown);
            assert!(
                asked.header("user-agent").starts_with("hemline/"),
                "GitHub refuses callers without a name"
            );
            let wanted = json!({
                "state": state,
                "context": "hemline",
                "description": description,
                "target_url": "https://hem.example/",
            });
            assert_eq!(asked.body, wanted);
            if kind == ForgeKind::GitHub {
                assert_eq!(asked.header("accept"), "application/vnd.github+json");
                assert_eq!(asked.header("x-github-api-version"), "2022-11-28");
            }
        }
    }
}

#[tokio::test]
async fn a_long_line_fits_and_gitlab_may_not_move_to_where_it_is() {
    let Some(repository) = repository() else { return };
    let refused = json!({ "message": "Cannot transition status via :enqueue from :pending (Reason(s): Status cannot transition via \"enqueue\")" });
    let server = Server::start(vec![(400, refused)]);
    let mut source =
        source(&repository, ForgeConfig { statuses: token("x"), ..config(ForgeKind::GitLab, &server) });
    tell(&mut source, &outcome(Phase::Pending, &"ä".repeat(500))).await;
    assert!(source.trouble().is_empty());
    let description = server.asked()[0].body["description"].as_str().unwrap().to_owned();
    assert_eq!(description.chars().count(), 140);
}

#[tokio::test]
async fn one_comment_is_written_and_written_over() {
    let Some(repository) = repository() else { return };
    let marker = "<!-- hemline:outcome:hemline -->";
    for (kind, pull, pulls, comments, old) in [
        (
            ForgeKind::GitHub,
            json!([{ "number": 6, "state": "closed" }, { "number": 7, "state": "open" }]),
            format!("GET /api/v3/repos/acme/fleet/commits/{COMMIT}/pulls"),
            "/api/v3/repos/acme/fleet/issues/7/comments",
            "PATCH /api/v3/repos/acme/fleet/issues/comments/42",
        ),
        (
            ForgeKind::GitLab,
            json!([{ "id": 900, "iid": 7, "state": "merged" }]),
            format!("GET /api/v4/projects/acme%2Ffleet/repository/commits/{COMMIT}/merge_requests"),
            "/api/v4/projects/acme%2Ffleet/merge_requests/7/notes",
            "PUT /api/v4/projects/acme%2Ffleet/merge_requests/7/notes/42",
        ),
        (
            ForgeKind::Gitea,
            json!({ "id": 900, "number": 7, "state": "closed" }),
            format!("GET /api/v1/repos/acme/fleet/commits/{COMMIT}/pull"),
            "/api/v1/repos/acme/fleet/issues/7/comments",
            "PATCH /api/v1/repos/acme/fleet/issues/comments/42",
        ),
    ] {
        // Somebody quotes our marker: that comment is not ours. Ours is on the second page.
        let mut page: Vec<Value> = (100..199).map(|id| json!({ "id": id, "body": "hello" })).collect();
        page.push(json!({ "id": 41, "body": format!("> {marker}") }));
        let ours = json!([{ "id": 42, "body": format!("{marker}\n**pending: waits**") }]);
        let server = Server::start(vec![
            (200, pull.clone()),
            (200, json!([])),
            (201, json!({ "id": 42 })),
            (200, pull),
            (200, json!(page)),
            (200, ours),
            (200, json!({ "id": 42 })),
        ]);
        let mut source =
            source(&repository, ForgeConfig { comments: token("s3cret"), ..config(kind, &server) });
        tell(&mut source, &outcome(Phase::Pending, "waits")).await;
        tell(&mut source, &outcome(Phase::Healthy, "all is well")).await;
        assert!(source.trouble().is_empty());
        let asked = server.asked();
        let lines = server.lines();
        assert_eq!((&lines[0], &lines[3]), (&pulls, &pulls));
        let first_page = lines[1].strip_prefix(&format!("GET {comments}?")).unwrap().to_owned();
        assert!(first_page.contains("page=1") && first_page.contains("100"), "{first_page}");
        assert_eq!(lines[2], format!("POST {comments}"));
        assert_eq!(
            asked[2].body,
            json!({ "body": format!("{marker}\n**pending: waits**\n\n| device | state |") })
        );
        assert!(lines[5].ends_with("page=2"), "{}", lines[5]);
        assert_eq!(lines[6], old);
        assert_eq!(
            asked[6].body,
            json!({ "body": format!("{marker}\n**healthy: all is well**\n\n| device | state |") })
        );
        assert_eq!(lines.len(), 7);
    }
}

#[tokio::test]
async fn a_commit_without_pull_request_gets_no_comment() {
    let Some(repository) = repository() else { return };
    for (kind, status, answer) in [
        (ForgeKind::GitHub, 200, json!([])),
        (ForgeKind::GitLab, 200, json!([])),
        (ForgeKind::Gitea, 404, json!({ "message": "pull request not found" })),
    ] {
        let server = Server::start(vec![(status, answer)]);
        let mut source = source(&repository, ForgeConfig { comments: token("x"), ..config(kind, &server) });
        tell(&mut source, &outcome(Phase::Healthy, "fine")).await;
        assert!(source.trouble().is_empty());
        assert_eq!(server.asked().len(), 1, "{kind:?}");
    }
}

#[tokio::test]
async fn a_token_without_the_right_closes_its_channel_and_no_other() {
    let Some(repository) = repository() else { return };
    for (status, words) in [(401, "Bad credentials"), (403, "Resource not accessible"), (404, "Not Found")] {
        // One answer says no; the other channel is served in whatever order the two come.
        let refusing = Server::start(vec![(status, json!({ "message": words })); 1]);
        let mut refused = source(
            &repository,
            ForgeConfig { statuses: token("weak"), ..config(ForgeKind::GitHub, &refusing) },
        );
        refused.tell(&[outcome(Phase::Pending, "waits")]);
        // Whoever waits for the source hears of it.
        within(SOON, "the refusal", async { while refused.changed().await != News::Trouble {} }).await;
        let trouble = refused.trouble();
        assert_eq!(trouble[0].reason, Reason::CommitStatus);
        let trouble = trouble[0].to_string();
        assert!(trouble.contains(words) && trouble.contains(&status.to_string()), "{trouble}");
        assert!(!trouble.contains("weak"), "{trouble}");
        // News does not make it ask again: the channel is closed for an hour.
        refused.tell(&[outcome(Phase::Healthy, "fine")]);
        assert!(tokio::time::timeout(Duration::from_millis(100), refused.changed()).await.is_err());
        assert_eq!(refusing.asked().len(), 1);

        let server = Server::start(vec![(200, json!([]))]);
        let both = ForgeConfig { comments: token("good"), ..config(ForgeKind::GitHub, &server) };
        let mut other = source(&repository, both);
        tell(&mut other, &outcome(Phase::Pending, "waits")).await;
        assert!(other.trouble().is_empty());
    }
}

#[tokio::test]
async fn the_pace_of_the_forge_is_kept_and_is_no_trouble() {
    let Some(repository) = repository() else { return };
    let limited = vec![("Retry-After", "1".to_owned())];
    let server = Server::with_headers(VecDeque::from([
        (429, limited, json!({ "message": "slow down" })),
        (201, Vec::new(), json!({ "id": 1 })),
    ]));
    let mut source =
        source(&repository, ForgeConfig { statuses: token("x"), ..config(ForgeKind::GitHub, &server) });
    let begun = std::time::Instant::now();
    tell(&mut source, &outcome(Phase::Pending, "waits")).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "it waited as told");
    assert_eq!(server.asked().len(), 2);
    assert!(source.trouble().is_empty());
}

#[tokio::test]
async fn each_commit_hears_its_end_however_soon_the_next_one_comes() {
    let Some(repository) = repository() else { return };
    let [halted, passed_over, newest] = ["1111111", "2222222", "3333333"].map(|short| short.repeat(5));
    for (kind, failed, superseded) in [
        (ForgeKind::GitHub, "failure", "pending"),
        (ForgeKind::GitLab, "failed", "canceled"),
        (ForgeKind::Gitea, "failure", "pending"),
    ] {
        let busy = (429, vec![("Retry-After", "1".to_owned())], json!({ "message": "slow down" }));
        let taken = || (201, Vec::new(), json!({ "id": 1 }));
        let server = Server::with_headers(VecDeque::from([busy, taken(), taken(), taken()]));
        let forge = ForgeConfig { statuses: token("x"), ..config(kind, &server) };
        let mut source = source(&repository, forge);
        for (commit, phase, line) in [
            (&halted, Phase::Rolling { done: 1, all: 12 }, "canary"),
            (&halted, Phase::Halted, "camera exits 1"),
            (&passed_over, Phase::Pending, "waits"),
            (&passed_over, Phase::Rolling { done: 1, all: 12 }, "canary"),
            (&newest, Phase::Pending, "waits"),
        ] {
            let revision = Revision::new(commit.as_str()).unwrap();
            source.tell(&[Outcome { revision, ..outcome(phase, line) }]);
        }
        within(SOON, "the forge", source.settle()).await;
        assert!(source.trouble().is_empty());
        let told = server.asked().into_iter().skip(1).map(|asked| {
            let commit = asked.line.rsplit('/').next().unwrap().to_owned();
            let word = |name: &str| asked.body[name].as_str().unwrap().to_owned();
            (commit, word("state"), word("description"))
        });
        let wanted = [
            (&halted, failed, "halted: camera exits 1"),
            (&passed_over, superseded, "superseded by 3333333 before every device had it"),
            (&newest, "pending", "pending: waits"),
        ];
        let wanted = wanted.map(|(commit, state, says)| (commit.clone(), state.to_owned(), says.to_owned()));
        assert_eq!(told.collect::<Vec<_>>(), wanted, "{kind:?}");
    }
}

#[tokio::test]
async fn a_commit_that_the_forge_cannot_bear_holds_up_no_other() {
    let Some(repository) = repository() else { return };
    let broken = (500, json!({ "message": "object does not exist" }));
    let server = Server::start(vec![broken, (201, json!({ "id": 1 })), (201, json!({ "id": 2 }))]);
    let forge = ForgeConfig { statuses: token("x"), ..config(ForgeKind::Gitea, &server) };
    let mut source = source(&repository, forge);
    source.tell(&[outcome(Phase::Halted, "camera exits 1")]);
    let next = "3333333".repeat(5);
    let revision = Revision::new(next.as_str()).unwrap();
    source.tell(&[Outcome { revision, ..outcome(Phase::Pending, "waits") }]);
    let all = async {
        while server.asked().len() < 3 || !source.trouble().is_empty() {
            // Whoever waits for the source hears of trouble that comes and goes.
            drop(tokio::time::timeout(Duration::from_millis(50), source.changed()).await);
        }
    };
    within(SOON, "both are told", all).await;
    let asked = server.lines();
    let of = |line: &String| line.rsplit('/').next().unwrap().to_owned();
    assert_eq!(asked.iter().map(of).collect::<Vec<_>>(), [COMMIT, next.as_str(), COMMIT]);
}

#[tokio::test]
async fn a_revert_is_a_branch_with_evidence_and_a_pull_request() {
    let Some(_) = repository() else { return };
    for (kind, listed, opened) in [
        (
            ForgeKind::GitHub,
            "GET /api/v3/repos/acme/fleet/pulls?state=open&head=acme%3A",
            "POST /api/v3/repos/acme/fleet/pulls",
        ),
        (
            ForgeKind::GitLab,
            "GET /api/v4/projects/acme%2Ffleet/merge_requests?state=opened&source_branch=",
            "POST /api/v4/projects/acme%2Ffleet/merge_requests",
        ),
        (
            ForgeKind::Gitea,
            "GET /api/v1/repos/acme/fleet/pulls?state=open",
            "POST /api/v1/repos/acme/fleet/pulls",
        ),
    ] {
        let repository = Repository::new();
        let good = repository.commit("good", &[("fleet/a.yaml", "1"), ("other/x", "1")]);
        let bad = repository.commit("new camera", &[("fleet/a.yaml", "2"), ("fleet/b.yaml", "3")]);
        let head = repository.commit("unrelated", &[("other/x", "2")]);
        let branch = format!("hemline/revert-{}", &bad[..7]);
        let pull = json!({
            "head": { "ref": branch }, "source_branch": branch,
            "html_url": "https://forge/7", "web_url": "https://forge/7",
        });
        let server = Server::start(vec![(200, json!([])), (201, pull.clone()), (200, json!([pull]))]);
        let mirrors = tempfile::tempdir().unwrap();
        let config = GitConfig {
            folder: "fleet".into(),
            forge: Some(ForgeConfig { pulls: token("s3cret"), ..config(kind, &server) }),
            ..GitConfig::new(repository.path().display().to_string(), mirrors.path())
        };
        let source = Git::open(config).unwrap();
        let revert = Revert {
            good: Revision::new(good.as_str()).unwrap(),
            bad: Revision::new(bad.as_str()).unwrap(),
            evidence: "camera on press-01 exits 1 (5 restarts in 2 min)".to_owned(),
        };
        let mut commits = Vec::new();
        // Proposed twice, as after a restart: one branch, one commit, one pull request.
        for _ in 0..2 {
            let proposed = source.proposer().propose(&revert).await.unwrap().unwrap();
            assert_eq!(proposed.branch, branch);
            assert_eq!(proposed.pull.unwrap().unwrap(), "https://forge/7");
            commits.push(proposed.commit);
        }
        assert_eq!(commits[0], commits[1]);
        assert_eq!(repository.git(&["rev-parse", &format!("{branch}~1")]), head);
        assert_eq!(repository.git(&["rev-parse", "main"]), head, "main is for people");
        assert_eq!(repository.show(&branch, "fleet/a.yaml").as_deref(), Some("1"));
        assert_eq!(repository.show(&branch, "fleet/b.yaml"), None);
        assert_eq!(repository.show(&branch, "other/x").as_deref(), Some("2"), "other folders stay");
        let message = repository.git(&["log", "-1", "--format=%B", &branch]);
        assert!(message.starts_with("Revert \"new camera\"\n"), "{message}");
        assert!(
            message.contains("5 restarts in 2 min") && message.contains(&format!("Hemline-Reverts: {bad}"))
        );

        let (lines, asked) = (server.lines(), server.asked());
        assert!(lines[0].starts_with(listed), "{}", lines[0]);
        assert_eq!(lines[1], opened);
        let title = format!("Go back to {}", &good[..7]);
        let wanted = match kind {
            ForgeKind::GitLab => json!({
                "title": title, "source_branch": branch, "target_branch": "main", "description": revert.evidence,
            }),
            ForgeKind::GitHub | ForgeKind::Gitea => {
                json!({ "title": title, "head": branch, "base": "main", "body": revert.evidence })
            }
        };
        assert_eq!(asked[1].body, wanted);
        assert_eq!(lines.len(), 3, "the second proposal finds the first one's");

        // Once the documents are back there is nothing to propose.
        repository.git(&["merge", "--quiet", "--ff-only", &branch]);
        assert!(source.proposer().propose(&revert).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_revert_goes_to_a_remote_too_and_needs_a_branch() {
    if !git_is_here() {
        return;
    }
    let (_root, repository, path) = super::server::hosted();
    let good = repository.commit("good", &[("fleet/a.yaml", "1")]);
    let bad = repository.commit("bad", &[("fleet/a.yaml", "2")]);
    for (filters, tips_only) in [(false, false), (true, false), (false, true), (true, true)] {
        let like = super::server::Like { writable: true, filters, tips_only, ..Default::default() };
        let server = super::server::Server::start(&path, &like);
        let mirrors = tempfile::tempdir().unwrap();
        let config = GitConfig { folder: "fleet".into(), ..GitConfig::new(server.url(), mirrors.path()) };
        let revert = Revert {
            good: Revision::new(good.as_str()).unwrap(),
            bad: Revision::new(bad.as_str()).unwrap(),
            evidence: "it burns".to_owned(),
        };
        let proposed = Git::open(config.clone()).unwrap().proposer().propose(&revert).await.unwrap().unwrap();
        assert!(proposed.pull.is_none());
        assert_eq!(repository.show(&proposed.branch, "fleet/a.yaml").as_deref(), Some("1"));
        assert_eq!(repository.git(&["rev-parse", &format!("{}~1", proposed.branch)]), bad);
        let fixed = Git::open(GitConfig { reference: good.clone(), ..config }).unwrap();
        let failure = fixed.proposer().propose(&revert).await.unwrap_err();
        assert!(failure.to_string().contains("needs a branch"), "{failure}");
        repository.git(&["branch", "-D", &proposed.branch]);
    }
}

#[tokio::test]
async fn a_revert_of_a_root_takes_nothing_back_but_documents() {
    if !git_is_here() {
        return;
    }
    let repository = Repository::new();
    let good = repository.commit(
        "good",
        &[
            ("a.yaml", "1"),
            ("sites/b.yaml", "1"),
            ("gone.yaml", "1"),
            ("main.rs", "1"),
            (".ci/run.yaml", "1"),
        ],
    );
    repository.git(&["rm", "--quiet", "gone.yaml"]);
    let bad = repository.commit("bad", &[("a.yaml", "2"), ("sites/b.yaml", "2"), ("new/c.yaml", "2")]);
    let later = [
        ("main.rs", "2"),
        ("sites/notes.md", "2"),
        (".ci/run.yaml", "2"),
        ("status/s.yaml", "2"),
        ("README.md", "2"),
        ("late/d.yaml", "2"),
        ("late/e.txt", "2"),
    ];
    let head = repository.commit("work that has nothing to do with it", &later);
    let mirrors = tempfile::tempdir().unwrap();
    let config = GitConfig::new(repository.path().display().to_string(), mirrors.path());
    let revert = Revert {
        good: Revision::new(good.as_str()).unwrap(),
        bad: Revision::new(bad.as_str()).unwrap(),
        evidence: "it burns".to_owned(),
    };
    let proposer = Git::open(config).unwrap().proposer();
    let branch = proposer.propose(&revert).await.unwrap().unwrap().branch;
    assert_eq!(repository.git(&["rev-parse", &format!("{branch}~1")]), head);
    let listed = repository.git(&["ls-tree", "-r", "--name-only", &branch]);
    let found: Vec<_> =
        listed.lines().map(|path| (path, repository.show(&branch, path).unwrap_or_default())).collect();
    let found: Vec<_> = found.iter().map(|(path, text)| (*path, text.as_str())).collect();
    assert_eq!(
        found,
        [
            (".ci/run.yaml", "2"),
            ("README.md", "2"),
            ("a.yaml", "1"),
            ("gone.yaml", "1"),
            ("late/e.txt", "2"),
            ("main.rs", "2"),
            ("sites/b.yaml", "1"),
            ("sites/notes.md", "2"),
            ("status/s.yaml", "2"),
        ]
    );
    repository.git(&["merge", "--quiet", "--ff-only", &branch]);
    assert!(proposer.propose(&revert).await.unwrap().is_none(), "documents are back");
}
