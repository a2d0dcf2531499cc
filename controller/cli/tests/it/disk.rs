//! The disk is full while `hem up` fetches: the fleet keeps what it has, says why, and goes on when there is room.

use std::{
    fs::{self, File},
    io::Read as _,
};

use hemline_testkit::Disk;

use crate::{
    forge::Forge,
    hem::Hem,
    repository::{commit, git, git_is_here},
    trouble::reasons,
};

fn device(every: u32) -> String {
    format!(
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: meter}}\nspec: {{desired: {{every: {every}}}}}\n"
    )
}

/// A comment that does not get smaller.
fn noise(kilobytes: usize) -> String {
    let mut bytes = vec![0; kilobytes << 9];
    File::open("/dev/urandom").expect("Linux").read_exact(&mut bytes).expect("endless");
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("# {digits}\n")
}

fn every(hem: &Hem) -> Option<u64> {
    hem.json(&["twin", "get", "meter"])["properties"]["desired"]["every"].as_u64()
}

#[test]
fn a_full_disk_while_fetching_keeps_the_fleet_and_is_said() {
    let folder = tempfile::Builder::new().prefix("hem-").tempdir().expect("a temporary folder");
    // Where mirrors of repositories are kept; the rest of the data has room.
    let disk = Disk::mount(&folder.path().join("data/git"), "2m");
    if !git_is_here() || !hemline_testkit::require("the right to mount", disk.is_some(), "run it as root") {
        return;
    }
    let disk = disk.expect("asked above");
    let forge = Forge::start(folder.path());
    let clone = folder.path().join("clone");
    fs::create_dir(&clone).expect("a new folder");
    git(&clone, &["init", "--quiet", "-b", "main"]);
    let push = |text: &str| {
        commit(&clone, text, "change");
        git(&clone, &["push", "--quiet", &forge.bare().display().to_string(), "main"]);
        git(&clone, &["rev-parse", "HEAD"])
    };
    let first = push(&device(1));
    let options = forge.options();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut hem = Hem::up_from(folder, &forge.url(), &options);
    hem.eventually("the first commit is in force", |hem| {
        (hem.status().contains(&first[..7]) && every(hem) == Some(1)).then_some(())
    });
    hem.eventually("nothing is wrong", |hem| reasons(hem).is_empty().then_some(()));

    // Documents, each small enough, and together more than the disk.
    for number in 0..6 {
        fs::write(clone.join(format!("noise-{number}.yaml")), noise(900)).expect("writable");
    }
    let second = push(&device(2));
    hem.eventually("the full disk is known", |hem| {
        reasons(hem).contains(&"unreadable".to_owned()).then_some(())
    });
    let status = hem.status();
    for part in
        ["the last good revision stays", "cannot be kept", "make room", &disk.path().display().to_string()]
    {
        assert!(status.contains(part), "{part:?} is missing: {status}");
    }
    assert_eq!(every(&hem), Some(1));
    // It dies, and is no worse off.
    hem.kill();
    hem.start_again();
    hem.eventually("it is known again", |hem| reasons(hem).contains(&"unreadable".to_owned()).then_some(()));
    assert_eq!(every(&hem), Some(1));

    assert!(disk.resize("64m"));
    hem.eventually("the second commit is in force", |hem| {
        (every(hem) == Some(2) && hem.status().contains(&second[..7])).then_some(())
    });
    let over = std::time::Instant::now();
    hem.eventually("it is over", |hem| {
        let left = reasons(hem);
        assert!(over.elapsed() < std::time::Duration::from_secs(55), "left: {left:?}\n{}", hem.status());
        left.is_empty().then_some(())
    });
    assert_eq!(hem.interrupt().code(), Some(0));
}
