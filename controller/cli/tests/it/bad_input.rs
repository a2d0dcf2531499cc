//! Input that is wrong, odd or hostile as a whole: what `hem` says about it, in bounded memory and time.
//!
//! Every command here runs under limits of the kernel: what it allocates may not pass [`MEMORY`], so that its peak stays
//! below 256 MiB with the program's own pages, and it may not use a processor for longer than [`SECONDS`]. Who breaks a limit
//! is killed, and the test fails.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::hem::HEM;

/// KiB that the program may allocate. Its own pages, of which it touches some 20 MiB, come on top.
const MEMORY: u32 = 224 * 1024;
/// Seconds of processor time, in the slow build that tests run; the program proper takes a tenth.
const SECONDS: u32 = 60;

const MIB: usize = 1 << 20;

/// What came out of a command.
struct Said {
    code: Option<i32>,
    text: String,
}

/// Runs `hem` within limits.
fn limited<A: AsRef<OsStr>>(folder: &Path, arguments: &[A]) -> Said {
    let limits = format!("ulimit -d {MEMORY} && ulimit -t {SECONDS} && exec \"$0\" \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &limits, HEM])
        .args(arguments)
        .current_dir(folder)
        .env_remove("HEM_DATA_DIR")
        .env("NO_COLOR", "1")
        .output()
        .expect("sh starts");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Said { code: output.status.code(), text }
}

impl Said {
    /// It ended by itself with this code, said all these words, and not more than a screen of them is needed to see why.
    fn is(&self, name: &str, code: i32, words: &[&str]) {
        let head: String = self.text.chars().take(3000).collect();
        assert_eq!(self.code, Some(code), "{name}: {head}");
        for word in words {
            assert!(self.text.contains(word), "{name} should say {word:?}: {head}");
        }
        assert!(!self.text.contains("panicked"), "{name}: {head}");
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn device(name: &str, tags: &str) -> String {
    format!(
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: {name}}}\nspec:\n  tags: {{{tags}}}\n"
    )
}

fn module(fields: &str) -> String {
    format!(
        "apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {{name: v}}\nspec:\n  targetCondition: '*'\n  \
         modules:\n    m:\n      image: a:1\n{fields}"
    )
}

/// As many copies as a file of the size that is just read has room for.
fn filled(piece: &str) -> String {
    piece.repeat((MIB - 4096) / piece.len())
}

fn bomb() -> String {
    let mut text = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (last, this) in ('a'..='h').zip('b'..='i') {
        text += &format!("{this}: &{this} [{}]\n", vec![format!("*{last}"); 10].join(","));
    }
    text
}

/// Name, name of the file, its content, exit code, and what must be said.
type Case = (&'static str, &'static str, Vec<u8>, i32, &'static [&'static str]);

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    let text = |text: String| text.into_bytes();
    vec![
        ("empty file", "a.yaml", Vec::new(), 0, &["0 devices"]),
        ("only comments", "a.yaml", text(filled("# x\n")), 0, &["0 devices"]),
        ("only line ends", "a.yaml", text(filled("\n")), 0, &["0 devices"]),
        ("a list", "a.yaml", text("- a: 1\n".into()), 1, &["list-at-top", "without `- `"]),
        ("a JSON list", "a.json", text("[{}]".into()), 1, &["list-at-top", "one object per file"]),
        ("a text", "a.yaml", text("hello".into()), 1, &["not-a-document", "apiVersion:"]),
        ("invalid UTF-8", "a.yaml", b"a: \xff".to_vec(), 1, &["not-utf8", "a.yaml:1:4", "save it as UTF-8"]),
        ("UTF-16", "a.yaml", b"\xff\xfea\0".to_vec(), 1, &["not-utf8", "UTF-16"]),
        ("NUL", "a.yaml", b"a: \0".to_vec(), 1, &["control-character", "U+0000", "a.yaml:1:4"]),
        (
            "BOM and CR LF",
            "a.yaml",
            text(format!("\u{feff}{}", device("a", "a: 1").replace('\n', "\r\n"))),
            0,
            &["1 device"],
        ),
        ("lone CR", "a.yaml", text(device("a", "a: 1").replace('\n', "\r")), 0, &["1 device"]),
        (
            "U+2028 and U+0085",
            "a.yaml",
            text(device("a", "a: \"b\u{2028}c\", b: \"c\u{85}d\"")),
            0,
            &["1 device"],
        ),
        (
            "tabs",
            "a.yaml",
            text("a:\n\tb: 1\n".into()),
            1,
            &["tab-indent", "a.yaml:2:1", "replace it by spaces"],
        ),
        (
            "duplicate keys",
            "a.yaml",
            text("a: 1\n".repeat(100_000)),
            1,
            &["duplicate-key", "remove one of them"],
        ),
        ("no space", "a.yaml", text("a:1".into()), 1, &["not-a-document"]),
        (
            "JSON with comments",
            "a.json",
            text("{\n  // no\n  \"a\": 1\n}".into()),
            1,
            &["yaml-syntax", "a.json:"],
        ),
        ("JSON with a comma too many", "a.json", text("{\"apiVersion\": \"v1\",}".into()), 0, &[]),
        (
            "numbers",
            "a.yaml",
            text("a: .inf\nb: 1e999\nc: 99999999999999999999\n".into()),
            1,
            &["no-json-number"],
        ),
        (
            "number of a field",
            "a.yaml",
            text(module("      startupOrder: 99999999999\n")),
            1,
            &["out-of-range"],
        ),
        (
            "unknown tags",
            "a.yaml",
            text(format!("a: [{}]", filled("!x 1,"))),
            1,
            &["unknown-tag", "remove the tag"],
        ),
        ("binary tag", "a.yaml", text("a: !!binary aGk=\n".into()), 1, &["unknown-tag"]),
        ("merge key of a list", "a.yaml", text("a: {<<: 1}\n".into()), 1, &["merge-key"]),
        (
            "thousands of merges",
            "a.yaml",
            text(format!("a: &a {{x: 1}}\nb: {{<<: [{}]}}", filled("*a,"))),
            1,
            &["alias-expansion"],
        ),
        ("alias to itself", "a.yaml", text("a: &a [*a]\n".into()), 1, &["alias-recursive"]),
        ("alias bomb", "a.yaml", text(bomb()), 1, &["alias-expansion", "share less"]),
        ("alias bombs", "a.yaml", text(filled(&format!("---\n{}", bomb()))), 1, &["alias-expansion"]),
        ("anchors", "a.yaml", text(format!("a:\n{}", filled("- &a 1\n- *a\n"))), 1, &["alias-expansion"]),
        ("deep flow", "a.yaml", text(format!("a: {}", filled("["))), 1, &["a.yaml:1:"]),
        ("deep flow mappings", "a.yaml", text(format!("a: {}", filled("{a: "))), 1, &["too-deep", "flatter"]),
        (
            "deep blocks",
            "a.yaml",
            text((0..1400).map(|n| format!("{}k:\n", " ".repeat(n))).collect()),
            1,
            &["too-deep"],
        ),
        ("deep list", "a.yaml", text(filled("- ")), 1, &["too-deep"]),
        ("deep keys", "a.yaml", text(filled("? ")), 1, &["too-deep"]),
        ("deep JSON", "a.json", text(filled("{\"a\":")), 1, &["a.json:1:"]),
        (
            "deep createOptions",
            "a.yaml",
            text(module(&format!("      createOptions: '{}'\n", filled("[")))),
            1,
            &["create-options"],
        ),
        (
            "deep condition",
            "a.yaml",
            text(module("").replace("'*'", &format!("'{}'", filled("(")))),
            1,
            &["target-condition", "limit is 8192"],
        ),
        (
            "deep route",
            "a.yaml",
            text(module(&format!("  routes: {{a: '{}'}}\n", filled("(")))),
            1,
            &["route-syntax"],
        ),
        ("one long text", "a.yaml", text(device("a", &format!("x: '{}'", filled("x")))), 1, &["twin-limit"]),
        ("one long key", "a.yaml", text(format!("{}: 1", filled("x"))), 1, &["a.yaml:1:"]),
        (
            "unknown fields on one line",
            "a.yaml",
            text(format!(
                "{{apiVersion: hemline.dev/v1alpha1, kind: Device, metadata: {{name: a}}, spec: {{{}}}}}",
                (0..40_000).map(|n| format!("a{n}: 1, ")).collect::<String>()
            )),
            1,
            &["unknown-field", "a.yaml:1:"],
        ),
        (
            "dense numbers",
            "a.yaml",
            text(device("a", &format!("x: [{}]", filled("1,")))),
            1,
            &["file-too-large"],
        ),
        (
            "dense mappings",
            "a.yaml",
            text(device("a", &format!("x: [{}]", filled("{a: 1},")))),
            1,
            &["file-too-large"],
        ),
        (
            "dense lists",
            "a.yaml",
            text(device("a", &format!("x: [{}]", filled("[],")))),
            1,
            &["file-too-large"],
        ),
        (
            "many nulls",
            "a.yaml",
            text(device("a", &(0..20_000).map(|n| format!("a{n}: , ")).collect::<String>())),
            1,
            &["twin-null"],
        ),
        (
            "many environment variables",
            "a.yaml",
            text(module(&format!(
                "      env: {{{}}}\n",
                (0..30_000).map(|n| format!("a{n}: 1, ")).collect::<String>()
            ))),
            0,
            &["a.yaml"],
        ),
        ("many documents", "a.yaml", text(filled("---\n{}\n")), 1, &["missing-field", "too-many-findings"]),
        ("many broken documents", "a.yaml", text(filled("---\na: [\n")), 1, &["yaml-syntax"]),
        ("words of YAML 1.1", "a.yaml", text(format!("a: [{}]", filled("yes,"))), 1, &["ambiguous-scalar"]),
        ("surrogates", "a.json", text(format!("{{\"a\": \"{}\"}}", filled("\\ud83d"))), 1, &["a.json:"]),
        ("10 MB on one line", "a.yaml", vec![b'x'; 10 * MIB], 1, &["a.yaml", "1048576 bytes", "split it"]),
        (
            "60 MB of createOptions",
            "a.yaml",
            text(module(&format!("      createOptions: '{}'", "[ ".repeat(30 * MIB)))),
            1,
            &["a.yaml", "1048576 bytes"],
        ),
        ("100 MB", "a.json", vec![b' '; 100 * MIB], 1, &["a.json", "1048576 bytes"]),
    ]
}

