//! One changed value, and the list of them between two JSON objects. What may be a secret is masked here, before it can
//! reach a plan, a log or a pull request.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Reason;

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// Words in a name that make its value a secret.
const SECRET_WORDS: [&str; 8] =
    ["password", "passwd", "secret", "token", "credential", "apikey", "connectionstring", "sharedaccess"];
/// Words in a text that make it a secret, whatever its name.
const SECRET_TEXTS: [&str; 6] =
    ["SharedAccessKey=", "SharedAccessSignature ", "PRIVATE KEY-----", "AccountKey=", "Bearer ", "Password="];
/// Lists that hold a command line or `NAME=VALUE`.
const COMMAND_LINES: [&str; 4] = ["command", "Cmd", "Entrypoint", "Env"];
/// How a signed web token begins: the Base64 of `{"`.
const WEB_TOKEN: &str = "eyJ";

/// A value that is different.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Where, with dots: `env.LOG_LEVEL`.
    pub path: String,
    /// JSON before; absent when there was nothing. Secrets are `***`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Json>,
    /// JSON after; absent when there will be nothing. Secrets are `***`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Json>,
    /// The value before is not what the documents said: a change from elsewhere is overwritten on this occasion. Not set
    /// where the whole action is drift.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drift: bool,
    /// When the value before was set, in RFC 3339; only of drift, and only where the hub knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// A JSON value that can be ordered, by its canonical text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Json(pub Value);

impl Change {
    pub(crate) fn new(path: impl Into<String>, from: Option<&Value>, to: Option<&Value>) -> Self {
        let path = path.into();
        let secret = [from, to].into_iter().flatten().any(|value| is_secret(&path, value));
        let show = |value: &Value| if secret { Value::from(MASK) } else { masked(&path, value) };
        let (from, to) = (from.map(|value| Json(show(value))), to.map(|value| Json(show(value))));
        Self { path, from, to, ..Self::default() }
    }

    /// Is a value overwritten that the documents did not set?
    #[must_use]
    pub fn is_drift(&self, reason: Reason) -> bool {
        self.drift || reason == Reason::Drift
    }
}

impl PartialOrd for Json {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Json {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Asked often, for long lists of devices; texts and equal values need no canonical form.
        match (&self.0, &other.0) {
            (Value::String(one), Value::String(two)) if plain(one) && plain(two) => {
                one.bytes().chain([b'"']).cmp(two.bytes().chain([b'"']))
            }
            (one, two) if one == two => std::cmp::Ordering::Equal,
            (one, two) => hemline_model::twin::canonical(one).cmp(&hemline_model::twin::canonical(two)),
        }
    }
}

impl std::hash::Hash for Json {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        hemline_model::twin::canonical(&self.0).hash(state);
    }
}

/// Does the text stand in JSON as it is?
fn plain(text: &str) -> bool {
    !text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\')
}

/// All differences between two objects, leaf by leaf; arrays are leaves.
pub(crate) fn changes(prefix: &str, from: &Map<String, Value>, to: &Map<String, Value>) -> Vec<Change> {
    let mut found = Vec::new();
    collect(prefix, from, to, &mut found);
    found
}

fn collect(prefix: &str, from: &Map<String, Value>, to: &Map<String, Value>, found: &mut Vec<Change>) {
    let mut keys: Vec<&String> = from.keys().chain(to.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let path = join(prefix, key);
        match (from.get(key), to.get(key)) {
            (Some(Value::Object(from)), Some(Value::Object(to))) => collect(&path, from, to, found),
            (Some(Value::Object(from)), None) if !from.is_empty() => collect(&path, from, &Map::new(), found),
            (None, Some(Value::Object(to))) if !to.is_empty() => collect(&path, &Map::new(), to, found),
            (from, to) if from == to => {}
            (from, to) => found.push(Change::new(path, from, to)),
        }
    }
}

/// A path with one more step.
pub(crate) fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

fn is_secret(path: &str, value: &Value) -> bool {
    match value {
        Value::Object(_) | Value::Null | Value::Bool(_) => false,
        Value::String(text) if is_secret_text(text) => true,
        // Which entry of a secret is meant is no secret.
        Value::String(_) if path.ends_with(".secretRef.key") => false,
        Value::String(_) | Value::Number(_) | Value::Array(_) => {
            let name: String =
                path.rsplit('.').next().unwrap_or(path).chars().filter(char::is_ascii_alphanumeric).collect();
            let name = name.to_ascii_lowercase();
            // `key` alone is a name of many harmless things; at the end of a variable it is the key itself.
            SECRET_WORDS.iter().any(|word| name.contains(word))
                || (path.contains("env.") && name.ends_with("key"))
        }
    }
}

