//! Two real servers, two private authorities, two tokens: each source shows its own to its own server and to nobody else. One is
//! taken back in the middle, and given anew: the other source goes on all the time. And one server that wants a user beside it.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    forge::Forge,
    hem::Hem,
    repository::{commit, git, git_is_here},
};

pub(crate) fn device(name: &str, every: u32) -> String {
    format!(
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: {name}}}\nspec: {{desired: {{every: {every}}}}}\n"
    )
}

/// A server, and somebody who pushes to it past its door.
struct Site {
    forge: Forge,
    clone: std::path::PathBuf,
}

impl Site {
    fn new(folder: &Path, name: &str, text: &str) -> Self {
        let folder = folder.join(name);
        let clone = folder.join("clone");
        fs::create_dir_all(&clone).expect("a new folder");
        let forge = Forge::start(&folder);
        git(&clone, &["init", "--quiet", "-b", "main"]);
        git(&clone, &["remote", "add", "origin", &forge.bare().display().to_string()]);
        let site = Self { forge, clone };
        site.give_token(&format!("{name}-token"));
        site.push(text);
        site
    }

    /// The server wants it, and the file has it.
    fn give_token(&self, token: &str) {
        self.forge.wants_token(token);
        fs::write(self.forge.token_file(), format!("{token}\n")).expect("writable");
    }

    fn push(&self, text: &str) {
        commit(&self.clone, text, "change");
        git(&self.clone, &["push", "--quiet", "origin", "main"]);
    }

    fn table(&self, name: &str) -> String {
        format!(
            "[{name}]\nlocation = '{}'\nref = 'main'\ninterval = '1s'\nstatus-every = '1s'\ntoken-file = '{}'\nca = '{}'\n",
            self.forge.url(),
            self.forge.token_file().display(),
            self.forge.authority().display()
        )
    }

    fn has_status(&self) -> bool {
        self.forge.git(&["show", "hemline/status:README.md"]).is_some()
    }
}

/// What does not work: source and reason.
pub(crate) fn trouble(hem: &Hem) -> Vec<(String, String)> {
    let output = hem.command(&["status", "-o", "json"]).output().expect("hem starts");
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let trouble = status["controller"]["trouble"].as_array().cloned().unwrap_or_default();
    trouble.iter().map(|one| (text(one, "source"), text(one, "reason"))).collect()
}

pub(crate) fn every(hem: &Hem, device: &str) -> Option<u64> {
    let output = hem.command(&["twin", "get", device, "-o", "json"]).output().expect("hem starts");
    let twin: Value = serde_json::from_slice(&output.stdout).ok()?;
    twin["properties"]["desired"]["every"].as_u64()
}