#[test]
fn each_file_is_judged_within_limits() {
    for (name, file, content, code, words) in cases() {
        let folder = folder();
        fs::write(folder.path().join(file), content).expect("writable");
        limited(folder.path(), &["validate", "."]).is(name, code, words);
    }
}

#[test]
fn a_file_that_is_too_large_is_told_beside_everything_else() {
    let folder = folder();
    fs::write(folder.path().join("a.yaml"), vec![b'x'; 2 * MIB]).expect("writable");
    fs::write(folder.path().join("b.yaml"), "a: [\n").expect("writable");
    limited(folder.path(), &["validate", "."]).is("both", 1, &["a.yaml:1:1", "file-too-large", "b.yaml:"]);
}

/// The same files as manifests: the importer reads with the same care.
#[test]
fn each_file_is_imported_within_limits() {
    for (name, file, content, ..) in cases() {
        let folder = folder();
        fs::write(folder.path().join(file), content).expect("writable");
        let said = limited(folder.path(), &["import", file]);
        assert!(matches!(said.code, Some(1 | 64)), "{name}: {:?} {}", said.code, said.text);
        assert!(said.text.contains(file) && !said.text.contains("panicked"), "{name}: {}", said.text);
    }
}

/// Name, number of files, the text of each, and what must be said.
type Folder<'a> = (&'a str, usize, &'a dyn Fn(usize) -> String, &'a [&'a str]);

#[test]
fn many_files_are_judged_within_limits() {
    let texts: [Folder; 5] = [
        (
            "100 MB of files",
            100,
            &|n| device(&format!("a{n}"), &format!("x: '{}'", filled("x"))),
            &["bytes in all documents", "point to a smaller folder"],
        ),
        (
            "dense files",
            12,
            &|n| device(&format!("a{n}"), &format!("x: [{}]", filled("1,"))),
            &["file-too-large"],
        ),
        ("files full of findings", 12, &|_| filled("---\na: {b: c\n"), &["yaml-syntax"]),
        (
            "files of unknown fields",
            12,
            &|n| {
                device(&format!("a{n}"), "")
                    + &(0..20_000).map(|n| format!("  a{n}: 1\n")).collect::<String>()
            },
            &["unknown-field"],
        ),
        (
            "files without number",
            10_001,
            &|n| device(&format!("a{n}"), ""),
            &["10000 documents", "smaller folder"],
        ),
    ];
    for (name, count, text, words) in texts {
        let folder = folder();
        for n in 0..count {
            fs::write(folder.path().join(format!("{n}.yaml")), text(n)).expect("writable");
        }
        limited(folder.path(), &["validate", "."]).is(name, 1, words);
    }
}

#[test]
fn odd_entries_of_a_folder_are_told_or_passed_over() {
    use std::os::unix::fs::symlink;
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a.yaml"), device("a", "")).expect("writable");
    fs::create_dir(at("inside")).expect("a new folder");
    symlink(folder.path(), at("inside/cycle")).expect("a link");
    symlink("/etc/passwd", at("link.yaml")).expect("a link");
    symlink("nowhere", at("dangling.json")).expect("a link");
    // Opening it would wait for a writer for ever.
    assert!(Command::new("mkfifo").arg(at("pipe.yaml")).status().is_ok_and(|status| status.success()));
    fs::create_dir(at("folder.yaml")).expect("a new folder");
    let said = limited(folder.path(), &["validate", "."]);
    said.is("links", 0, &["source-symlink-skipped", "link.yaml", "dangling.json", "are not followed"]);
    assert!(!said.text.contains("root:"), "{}", said.text);
    limited(folder.path(), &["validate", "--strict", "."]).is(
        "links, strictly",
        1,
        &["source-symlink-skipped"],
    );
    limited(folder.path(), &["validate", "nowhere"]).is(
        "no such path",
        1,
        &["nowhere", "check that it exists"],
    );
    limited(folder.path(), &["validate", "inside"]).is("nothing to read", 64, &["no *.yaml"]);
    // A file that is there and cannot be read, whoever asks.
    limited(folder.path(), &["validate", "/proc/self/mem"]).is(
        "unreadable",
        1,
        &["/proc/self/mem", "readable"],
    );
}

/// Folders that are or are not repositories, and what `hem plan --base` says about them.
#[test]
fn repositories_that_cannot_answer_say_what_to_do() {
    if !crate::repository::git_is_here() {
        return;
    }
    use crate::repository::{commit, git};
    let folder = folder();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    let plan = |place: &Path, base: &str, head: Option<&str>| {
        let mut arguments = vec!["plan", ".", "--base", base];
        arguments.extend(head.into_iter().flat_map(|head| ["--head", head]));
        limited(place, &arguments)
    };
    fs::create_dir(at("plain")).expect("a new folder");
    fs::write(at("plain/a.yaml"), device("a", "")).expect("writable");
    plan(&at("plain"), "main", None).is("no repository", 1, &["no Git repository", "--base"]);

    fs::create_dir(at("unborn")).expect("a new folder");
    git(&at("unborn"), &["init", "--quiet", "-b", "main"]);
    fs::write(at("unborn/a.yaml"), device("a", "")).expect("writable");
    plan(&at("unborn"), "HEAD", None).is("unborn branch", 1, &["no commit yet"]);

    let origin = at("origin");
    fs::create_dir(&origin).expect("a new folder");
    git(&origin, &["init", "--quiet", "-b", "main"]);
    commit(&origin, &device("a", ""), "one");
    git(&origin, &["checkout", "--quiet", "-b", "change"]);
    commit(&origin, &device("a", "x: 1"), "two");
    commit(&origin, &device("a", "x: 2"), "three");
    git(&origin, &["checkout", "--quiet", "main"]);
    commit(&origin, &device("a", "y: 1"), "four");
    plan(&origin, "mian", None).is("no such base", 1, &["\"mian\"", "branches there: change, main"]);
    plan(&origin, "origin/main", None).is(
        "base not fetched",
        1,
        &["\"origin/main\"", "git fetch origin main"],
    );
    plan(&origin, "main:fleet.yaml", None).is("base is no commit", 1, &["main:fleet.yaml"]);
    plan(&origin, "--output=x", None).is("base looks like an option", 64, &["--base"]);
    plan(&origin, "main", Some("change")).is("good", 0, &["Plan:"]);

    let url = format!("file://{}", origin.display());
    git(folder.path(), &["clone", "--quiet", "--depth=1", "--no-single-branch", &url, "shallow"]);
    plan(&at("shallow"), "origin/main", Some("origin/change")).is(
        "shallow clone",
        1,
        &["no common ancestor", "git fetch --unshallow", "fetch-depth: 0"],
    );
    git(folder.path(), &["clone", "--quiet", "--bare", &url, "bare"]);
    plan(&at("bare"), "main", Some("change")).is("bare repository", 0, &["Plan:"]);

    // What a tree may hold besides files is told too.
    std::os::unix::fs::symlink("/etc/passwd", origin.join("link.yaml")).expect("a link");
    git(&origin, &["add", "."]);
    let tip = git(&origin, &["rev-parse", "HEAD"]);
    git(&origin, &["update-index", "--add", "--cacheinfo", &format!("160000,{tip},module")]);
    git(&origin, &["commit", "--quiet", "-m", "link and module"]);
    let said = plan(&origin, "main~1", Some("main"));
    said.is(
        "link and submodule",
        0,
        &["source-symlink-skipped", "link.yaml", "source-submodule-skipped", "module"],
    );
}
