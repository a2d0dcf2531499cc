//! What goes wrong around a repository that is fetched: too much in it, and too little room for it.

use hemline_testkit::git_is_here;
use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
    process::Command,
    sync::atomic::Ordering,
    time::Duration,
};

use hemline_sources::{Git, GitConfig, Source as _};
use hemline_testkit::within;

use super::server::{Like, Server, hosted};

const SOON: Duration = Duration::from_secs(20);
/// One byte more than is fetched at once, and then some.
const HUGE: u64 = (1 << 30) + (1 << 20);
/// Tells the test below what to do for the one that starts it.
const FETCH: &str = "HEM_TEST_FETCH";

/// Fetches in a process of its own, so that the memory it takes is its own: what came of it, and the most memory in KiB.
fn fetch_apart(url: &str, mirrors: &Path) -> (String, u64) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "it::faults::fetches_for_another_test", "--nocapture"])
        .env(FETCH, format!("{url} {}", mirrors.display()))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let line =
        text.lines().find_map(|line| line.split_once("fetched: ")).unwrap_or_else(|| panic!("{text}")).1;
    let (most, said) = line.split_once(' ').unwrap();
    (said.to_owned(), most.parse().unwrap())
}

#[tokio::test]
async fn fetches_for_another_test() {
    let Ok(task) = std::env::var(FETCH) else { return };
    let (url, mirrors) = task.split_once(' ').unwrap();
    let config = GitConfig { folder: "fleet".into(), ..GitConfig::new(url, mirrors) };
    let said = match Git::open(config).unwrap().snapshot().await {
        Ok(snapshot) => format!("{} documents", snapshot.files.len()),
        Err(error) => error.to_string(),
    };
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("fetched: {} {said}", most.trim().trim_end_matches(" kB"));
}

fn bytes_below(folder: &Path) -> u64 {
    let each = |entry: fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => bytes_below(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    fs::read_dir(folder).into_iter().flatten().flatten().map(each).sum()
}

#[tokio::test]
async fn a_gigabyte_in_another_folder_is_not_fetched_or_the_limit_is_told() {
    if !git_is_here() {
        return;
    }
    let (_root, repository, path) = hosted();
    // A whole gigabyte that does not compress; not to try takes seconds instead of a minute.
    repository.git(&["config", "core.compression", "0"]);
    fs::create_dir(repository.path().join("models")).unwrap();
    let huge = repository.path().join("models/huge.bin");
    let mut noise = File::open("/dev/urandom").unwrap().take(HUGE);
    assert_eq!(io::copy(&mut noise, &mut File::create(&huge).unwrap()).unwrap(), HUGE);
    repository.commit("huge", &[("fleet/a.yaml", "1")]);
    fs::remove_file(huge).unwrap();

    // With the filter only the documents come.
    let server = Server::start(&path, &Like { filters: true, ..Like::default() });
    let mirrors = tempfile::tempdir().unwrap();
    let (said, most) = fetch_apart(&server.url(), mirrors.path());
    assert_eq!(said, "1 documents");
    let sent = server.sent.load(Ordering::SeqCst);
    assert!(sent < 10 << 10, "{sent} bytes were fetched");
    assert!(most < 64 << 10, "{most} KiB of memory");
    assert!(bytes_below(mirrors.path()) < 256 << 10);

    // Without it the fetch ends at the limit, with a way out, in little memory, and leaves nothing behind.
    let server = Server::start(&path, &Like::default());
    let mirrors = tempfile::tempdir().unwrap();
    let (said, most) = fetch_apart(&server.url(), mirrors.path());
    assert!(said.contains("more than 1073741824 bytes in one fetch"), "{said}");
    assert!(said.contains("keep what is no document in another repository"), "{said}");
    assert!(most < 128 << 10, "{most} KiB of memory");
    let left = bytes_below(mirrors.path());
    assert!(left < 256 << 10, "{left} bytes are left behind");
}

/// A file system of its own, as large as it is told.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(size: &str) -> Option<Self> {
        let disk = Self(tempfile::tempdir().unwrap());
        disk.mount(&format!("size={size}")).then_some(disk)
    }

    fn mount(&self, options: &str) -> bool {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.0.path());
        command.output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(self.0.path()).output());
    }
}

#[tokio::test]
async fn a_full_disk_keeps_the_last_revision_and_says_so() {
    let disk = Disk::new("1m");
    if !git_is_here() || !hemline_testkit::require("the right to mount", disk.is_some(), "run it as root") {
        return;
    }
    let disk = disk.unwrap();
    let (_root, repository, path) = hosted();
    let first = repository.commit("first", &[("a.yaml", "1")]);
    let server = Server::start(&path, &Like { filters: true, ..Like::default() });
    let config =
        GitConfig { interval: Duration::from_millis(50), ..GitConfig::new(server.url(), disk.0.path()) };
    let mut source = Git::open(config.clone()).unwrap();
    assert_eq!(source.snapshot().await.unwrap().revision.as_str(), first);
    let before = bytes_below(disk.0.path());

    // Documents, each small enough, and together more than the disk.
    let mut noise = File::open("/dev/urandom").unwrap();
    for number in 0..4 {
        let mut bytes = vec![0; 700 << 10];
        noise.read_exact(&mut bytes).unwrap();
        fs::write(repository.path().join(format!("b{number}.yaml")), bytes).unwrap();
    }
    let second = repository.commit("second", &[]);
    // Told again and again, and the same after a restart; nothing piles up.
    let mut restarted = Git::open(config).unwrap();
    for _ in 0..3 {
        for source in [&mut source, &mut restarted] {
            let stale = source.snapshot().await.unwrap();
            assert_eq!(stale.revision.as_str(), first);
            let [note] = &stale.notes[..] else { panic!("{:?}", stale.notes) };
            assert_eq!(note.rule, "source-unreachable");
            for words in ["cannot be kept", &disk.0.path().display().to_string(), "make room"] {
                assert!(note.message.contains(words), "{}", note.message);
            }
        }
    }
    let left = bytes_below(disk.0.path());
    assert!(left < before + (64 << 10), "{left} bytes instead of {before}");

    assert!(disk.mount("remount,size=64m"));
    within(SOON, "room is made", source.changed()).await;
    let snapshot = source.snapshot().await.unwrap();
    assert_eq!((snapshot.revision.as_str(), snapshot.notes.len()), (second.as_str(), 0));
}
