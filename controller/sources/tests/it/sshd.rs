//! A real `sshd` on loopback: own configuration, own host key, own `authorized_keys`, high port.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub(crate) struct Sshd {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    child: Child,
}

/// Are the programs here?
pub(crate) fn sshd_is_here() -> bool {
    let here = Path::new("/usr/sbin/sshd").exists() && Command::new("ssh-keygen").arg("-?").output().is_ok();
    hemline_testkit::require("sshd", here, "apt-get install openssh-server")
}

impl Sshd {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["host", "client", "stranger"] {
            keygen(&["-q", "-t", "ed25519", "-N", "", "-f", &path(name).display().to_string()]);
        }
        keygen(&["-q", "-t", "rsa", "-b", "2048", "-N", "letmein", "-f", &path("rsa").display().to_string()]);
        let public = |name: &str| fs::read_to_string(path(&format!("{name}.pub"))).unwrap();
        fs::write(path("authorized_keys"), public("client") + &public("rsa")).unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized_keys\n\
             PidFile none\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             UsePAM no\nPermitRootLogin yes\nAcceptEnv nothing\n",
            folder.path().display()
        );
        fs::write(path("config"), config).unwrap();
        // sshd wants this folder before it drops its rights.
        if !Path::new("/run/sshd").exists() {
            drop(fs::create_dir_all("/run/sshd"));
            drop(fs::set_permissions("/run/sshd", fs::Permissions::from_mode(0o755)));
        }
        let mut child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(path("config"))
            .stdin(Stdio::null())
            .stderr(fs::File::create(path("log")).unwrap())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = child.try_wait().unwrap();
            let log = fs::read_to_string(path("log")).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < deadline, "sshd does not answer: {log}");
            std::thread::yield_now();
        }
        Self { folder, port, child }
    }

    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A `known_hosts` with the real key.
    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.known_hosts_with("host")
    }

    pub(crate) fn known_hosts_with(&self, key: &str) -> PathBuf {
        let public = fs::read_to_string(self.key(&format!("{key}.pub"))).unwrap();
        let file = self.folder.path().join(format!("known-{key}"));
        fs::write(&file, format!("[127.0.0.1]:{} {public}", self.port)).unwrap();
        file
    }

    /// Nobody may enter any more.
    pub(crate) fn lock(&self) {
        fs::write(self.folder.path().join("authorized_keys"), "").unwrap();
    }

    pub(crate) fn url(&self, repository: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", user(), self.port, repository.display())
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Who runs the tests: the only one that sshd may become when it is not root.
fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn keygen(arguments: &[&str]) {
    let output = Command::new("ssh-keygen").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
