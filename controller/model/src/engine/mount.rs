//! What a container mounts from its host, from both ways to say it: `Binds` and `Mounts`.

use serde_json::{Map, Value};

use super::{escape, host, member};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Pointer inside the body: the text of `Binds`, or `Target` of an entry of `Mounts`.
    pub pointer: String,
    /// Path on the host or name of a volume, without a slash at its end; `None` for what has no source.
    pub source: Option<String>,
    /// Path in the container, without a slash at its end.
    pub target: String,
    /// Can the container write?
    pub writes: bool,
}

impl Mounted {
    /// The path on the host, when it is one and not a volume.
    #[must_use]
    pub fn host_path(&self) -> Option<&str> {
        self.source.as_deref().filter(|source| source.starts_with('/'))
    }
}

/// Modes behind the second colon of a bind, those of Docker and of Podman.
const MODES: [&str; 29] = [
    "rw",
    "ro",
    "rro",
    "z",
    "Z",
    "U",
    "O",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "nocopy",
    "copy",
    "consistent",
    "cached",
    "delegated",
    "bind",
    "rbind",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "idmap",
    "unbindable",
    "runbindable",
];

/// The parts of a bind: source, target, mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bind<'a> {
    pub(super) source: Option<&'a str>,
    pub(super) target: &'a str,
    pub(super) mode: &'a str,
}

/// Takes a bind apart. The error says which bytes of the text are wrong, and why.
pub(super) fn bind(text: &str) -> Result<Bind<'_>, (usize, usize, String)> {
    const HOW: &str = "write source:target or source:target:mode";
    let whole = |why: String| (0, text.len(), why);
    // The colon behind a drive letter is part of a Windows path.
    let drive = text.get(1..3).is_some_and(|two| two == ":\\" || two == ":/")
        && text.starts_with(|c: char| c.is_ascii_alphabetic());
    let (head, rest) = if drive { text.split_at(2) } else { ("", text) };
    let parts: Vec<&str> = rest.split(':').collect();
    let (source, target, mode) = match parts.as_slice() {
        [target] if !drive => (None, *target, ""),
        [source, target] => (text.get(..head.len() + source.len()), *target, ""),
        [source, target, mode] => (text.get(..head.len() + source.len()), *target, *mode),
        _ => return Err(whole(format!("{text:?} has too many or too few colons; {HOW}"))),
    };
    let at = source.map_or(0, |source| source.len() + 1);
    if target.is_empty() || source.is_some_and(str::is_empty) {
        return Err(whole(format!("{text:?} lacks its source or its target; {HOW}")));
    }
    let wrong_mode = |mode: &str| mode.split(',').find(|part| !is_mode(part)).map(str::to_owned);
    if source.is_some() && parts.len() == 2 && wrong_mode(target).is_none() {
        return Err((at, text.len(), format!("{text:?} has a mode but no target; {HOW}")));
    }
    if !target.starts_with('/') && !drive {
        return Err((
            at,
            at + target.len(),
            format!("the path in the container must be absolute, this is {target:?}"),
        ));
    }
    if trimmed(target) == "/" {
        return Err((at, at + target.len(), "a container's root cannot be mounted over".to_owned()));
    }
    if let Some(source) = source
        && !drive
        && !source.starts_with('/')
        && let Some(why) = wrong_volume(source)
    {
        return Err((0, source.len(), why));
    }
    if parts.len() == 3
        && let Some(wrong) = wrong_mode(mode)
    {
        let start = at + target.len() + 1;
        return Err((start, text.len(), format!("{wrong:?} is no mode of a bind; use ro or rw")));
    }
    Ok(Bind { source, target, mode })
}

fn is_mode(part: &str) -> bool {
    MODES.contains(&part)
        || part.starts_with("upperdir=")
        || part.starts_with("workdir=")
        || part.starts_with("idmap=")
}

/// What is wrong with a source that is no absolute path: it names a volume then.
fn wrong_volume(source: &str) -> Option<String> {
    if source.contains('/') || source.starts_with('.') || source.starts_with('~') {
        return Some(format!("the path on the host must be absolute, this is {source:?}"));
    }
    let letter = |c: char| c.is_ascii_alphanumeric();
    let good =
        source.starts_with(letter) && source.chars().all(|c| letter(c) || matches!(c, '_' | '.' | '-'));
    (!good || source.len() < 2).then(|| {
        format!("{source:?} is neither an absolute path nor the name of a volume (two or more letters, digits, _ . -)")
    })
}

/// Everything that the body mounts. What is malformed is left out; [`super::problems`] says so.
#[must_use]
pub fn mounted(body: &Map<String, Value>) -> Vec<Mounted> {
    let mut found = Vec::new();
    if let Some((at, binds)) = host(body, "Binds") {
        for (index, line) in binds.as_array().into_iter().flatten().enumerate() {
            let Some(Ok(Bind { source, target, mode })) = line.as_str().map(bind) else { continue };
            found.push(Mounted {
                pointer: format!("{at}/{index}"),
                source: source.map(|source| trimmed(source).to_owned()),
                target: trimmed(target).to_owned(),
                writes: !mode.split(',').any(|part| part == "ro" || part == "rro"),
            });
        }
    }
    if let Some((at, mounts)) = host(body, "Mounts") {
        for (index, entry) in mounts.as_array().into_iter().flatten().enumerate() {
            let Some(entry) = entry.as_object() else { continue };
            let text = |name: &str| member(entry, name).and_then(|(key, value)| Some((key, value.as_str()?)));
            let Some((key, target)) = text("Target").filter(|(_, target)| target.starts_with('/')) else {
                continue;
            };
            let kind = text("Type").map_or("volume", |(_, kind)| kind);
            let shared = matches!(kind, "bind" | "volume");
            found.push(Mounted {
                pointer: format!("{at}/{index}/{}", escape(key)),
                source: text("Source").filter(|_| shared).map(|(_, source)| trimmed(source).to_owned()),
                target: trimmed(target).to_owned(),
                writes: !member(entry, "ReadOnly").is_some_and(|(_, only)| *only == Value::Bool(true)),
            });
        }
    }
    if let Some((at, tmpfs)) = host(body, "Tmpfs") {
        for target in
            tmpfs.as_object().into_iter().flat_map(Map::keys).filter(|target| target.starts_with('/'))
        {
            found.push(Mounted {
                pointer: format!("{at}/{}", escape(target)),
                source: None,
                target: trimmed(target).to_owned(),
                writes: true,
            });
        }
    }
    found
}

/// A path without slashes at its end; the root stays.
fn trimmed(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" if path.starts_with('/') => "/",
        trimmed => trimmed,
    }
}
