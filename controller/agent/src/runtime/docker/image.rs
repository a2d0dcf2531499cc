//! Fetching images, which login goes to which registry, and taking images away that nothing uses.

use std::{collections::BTreeMap, time::Duration};

use bollard::{Docker, auth::DockerCredentials, query_parameters::CreateImageOptionsBuilder};
use futures_util::StreamExt as _;

use serde_json::Value;

use super::super::{Discarded, Pulled, RuntimeError};
use crate::{
    module::{ContainerSpec, PullPolicy, RegistryCredential},
    unix_http::{UnixHttp, encode, message},
};

/// A pull that reports no progress for that long has stalled. There is no limit on the whole: links may be slow.
const STALLED: Duration = Duration::from_secs(300);

/// Fetches the image of a module, or only looks for one that is never to be fetched. When the registry cannot be asked, an image
/// that is here will do.
pub(super) async fn pull(
    docker: &Docker,
    engine: &UnixHttp,
    name: &str,
    container: &ContainerSpec,
) -> Result<Pulled, RuntimeError> {
    let image = with_tag(&container.image);
    let before = id_of(engine, &image).await.map_err(super::unavailable)?;
    let here = before.is_some();
    let never = container.pull == PullPolicy::Never;
    if here && (never || image.contains('@')) {
        // A digest names one image for ever.
        return Ok(Pulled::AlreadyThere);
    }
    if never {
        let reason = format!("{image} is not on this device, and its imagePullPolicy is never");
        return Err(super::refused("find the image of", name, reason));
    }
    match fetch(docker, name, &image, container.credential.as_ref()).await {
        Ok(()) => {
            let after = id_of(engine, &image).await.map_err(super::unavailable)?;
            Ok(match after.filter(|after| before.as_ref() != Some(after)) {
                Some(id) => Pulled::Fetched { id },
                None => Pulled::AlreadyThere,
            })
        }
        Err(error) if here => Ok(Pulled::KeptLocal { because: error.full() }),
        Err(error) => Err(error),
    }
}

/// Which images names stand for, during one look: several modules may be made of one.
#[derive(Default)]
pub(super) struct Names(BTreeMap<String, Option<String>>);

impl Names {
    /// The image that has, on this device, the name that a container was made with. None when no image has it now, or it
    /// names one image for ever; what the engine does not say is not known, and no difference.
    pub(super) async fn id_of(&mut self, engine: &UnixHttp, container: &Value) -> Option<String> {
        let labels = container.pointer("/Config/Labels")?;
        let written = labels.get(super::body::ORIGINAL_IMAGE_LABEL)?.as_str()?;
        if written.contains('@') {
            return None;
        }
        let name = with_tag(written);
        if !self.0.contains_key(&name) {
            let id = id_of(engine, &name).await.ok().flatten();
            self.0.insert(name.clone(), id);
        }
        self.0.get(&name).cloned().flatten()
    }
}

/// What the engine calls an image; none when it is not here.
async fn id_of(engine: &UnixHttp, image: &str) -> Result<Option<String>, String> {
    let (status, found) = look(engine, image).await?;
    let id = found.get("Id").and_then(Value::as_str).filter(|_| status == 200);
    Ok(id.map(str::to_owned))
}

async fn look(engine: &UnixHttp, image: &str) -> Result<(u16, Value), String> {
    let path = format!("/images/{}/json", encode(image).replace("%2F", "/"));
    engine.request("GET", &path, None).await
}

/// Takes an image away unless a container, of whomever, is made of it, or it has more names than the one it came with.
pub(super) async fn discard(engine: &UnixHttp, id: &str) -> Result<Discarded, RuntimeError> {
    let (status, found) = look(engine, id).await.map_err(super::unavailable)?;
    if status == 404 {
        return Ok(Discarded::Already);
    }
    let names = found.get("RepoTags").and_then(Value::as_array).map_or(0, Vec::len);
    if names > 1 {
        return Ok(Discarded::InUse);
    }
    let path = format!("/images/{}", encode(id));
    let (status, answer) = engine.request("DELETE", &path, None).await.map_err(super::unavailable)?;
    match status {
        200 => Ok(Discarded::Now),
        404 => Ok(Discarded::Already),
        // The engine knows best whether a container is made of it.
        409 => Ok(Discarded::InUse),
        _ => Err(super::refused("take away the image", id, message(&answer))),
    }
}

async fn fetch(
    docker: &Docker,
    name: &str,
    image: &str,
    credential: Option<&RegistryCredential>,
) -> Result<(), RuntimeError> {
    let login = credential.map(|credential| DockerCredentials {
        username: Some(credential.username.clone()),
        password: Some(credential.password.expose().to_owned()),
        serveraddress: Some(credential.address.clone()),
        ..DockerCredentials::default()
    });
    let options = CreateImageOptionsBuilder::default().from_image(image).build();
    let mut progress = Box::pin(docker.create_image(Some(options), None, login));
    loop {
        match tokio::time::timeout(STALLED, progress.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => {
                // Whoever reads it knows the image by its name, not by that of the module.
                return Err(match super::translate("pull the image of", name, &error) {
                    RuntimeError::NoSuchModule { .. } => {
                        super::refused("pull the image of", name, format!("{image}: {error}"))
                    }
                    RuntimeError::Refused { what, name, reason } => {
                        RuntimeError::Refused { what, name, reason: format!("{image}: {reason}") }
                    }
                    other => other,
                });
            }
            Err(_) => {
                let seconds = STALLED.as_secs();
                return Err(RuntimeError::TimedOut {
                    what: "pull the image of",
                    name: name.to_owned(),
                    seconds,
                });
            }
        }
    }
}

/// Adds `:latest` to a reference without tag and digest (reference edge-runtime §1.4.1).
pub(super) fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || last.contains('@') { image.to_owned() } else { format!("{image}:latest") }
}

#[cfg(test)]
mod tests {
    use super::with_tag;

    #[test]
    fn tag_is_added_when_there_is_none() {
        for (image, expected) in [
            ("camera", "camera:latest"),
            ("host:5000/camera", "host:5000/camera:latest"),
            ("host:5000/camera:1", "host:5000/camera:1"),
            ("camera@sha256:ab", "camera@sha256:ab"),
        ] {
            assert_eq!(with_tag(image), expected);
        }
    }
}
