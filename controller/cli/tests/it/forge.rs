//! A forge as GitHub documents its API (docs.github.com/rest, version 2022-11-28), with its repositories behind
//! `git http-backend`, over HTTPS. It keeps what it is told, checks every field and every token, and remembers what no forge
//! would take.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// `owner/repository`.
const PROJECT: &str = "acme/fleet";
/// Each use has a token of its own.
const GIT: &str = "git-token";
/// Who shows a token that has no user of its own.
const TOKEN_USER: &str = "x-access-token";
const STATUSES: &str = "statuses-token";
const COMMENTS: &str = "comments-token";
const PULLS: &str = "pulls-token";
/// What it was told.
#[derive(Default)]
pub(crate) struct Told {
    /// Commit and status, in order.
    pub(crate) statuses: Vec<(String, Value)>,
    /// Comments on the pull request that brought a commit, as they read now.
    pub(crate) comments: Vec<String>,
    /// Pull requests that were opened.
    pub(crate) pulls: Vec<Value>,
    /// Commits that a pull request brought.
    pub(crate) brought: Vec<String>,
    /// Requests that no forge takes.
    pub(crate) strange: Vec<String>,
    /// Commit statuses are refused.
    pub(crate) statuses_refused: bool,
    /// The token for the repository was taken back.
    pub(crate) git_refused: bool,
    /// What else the repository was to be entered with: user and token.
    pub(crate) shown: BTreeSet<String>,
    /// The only user and token that the repository is entered with.
    git_user: String,
    git_token: String,
}

pub(crate) struct Forge {
    port: u16,
    folder: PathBuf,
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Forge {
    /// Starts below a folder, with one empty repository.
    pub(crate) fn start(folder: &Path) -> Self {
        let folder = folder.join("forge");
        fs::create_dir_all(&folder).expect("writable");
        let bare = folder.join("acme/fleet.git");
        let made = Command::new("git").args(["init", "--quiet", "--bare", "-b", "main"]).arg(&bare).status();
        assert!(made.expect("git starts").success());
        let names = ["127.0.0.1".to_owned()];
        let pki = hemline_hub::pki::open(&folder, &names, jiff::Timestamp::now()).expect("certificates");
        fs::write(folder.join("authority.pem"), &pki.ca_pem).expect("writable");
        for token in [GIT, STATUSES, COMMENTS, PULLS] {
            fs::write(folder.join(token), format!("{token}\n")).expect("writable");
        }
        let told = Told { git_user: TOKEN_USER.to_owned(), git_token: GIT.to_owned(), ..Told::default() };
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let mut forge =
            Self { port, folder, told: Arc::new(Mutex::new(told)), stop: Arc::default(), thread: None };
        forge.listen(listener, pki.server_config());
        forge
    }

    fn listen(&mut self, listener: TcpListener, tls: Arc<ServerConfig>) {
        let desk =
            Arc::new(Desk { folder: self.folder.clone(), port: self.port, told: Arc::clone(&self.told) });
        let stop = Arc::clone(&self.stop);
        self.thread = Some(std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (desk, tls) = (Arc::clone(&desk), Arc::clone(&tls));
                std::thread::spawn(move || {
                    let (Ok(stream), Ok(connection)) = (stream, ServerConnection::new(tls)) else { return };
                    desk.serve(StreamOwned::new(connection, stream));
                });
            }
        }));
    }

    /// The address of the repository.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}/{PROJECT}.git", self.port)
    }

    /// The repository itself.
    pub(crate) fn bare(&self) -> PathBuf {
        self.folder.join("acme/fleet.git")
    }

    /// What `hem up` has to be told to use all of it.
    pub(crate) fn options(&self) -> Vec<String> {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let pairs = [
            ("--branch", "main".to_owned()),
            ("--interval", "1s".to_owned()),
            ("--status-every", "1s".to_owned()),
            ("--git-ca", file("authority.pem")),
            ("--git-token-file", file(GIT)),
            ("--forge", "github".to_owned()),
            ("--forge-status-token-file", file(STATUSES)),
            ("--forge-comment-token-file", file(COMMENTS)),
            ("--forge-pull-token-file", file(PULLS)),
        ];
        pairs.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
    }

    /// From here on the repository is entered with this token; whoever shows another one is remembered.
    pub(crate) fn wants_token(&self, token: &str) {
        token.clone_into(&mut self.told().git_token);
    }

    /// From here on the repository is entered by this user, as with a deploy token or a password.
    pub(crate) fn wants_user(&self, user: &str) {
        user.clone_into(&mut self.told().git_user);
    }

    /// The file that `hem` reads the token for the repository from.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.folder.join(GIT)
    }

    /// The only authority of its certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// What it was told so far.
    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The statuses of a commit, in order: state and description.
    pub(crate) fn statuses(&self, commit: &str) -> Vec<(String, String)> {
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let told = self.told();
        let own = told.statuses.iter().filter(|(of, _)| of == commit);
        own.map(|(_, status)| (text(status, "state"), text(status, "description"))).collect()
    }

    /// Runs `git` in the repository; `None` when it fails.
    pub(crate) fn git(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(self.bare())
            .stderr(Stdio::null())
            .output()
            .expect("git starts");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

impl Drop for Forge {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Answers one request after the other, each on a connection of its own.
struct Desk {
    folder: PathBuf,
    port: u16,
    told: Arc<Mutex<Told>>,
}

struct Asked {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Asked {
    fn read(reader: &mut impl std::io::BufRead) -> Option<Self> {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut asked = Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) => asked.headers.push((name.to_ascii_lowercase(), value.to_owned())),
                None => break,
            }
        }
        asked.body = vec![0; asked.header("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut asked.body).ok()?;
        Some(asked)
    }

    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(have, _)| have == name).map_or("", |(_, value)| value.as_str())
    }

    /// The members of the body, which must be these.
    fn members<const N: usize>(&self, names: [&str; N]) -> Result<[Value; N], String> {
        let body: Value = serde_json::from_slice(&self.body).map_err(|error| error.to_string())?;
        let object = body.as_object().ok_or("no object")?;
        let mut have: Vec<&str> = object.keys().map(String::as_str).collect();
        let mut wanted = names.to_vec();
        have.sort_unstable();
        wanted.sort_unstable();
        if have != wanted {
            return Err(format!("{have:?} instead of {wanted:?}"));
        }
        Ok(names.map(|name| object[name].clone()))
    }
}

