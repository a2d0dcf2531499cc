//! The name of an image, by the grammar of the distribution project's references:
//! `[registry[:port]/]path[/path…][:tag][@digest]`. What is wrong is said at the very piece. Not here: whether the image exists.

use std::ops::Range;

use super::{Context, idle};
use crate::text::InText;

/// Longest repository with its registry, in characters.
const NAME_AT_MOST: usize = 255;
/// Longest tag, in characters.
const TAG_AT_MOST: usize = 128;
/// Hexadecimal digits of the one digest that engines make.
const SHA256_DIGITS: usize = 64;

/// What is wrong, and with which bytes of the name.
#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    at: Range<usize>,
    message: String,
    hint: Option<String>,
}

/// Judges the image of a module.
pub(super) fn check(image: &str, pointer: &str, context: &mut Context<'_>) {
    match judge(image) {
        Ok(()) => idle::tag(image.trim(), pointer, context),
        Err(Wrong { at, message, hint }) => {
            let place = InText { pointer, text: image, start: at.start, end: at.end };
            context.error_in("image", place, message).hint = hint;
        }
    }
}

fn judge(image: &str) -> Result<(), Wrong> {
    let start = image.len() - image.trim_start().len();
    let name = image.trim();
    let wrong = |at: Range<usize>, message: &str| Wrong {
        at: at.start + start..at.end + start,
        message: message.to_owned(),
        hint: None,
    };
    if name.is_empty() {
        return Err(wrong(0..0, "the image is empty"));
    }
    if let Some((at, c)) = name.char_indices().find(|(_, c)| c.is_whitespace() || c.is_control()) {
        return Err(wrong(at..at + c.len_utf8(), "an image name has no white space"));
    }
    let (rest, digest) = split_last(name, name.find('@'));
    let colon = rest.rfind(':').filter(|at| !rest[*at..].contains('/'));
    let (path, tag) = split_last(rest, colon);
    if path.is_empty() || path.starts_with('/') || path.ends_with('/') || path.contains("//") {
        return Err(wrong(0..name.len(), "an image name is [registry/]name[:tag][@digest]"));
    }
    if let Some(digest) = digest {
        let at = rest.len() + 1..name.len();
        let digits = digest.strip_prefix("sha256:");
        let hex = |text: &str| text.len() == SHA256_DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !digits.is_some_and(hex) {
            return Err(wrong(at, "a digest is `sha256:` and 64 hexadecimal digits"));
        }
    }
    if let Some(tag) = tag {
        let at = path.len() + 1..rest.len();
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if tag.is_empty() {
            return Err(wrong(path.len()..rest.len(), "the colon has no tag behind it"));
        }
        if tag.len() > TAG_AT_MOST
            || !tag.starts_with(word)
            || !tag.chars().all(|c| word(c) || ".-".contains(c))
        {
            let message = "a tag has letters, digits, `_`, `.` and `-`, at most 128, and starts with none of the last two";
            return Err(wrong(at, message));
        }
    }
    if path.len() > NAME_AT_MOST {
        return Err(wrong(0..path.len(), "the name of an image has at most 255 characters"));
    }
    pieces(path).map_err(|(at, message)| {
        let lower = path[at.clone()].to_ascii_lowercase();
        let hint = (lower != path[at.clone()]).then(|| format!("did you mean {lower:?}?"));
        Wrong { hint, ..wrong(at, message) }
    })
}

/// Registry and path components.
fn pieces(path: &str) -> Result<(), (Range<usize>, &'static str)> {
    let mut at = 0;
    for (index, piece) in path.split('/').enumerate() {
        let range = at..at + piece.len();
        at = range.end + 1;
        let registry =
            index == 0 && path.len() > piece.len() && (piece.contains(['.', ':']) || piece == "localhost");
        if registry {
            let host = |c: char| c.is_ascii_alphanumeric() || ".-:[]_".contains(c);
            if !piece.chars().all(host) {
                return Err((range, "a registry is a host name with a port where it needs one"));
            }
        } else if !is_component(piece) {
            let message =
                "the parts of an image name have small letters and digits, joined by `.`, `_`, `__` or `-`";
            return Err((range, message));
        }
    }
    Ok(())
}

/// Runs of small letters and digits, with one separator between two of them: `.`, `_`, `__`, or any number of `-`.
fn is_component(piece: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = piece.split(letter).filter(|between| !between.is_empty());
    piece.starts_with(letter)
        && piece.ends_with(letter)
        && separators
            .into_iter()
            .all(|between| matches!(between, "." | "_" | "__") || between.bytes().all(|byte| byte == b'-'))
}

/// The text before a separator of one byte, and what stands behind it.
fn split_last(text: &str, at: Option<usize>) -> (&str, Option<&str>) {
    match at.map(|at| text.split_at(at)) {
        Some((before, behind)) => (before, behind.get(1..)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn names_that_engines_take() {
        for name in [
            "camera",
            "camera:1.3",
            "library/camera:v1.0_rc-2",
            "registry.example/camera:1.3",
            "registry.example:5000/vision/camera:1.3",
            "localhost/camera",
            "localhost:5000/camera",
            "mcr.microsoft.com/azureiotedge-simulated-temperature-sensor:1.4",
            "a/b__c/d---e/f.g_h",
            " registry.example/camera:1.3 ",
            "ACR.azurecr.io/camera:1.3",
            "camera@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "r.example/camera:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(judge(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_at_its_piece() {
        for (name, piece) in [
            ("", ""),
            ("camera :1", " "),
            ("registry.example/Camera:1", "Camera"),
            ("Camera", "Camera"),
            ("vision//camera", "vision//camera"),
            ("camera:", ":"),
            ("registry.example:5000/camera:", ":"),
            ("camera:-1", "-1"),
            ("camera:1.3+b", "1.3+b"),
            ("camera@sha256:12", "sha256:12"),
            ("cam..era", "cam..era"),
            ("_camera", "_camera"),
            ("registry.exa$mple/camera", "registry.exa$mple"),
            ("kamera/größe", "größe"),
        ] {
            match judge(name) {
                Ok(()) => panic!("{name:?} passes"),
                Err(wrong) => assert_eq!(&name[wrong.at], piece, "{name}: {}", wrong.message),
            }
        }
    }
}