/// Is the text a secret by what it holds?
fn is_secret_text(text: &str) -> bool {
    SECRET_TEXTS.iter().any(|word| text.contains(word)) || has_password(text) || is_web_token(text)
}

/// `scheme://user:password@host`
fn has_password(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    })
}

/// Three Base64 parts between dots, the first of which is an object.
fn is_web_token(text: &str) -> bool {
    text.split_whitespace().any(|word| word.starts_with(WEB_TOKEN) && word.matches('.').count() == 2)
}

/// A whole JSON object with the secrets inside it masked. `prefix` is the path of the object.
pub(crate) fn redacted(prefix: &str, map: &Map<String, Value>) -> Map<String, Value> {
    map.iter()
        .map(|(key, value)| {
            let path = join(prefix, key);
            let shown = if is_secret(&path, value) { Value::from(MASK) } else { masked(&path, value) };
            (key.clone(), shown)
        })
        .collect()
}

/// A value with the secrets inside it masked.
fn masked(path: &str, value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(redacted(path, map)),
        Value::Array(items) if path.rsplit('.').next().is_some_and(|name| COMMAND_LINES.contains(&name)) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            match texts {
                Some(texts) => arguments(&texts).into(),
                // Not a command line, whatever its name says.
                None => Value::from(MASK),
            }
        }
        Value::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| if is_secret("", item) { Value::from(MASK) } else { masked("", item) })
                .collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// A command line with the values of secret flags masked: `--token=x`, `--token x`, `TOKEN=x`.
pub(crate) fn arguments(command: &[&str]) -> Vec<String> {
    let named = |name: &str| is_secret(&format!("env.{}", name.trim_start_matches('-')), &Value::from("x"));
    let mut after_flag = false;
    let mut shown = Vec::new();
    for argument in command {
        let value_of_flag = std::mem::take(&mut after_flag) && !argument.starts_with('-');
        shown.push(match argument.split_once('=') {
            _ if value_of_flag || is_secret_text(argument) => MASK.to_owned(),
            Some((name, _)) if named(name) => format!("{name}={MASK}"),
            Some(_) => (*argument).to_owned(),
            None => {
                after_flag = argument.starts_with('-') && named(argument);
                (*argument).to_owned()
            }
        });
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_on_a_command_line_are_masked() {
        for (command, shown) in [
            (vec!["run", "--token", "abc", "x"], vec!["run", "--token", "***", "x"]),
            (vec!["run", "--password=abc"], vec!["run", "--password=***"]),
            (vec!["env", "API_KEY=abc", "run"], vec!["env", "API_KEY=***", "run"]),
            (vec!["run", "--token", "--level", "debug"], vec!["run", "--token", "--level", "debug"]),
            (vec!["run", "HostName=h;SharedAccessKey=abc="], vec!["run", "***"]),
        ] {
            assert_eq!(arguments(&command), shown);
            let change = Change::new("command", None, Some(&json!(command)));
            assert_eq!(change.to, Some(Json(json!(shown))), "{command:?}");
        }
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        for (path, value, secret) in [
            ("env.API_TOKEN", json!("a"), true),
            ("env.DB_PASSWORD", json!("a"), true),
            ("env.SIGNING_KEY", json!("a"), true),
            ("env.LOG_LEVEL", json!("debug"), false),
            ("env.URL", json!("HostName=h;SharedAccessKey=abc="), true),
            ("desired.key", json!("a"), false),
            ("desired.tokenCount", json!(3), true),
            ("desired.secure", json!(true), false),
            ("image", json!("registry.example/token:1"), false),
            ("desired.url", json!("postgres://user:pw@db/x"), true),
            ("desired.url", json!("https://user@host:8080/a:b@c"), false),
            ("desired.a", json!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.c2ln"), true),
            ("desired.a", json!("eyJ and so on"), false),
            ("desired.a", json!("Server=db;User=u;Password=p"), true),
        ] {
            let change = Change::new(path, None, Some(&value));
            assert_eq!(change.to == Some(Json(json!(MASK))), secret, "{path}");
        }
        let nested = Change::new("desired.a", None, Some(&json!([{"password": "x"}, "SharedAccessKey=y"])));
        assert_eq!(nested.to, Some(Json(json!([{"password": MASK}, MASK]))));
    }
}