impl Desk {
    /// May the repository be entered so? What was shown and is not right is remembered.
    fn enters(&self, shown: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let right = format!("Basic {}", STANDARD.encode(format!("{}:{}", told.git_user, told.git_token)));
        if !shown.is_empty() && shown != right {
            let shown = shown.strip_prefix("Basic ").and_then(|shown| STANDARD.decode(shown).ok());
            let shown = shown.map(|shown| String::from_utf8_lossy(&shown).into_owned());
            told.shown.insert(shown.unwrap_or_default());
        }
        shown == right && !told.git_refused
    }

    fn serve(&self, stream: impl Read + Write) {
        let mut reader = BufReader::new(stream);
        let Some(asked) = Asked::read(&mut reader) else { return };
        let (status, head, content) = match asked.path.strip_prefix("/api/v3/") {
            Some(path) => {
                let (status, answer) = self.api(path, &asked);
                (
                    status.to_string(),
                    "Content-Type: application/json".to_owned(),
                    answer.to_string().into_bytes(),
                )
            }
            None if !self.enters(asked.header("authorization")) => {
                ("401 Unauthorized".to_owned(), "WWW-Authenticate: Basic".to_owned(), Vec::new())
            }
            None => self.backend(&asked),
        };
        let stream = reader.get_mut();
        let length = content.len();
        // A client that went away is no failure.
        drop(write!(
            stream,
            "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{head}\r\n\r\n"
        ));
        drop(stream.write_all(&content));
        drop(stream.flush());
    }

