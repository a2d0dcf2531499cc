//! Fetching images, and which login goes to which registry.

use std::time::Duration;

use bollard::{Docker, auth::DockerCredentials, query_parameters::CreateImageOptionsBuilder};
use futures_util::StreamExt as _;

use super::super::{Pulled, RuntimeError};
use crate::{
    module::{ContainerSpec, RegistryCredential},
    unix_http::{UnixHttp, encode},
};

/// A pull that reports no progress for that long has stalled. There is no limit on the whole: links may be slow.
const STALLED: Duration = Duration::from_secs(300);

/// Fetches the image of a module. When the registry cannot be asked, an image that is here will do.
pub(super) async fn pull(
    docker: &Docker,
    engine: &UnixHttp,
    name: &str,
    container: &ContainerSpec,
) -> Result<Pulled, RuntimeError> {
    let image = with_tag(&container.image);
    let here = is_here(engine, &image).await.map_err(super::unavailable)?;
    if here && image.contains('@') {
        // A digest names one image for ever.
        return Ok(Pulled::AlreadyThere);
    }
    match fetch(docker, name, &image, container.credential.as_ref()).await {
        Ok(()) => Ok(Pulled::Fetched),
        Err(error) if here => Ok(Pulled::KeptLocal { because: error.full() }),
        Err(error) => Err(error),
    }
}

async fn is_here(engine: &UnixHttp, image: &str) -> Result<bool, String> {
    let path = format!("/images/{}/json", encode(image).replace("%2F", "/"));
    let (status, _) = engine.request("GET", &path, None).await?;
    Ok(status == 200)
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
                return Err(match super::translate("pull the image of", name, &error) {
                    RuntimeError::NoSuchModule { .. } => {
                        super::refused("pull the image of", name, format!("{image}: {error}"))
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
