//! Putting back what somebody changed on a container in place (`docker update`, `docker rename`), without stopping it.

use serde_json::{Map, Value};

use super::{super::RuntimeError, inspect, refused, unavailable};
use crate::{
    module::ModuleSpec,
    unix_http::{UnixHttp, encode, message},
};

/// Makes a container that is there as it was when it was made.
pub(super) async fn mend(engine: &UnixHttp, id: &str, spec: &ModuleSpec) -> Result<(), RuntimeError> {
    let name = spec.key.name.as_str();
    let found = engine.get(&format!("/containers/{id}/json")).await.map_err(unavailable)?;
    let now = inspect::traits(&found);
    let differing = spec.traits.iter().filter(|(path, value)| now.get(*path) != Some(*value));
    let mut update = Map::new();
    for (path, value) in differing {
        if let Some(key) = path.strip_prefix(inspect::HOST) {
            update.insert(key.to_owned(), value.clone());
        } else if let (inspect::NAME, Some(text)) = (path.as_str(), value.as_str()) {
            let path = format!("/containers/{id}/rename?name={}", encode(text));
            answer(engine, name, &path, None).await?;
        }
    }
    if update.contains_key("Memory") || update.contains_key("MemorySwap") {
        // The engine takes the two together only.
        for key in ["Memory", "MemorySwap"] {
            if let Some(value) = spec.traits.get(&format!("{}{key}", inspect::HOST)) {
                update.insert(key.to_owned(), value.clone());
            }
        }
    }
    if !update.is_empty() {
        let path = format!("/containers/{id}/update");
        answer(engine, name, &path, Some(&Value::Object(update))).await?;
    }
    Ok(())
}

async fn answer(engine: &UnixHttp, name: &str, path: &str, body: Option<&Value>) -> Result<(), RuntimeError> {
    let (status, answer) = engine.request("POST", path, body).await.map_err(unavailable)?;
    if (200..300).contains(&status) { Ok(()) } else { Err(refused("mend", name, message(&answer))) }
}