    fn api(&self, path: &str, asked: &Asked) -> (u16, Value) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = self.answer(path, asked, &mut told);
        answer.unwrap_or_else(|(status, why)| {
            if status != 403 {
                told.strange.push(format!("{} {path}: {why}", asked.method));
            }
            (status, json!({ "message": why }))
        })
    }

    fn answer(&self, path: &str, asked: &Asked, told: &mut Told) -> Result<(u16, Value), (u16, String)> {
        let wrong = |why: String| (422, why);
        let path = path.strip_prefix("repos/acme/fleet/").ok_or((404, "Not Found".to_owned()))?;
        let parts: Vec<&str> = path.split('/').collect();
        let token = |name: &str| {
            let right = asked.header("authorization") == format!("Bearer {name}");
            let named = asked.header("x-github-api-version") == "2022-11-28"
                && asked.header("accept") == "application/vnd.github+json"
                && !asked.header("user-agent").is_empty();
            match (right, named) {
                (true, true) => Ok(()),
                (false, _) => Err((403, "Resource not accessible".to_owned())),
                (true, false) => Err((400, "headers".to_owned())),
            }
        };
        match (asked.method.as_str(), parts.as_slice()) {
            ("POST", ["statuses", commit]) => {
                token(STATUSES)?;
                if told.statuses_refused {
                    return Err((403, "Resource not accessible by personal access token".to_owned()));
                }
                let [state, context, description] =
                    asked.members(["state", "context", "description"]).map_err(wrong)?;
                let known = ["error", "failure", "pending", "success"];
                let short = description.as_str().is_some_and(|text| text.chars().count() <= 140);
                if !known.iter().any(|known| state == *known) || !short || context != "hemline" {
                    return Err((422, format!("{state} {context} {description}")));
                }
                let status = json!({ "state": state, "context": context, "description": description });
                told.statuses.push(((*commit).to_owned(), status.clone()));
                Ok((201, status))
            }
            (_, ["commits", ..] | ["issues", ..]) => {
                token(COMMENTS)?;
                commented(asked, &parts, told)
            }
            ("GET", ["pulls"]) => {
                token(PULLS)?;
                if !asked.query.starts_with("state=open&head=acme%3A") {
                    return Err((422, asked.query.clone()));
                }
                Ok((200, told.pulls.clone().into()))
            }
            ("POST", ["pulls"]) => {
                token(PULLS)?;
                let [title, head, base, body] =
                    asked.members(["title", "head", "base", "body"]).map_err(wrong)?;
                let branch = format!("acme/fleet.git/refs/heads/{}", head.as_str().unwrap_or_default());
                if !self.folder.join(branch).exists() || base != "main" {
                    return Err((422, format!("no commits between {base} and {head}")));
                }
                let number = 8 + told.pulls.len();
                let page = format!("https://127.0.0.1:{}/{PROJECT}/pull/{number}", self.port);
                let pull = json!({
                    "number": number, "html_url": page, "title": title, "body": body,
                    "head": { "ref": head }, "base": { "ref": base },
                });
                told.pulls.push(pull.clone());
                Ok((201, pull))
            }
            _ => Err((404, "Not Found".to_owned())),
        }
    }

    /// Git's own server program.
    fn backend(&self, asked: &Asked) -> (String, String, Vec<u8>) {
        let options =
            [("safe.directory", "*"), ("http.receivepack", "true"), ("uploadpack.allowFilter", "true")];
        let mut command = Command::new("git");
        for (index, (key, value)) in options.iter().enumerate() {
            command
                .env(format!("GIT_CONFIG_KEY_{index}"), key)
                .env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        let child = command
            .arg("http-backend")
            .env("GIT_CONFIG_COUNT", options.len().to_string())
            .env("GIT_PROJECT_ROOT", &self.folder)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REQUEST_METHOD", &asked.method)
            .env("PATH_INFO", &asked.path)
            .env("QUERY_STRING", &asked.query)
            .env("CONTENT_TYPE", asked.header("content-type"))
            .env("HTTP_CONTENT_ENCODING", asked.header("content-encoding"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.expect("git starts");
        drop(child.stdin.take().expect("piped").write_all(&asked.body));
        let output = child.wait_with_output().expect("git ends").stdout;
        let end = output.windows(4).position(|part| part == b"\r\n\r\n").unwrap_or(0);
        let head = String::from_utf8_lossy(&output[..end]).into_owned();
        let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200").to_owned();
        (status, head, output.get(end + 4..).unwrap_or_default().to_vec())
    }
}

/// Comments on the pull request that brought a commit.
fn commented(asked: &Asked, parts: &[&str], told: &mut Told) -> Result<(u16, Value), (u16, String)> {
    match (asked.method.as_str(), parts) {
        ("GET", ["commits", commit, "pulls"]) => {
            let brought = told.brought.iter().any(|one| one == commit);
            Ok((200, if brought { json!([{ "number": 7, "state": "closed" }]) } else { json!([]) }))
        }
        ("GET", ["issues", "7", "comments"]) => {
            let ours = told.comments.iter().enumerate();
            Ok((200, ours.map(|(id, body)| json!({ "id": id, "body": body })).collect()))
        }
        ("POST", ["issues", "7", "comments"]) => {
            let [body] = asked.members(["body"]).map_err(|why| (422, why))?;
            told.comments.push(body.as_str().unwrap_or_default().to_owned());
            Ok((201, json!({ "id": told.comments.len() - 1, "body": body })))
        }
        ("PATCH", ["issues", "comments", id]) => {
            let [body] = asked.members(["body"]).map_err(|why| (422, why))?;
            let there = id.parse::<usize>().ok().and_then(|id| told.comments.get_mut(id));
            let there = there.ok_or((404, "Not Found".to_owned()))?;
            *there = body.as_str().unwrap_or_default().to_owned();
            Ok((200, json!({ "body": body })))
        }
        _ => Err((404, "Not Found".to_owned())),
    }
}
