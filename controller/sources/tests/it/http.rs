//! Smart HTTP: `git http-backend` behind a CGI server of a few lines.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use hemline_sources::{Bounds, Git, GitConfig, Source as _, SourceError};
use hemline_testkit::within;

use super::repository::{Repository, git_is_here};

const SOON: Duration = Duration::from_secs(20);

struct Server {
    port: u16,
    stop: Arc<AtomicBool>,
    /// Requests for a pack so far.
    packs: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(root: &Path) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, packs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (root, stopped, counted) = (root.to_path_buf(), Arc::clone(&stop), Arc::clone(&packs));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                serve(&stream.unwrap(), &root, &counted);
            }
        });
        Self { port, stop, packs, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/fleet/.git", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// One request, one answer, connection closed.
fn serve(stream: &TcpStream, root: &Path, packs: &AtomicUsize) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line).is_err() {
        return;
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return };
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let header =
        |name: &str| headers.iter().find(|(have, _)| have == name).map_or("", |(_, value)| value.as_str());
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    if path.ends_with("git-upload-pack") {
        packs.fetch_add(1, Ordering::SeqCst);
    }
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&body).unwrap();
    let output = child.wait_with_output().unwrap().stdout;
    let end = output.windows(4).position(|part| part == b"\r\n\r\n").unwrap_or(0);
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK").to_owned();
    let mut stream = stream;
    let content = output.get(end + 4..).unwrap_or_default();
    let length = content.len();
    drop(write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{head}\r\n\r\n"
    ));
    drop(stream.write_all(content));
}

fn hosted() -> (tempfile::TempDir, Repository, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let repository = Repository { folder: tempfile::tempdir_in(root.path()).unwrap() };
    repository.git(&["init", "--quiet", "--initial-branch=main"]);
    std::os::unix::fs::symlink(repository.path(), root.path().join("fleet")).unwrap();
    let path = root.path().to_path_buf();
    (root, repository, path)
}

#[tokio::test]
async fn a_repository_behind_smart_http_is_followed() {
    if !git_is_here() {
        return;
    }
    let (_root, repository, path) = hosted();
    repository.commit("first", &[("a.yaml", "1")]);
    let server = Server::start(&path);
    let mirrors = tempfile::tempdir().unwrap();
    let mut source = Git::open(GitConfig {
        interval: Duration::from_millis(50),
        ..GitConfig::new(server.url(), mirrors.path())
    })
    .unwrap();
    assert_eq!(source.snapshot().await.unwrap().files.len(), 1);
    let packs = server.packs.load(Ordering::SeqCst);
    source.snapshot().await.unwrap();
    assert_eq!(server.packs.load(Ordering::SeqCst), packs, "nothing moved, so no pack is asked for");

    let second = repository.commit("second", &[("b.yaml", "2")]);
    within(SOON, "a new commit", source.changed()).await;
    assert_eq!(source.snapshot().await.unwrap().revision.as_str(), second);

    drop(server);
    let stale = source.snapshot().await.unwrap();
    assert_eq!(stale.revision.as_str(), second);
    assert_eq!(stale.notes[0].rule, "source-unreachable");
}

#[tokio::test]
async fn a_server_that_never_answers_costs_one_thread_and_the_timeout() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://user:secret@127.0.0.1:{}/x.git", listener.local_addr().unwrap().port());
    let mirrors = tempfile::tempdir().unwrap();
    let bounds = Bounds { timeout: Duration::from_millis(200), ..Bounds::default() };
    let mut source = Git::open_with(GitConfig::new(url, mirrors.path()), bounds).unwrap();
    for _ in 0..2 {
        let failure = within(SOON, "the timeout", source.snapshot()).await.unwrap_err();
        assert!(matches!(failure, SourceError::TimedOut { .. }), "{failure}");
        assert!(!failure.to_string().contains("secret"));
    }
    assert!(!source.describe().contains("secret"));
    // Ends the look that is still under way.
    drop(listener);
}
