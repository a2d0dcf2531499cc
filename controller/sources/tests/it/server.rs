//! `git http-backend` behind a CGI server of a few lines, plain or with TLS, open or with a password.

use std::{
    io::{BufRead as _, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::repository::Repository;

/// What a server is like.
#[derive(Default, Clone)]
pub(crate) struct Like {
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// The `Authorization` header that it wants; may be changed while it runs.
    pub(crate) wants: Arc<Mutex<Option<String>>>,
    /// Pushes are taken.
    pub(crate) writable: bool,
    /// Blobs may be left out.
    pub(crate) filters: bool,
    /// Commits are given as tips of branches only.
    pub(crate) tips_only: bool,
}

pub(crate) struct Server {
    pub(crate) port: u16,
    scheme: &'static str,
    stop: Arc<AtomicBool>,
    /// Requests for a pack so far.
    pub(crate) packs: Arc<AtomicUsize>,
    /// Bytes of packs so far.
    pub(crate) sent: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(root: &Path, like: &Like) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if like.tls.is_some() { "https" } else { "http" };
        let (stop, packs, sent) =
            (Arc::new(AtomicBool::new(false)), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let room = Room {
            root: root.to_path_buf(),
            like: like.clone(),
            packs: Arc::clone(&packs),
            sent: Arc::clone(&sent),
        };
        let (room, stopped) = (Arc::new(room), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut connections = Vec::new();
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let (room, stream) = (Arc::clone(&room), stream.unwrap());
                connections.push(std::thread::spawn(move || match &room.like.tls {
                    Some(tls) => {
                        let connection = ServerConnection::new(Arc::clone(tls)).unwrap();
                        room.serve(StreamOwned::new(connection, stream));
                    }
                    None => room.serve(stream),
                }));
            }
            for connection in connections {
                connection.join().unwrap();
            }
        });
        Self { port, scheme, stop, packs, sent, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}/fleet/.git", self.scheme, self.port)
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

struct Room {
    root: PathBuf,
    like: Like,
    packs: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

impl Room {
    /// One request, one answer, connection closed. A client that goes away in between is no failure.
    fn serve<S: Read + Write>(&self, stream: S) {
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
            if reader.read_line(&mut line).is_err() {
                return;
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
                None => break,
            }
        }
        let header = |name: &str| {
            headers.iter().find(|(have, _)| have == name).map_or("", |(_, value)| value.as_str())
        };
        let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let wants = self.like.wants.lock().unwrap().clone();
        if wants.as_deref().is_none_or(|wants| wants == header("authorization"))
            && target.ends_with("/git-upload-pack")
        {
            return self.stream(&method, &target, &header, &body, reader.get_mut());
        }
        let answer = if wants.is_some_and(|wants| wants != header("authorization")) {
            (
                "401 Unauthorized".to_owned(),
                "WWW-Authenticate: Basic realm=\"git\"".to_owned(),
                b"Bad credentials".to_vec(),
            )
        } else {
            self.run(&method, &target, &header, &body)
        };
        let (status, head, content) = answer;
        let stream = reader.get_mut();
        let length = content.len();
        drop(write!(
            stream,
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{head}\r\n\r\n"
        ));
        drop(stream.write_all(&content));
        drop(stream.flush());
    }

    /// A pack goes on as it comes: it may be larger than anybody's memory.
    fn stream<'a>(
        &self,
        method: &str,
        target: &str,
        header: &dyn Fn(&str) -> &'a str,
        body: &[u8],
        stream: &mut impl Write,
    ) {
        self.packs.fetch_add(1, Ordering::SeqCst);
        let mut child = self.backend(method, target, header);
        drop(child.stdin.take().unwrap().write_all(body));
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (mut head, mut status) = (String::new(), "200 OK".to_owned());
        let mut line = String::new();
        while output.read_line(&mut line).is_ok_and(|read| read > 2) {
            match line.strip_prefix("Status: ") {
                Some(said) => said.trim_end().clone_into(&mut status),
                None => head.push_str(&line),
            }
            line.clear();
        }
        let mut open = write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{head}\r\n").is_ok();
        let mut piece = vec![0; 64 << 10];
        while open && let Ok(read @ 1..) = output.read(&mut piece) {
            self.sent.fetch_add(read, Ordering::SeqCst);
            open = stream.write_all(&piece[..read]).is_ok();
        }
        drop(stream.flush());
        // Whoever has left wants no more of it.
        drop(output);
        drop(child.kill());
        drop(child.wait());
    }

    fn run<'a>(
        &self,
        method: &str,
        target: &str,
        header: &dyn Fn(&str) -> &'a str,
        body: &[u8],
    ) -> (String, String, Vec<u8>) {
        let mut child = self.backend(method, target, header);
        drop(child.stdin.take().unwrap().write_all(body));
        let output = child.wait_with_output().unwrap().stdout;
        let end = output.windows(4).position(|part| part == b"\r\n\r\n").unwrap_or(0);
        let head = String::from_utf8_lossy(&output[..end]).into_owned();
        let status =
            head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK").to_owned();
        (status, head, output.get(end + 4..).unwrap_or_default().to_vec())
    }

    fn backend<'a>(&self, method: &str, target: &str, header: &dyn Fn(&str) -> &'a str) -> Child {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let options = [
            ("safe.directory", "*"),
            ("http.receivepack", if self.like.writable { "true" } else { "false" }),
            ("uploadpack.allowFilter", if self.like.filters { "true" } else { "false" }),
            ("uploadpack.allowReachableSHA1InWant", if self.like.tips_only { "false" } else { "true" }),
            ("receive.denyCurrentBranch", "ignore"),
        ];
        let mut command = Command::new("git");
        for (index, (key, value)) in options.iter().enumerate() {
            command
                .env(format!("GIT_CONFIG_KEY_{index}"), key)
                .env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        command
            .arg("http-backend")
            .env("GIT_CONFIG_COUNT", options.len().to_string())
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REQUEST_METHOD", method)
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("CONTENT_TYPE", header("content-type"))
            .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }
}

/// A repository below a folder that a server can have as its root.
pub(crate) fn hosted() -> (tempfile::TempDir, Repository, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let repository = Repository { folder: tempfile::tempdir_in(root.path()).unwrap() };
    repository.git(&["init", "--quiet", "--initial-branch=main"]);
    std::os::unix::fs::symlink(repository.path(), root.path().join("fleet")).unwrap();
    let path = root.path().to_path_buf();
    (root, repository, path)
}