#[test]
fn each_source_has_its_own_and_loses_only_its_own() {
    if !git_is_here() {
        return;
    }
    let folder = tempfile::Builder::new().prefix("hem-").tempdir().expect("a temporary folder");
    let ours = Site::new(folder.path(), "ours", &device("press", 1));
    let guests = Site::new(folder.path(), "guests", &device("meter", 1));
    let file = folder.path().join("sources.toml");
    fs::write(&file, ours.table("ours") + &guests.table("guests")).expect("writable");
    let mut hem = Hem::up_from(folder, &file.display().to_string(), &[]);
    hem.eventually("both are read", |hem| {
        (every(hem, "press") == Some(1) && every(hem, "meter") == Some(1)).then_some(())
    });
    hem.eventually("both have the status", |_| (ours.has_status() && guests.has_status()).then_some(()));
    assert_eq!(trouble(&hem), []);

    // The guests want another token now. What they push meanwhile waits; what we push does not.
    guests.forge.wants_token("guests-next");
    hem.eventually("the denial is known", |hem| {
        trouble(hem).contains(&("guests".to_owned(), "denied".to_owned())).then_some(())
    });
    guests.push(&device("meter", 2));
    ours.push(&device("press", 2));
    hem.eventually("ours goes on", |hem| (every(hem, "press") == Some(2)).then_some(()));
    assert_eq!(every(&hem, "meter"), Some(1), "the last good revision stays");
    assert!(trouble(&hem).iter().all(|(source, _)| source == "guests"), "{:?}", trouble(&hem));
    let status = hem.status();
    let line = status.lines().find(|line| line.contains("no access to")).unwrap_or_default();
    assert!(line.contains(&guests.forge.url()) && line.contains("401"), "{status}");
    assert!(line.contains("the token-file of its source"), "{status}");
    assert!(!status.contains("guests-token") && !status.contains("guests-next"), "{status}");

    // The file gets the new one; nobody starts anything anew.
    guests.give_token("guests-next");
    hem.eventually("the guests are read again", |hem| (every(hem, "meter") == Some(2)).then_some(()));
    hem.eventually("all is well", |hem| trouble(hem).is_empty().then_some(()));

    // Nobody was ever shown what is not theirs.
    let shown = |site: &Site| site.forge.told().shown.iter().cloned().collect::<Vec<_>>();
    assert_eq!(shown(&ours), Vec::<String>::new());
    assert_eq!(shown(&guests), ["x-access-token:guests-token"]);
    assert_eq!(hem.interrupt().code(), Some(0));
    let log = fs::read_to_string(hem.data().with_file_name("stderr")).expect("a log");
    for token in ["ours-token", "guests-token", "guests-next"] {
        assert!(!log.contains(token), "{token} is in the log");
    }
    let denied = log.lines().filter(|line| line.contains("WARN") && line.contains("reason=\"denied\""));
    assert_eq!(denied.count(), 1, "{log}");
}

#[test]
fn a_user_and_a_password_open_what_a_token_alone_does_not() {
    if !git_is_here() {
        return;
    }
    let folder = tempfile::Builder::new().prefix("hem-").tempdir().expect("a temporary folder");
    let site = Site::new(folder.path(), "deployed", &device("press", 1));
    site.forge.wants_user("deploy-7");
    site.give_token("first-password");
    let (ca, password) =
        (site.forge.authority().display().to_string(), site.forge.token_file().display().to_string());
    let options = ["--branch", "main", "--interval", "1s", "--status-branch", "off"];
    let options = [&options[..], &["--git-ca", &ca, "--git-token-file", &password, "--git-user", "deploy-7"]];
    let hem = Hem::up_from(folder, &site.forge.url(), &options.concat());
    hem.eventually("it is read", |hem| (every(hem, "press") == Some(1)).then_some(()));
    assert_eq!(trouble(&hem), []);
    let shown = || site.forge.told().shown.iter().cloned().collect::<Vec<_>>();
    assert_eq!(shown(), Vec::<String>::new(), "user and password came as typed");

    // The password is another one now: the fleet stays as it is, and says why.
    site.forge.wants_token("second-password");
    site.push(&device("press", 2));
    let denied = [("default".to_owned(), "denied".to_owned())];
    hem.eventually("the denial is known", |hem| (trouble(hem) == denied).then_some(()));
    assert_eq!(every(&hem, "press"), Some(1));
    let status = hem.status();
    let shows_a_password =
        |text: &str| ["first-password", "second-password"].iter().any(|one| text.contains(one));
    assert!(status.contains("401") && !shows_a_password(&status), "{status}");
    assert_eq!(shown(), ["deploy-7:first-password"]);

    // The right password of somebody else is no better.
    site.forge.wants_user("deploy-8");
    site.give_token("second-password");
    hem.eventually("it was shown", |_| {
        shown().contains(&"deploy-7:second-password".to_owned()).then_some(())
    });
    assert_eq!(every(&hem, "press"), Some(1));
    assert_eq!(trouble(&hem), denied);

    site.forge.wants_user("deploy-7");
    hem.eventually("it is read again", |hem| (every(hem, "press") == Some(2)).then_some(()));
    hem.eventually("all is well", |hem| trouble(hem).is_empty().then_some(()));
}
