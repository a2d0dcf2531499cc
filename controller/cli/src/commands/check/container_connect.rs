//! Containers reach the hub through the address of the engine's network: the loopback of the host is not theirs.

use super::{
    connect_mqtt::{CONNECT, judge},
    dial,
    scene::Scene,
    verdict::Verdict,
};
use crate::commands::up::CONTAINER_GATEWAY;

pub(super) async fn check(scene: &Scene) -> Verdict {
    let hub = match scene.hub() {
        Ok(hub) if hub.is_here => hub,
        Ok(_) => return Verdict::Skipped("the hub does not run on this machine".to_owned()),
        Err(why) => return Verdict::Skipped(why.to_owned()),
    };
    let Some(bridge) = hemline_agent::bridge_address(scene.docker.as_deref()).await else {
        return Verdict::Skipped(
            "no container engine tells the address of its network; see container-engine".to_owned(),
        );
    };
    let dialled = dial::open_as(hub, CONTAINER_GATEWAY, (bridge, hub.mqtt)).await;
    let at = format!("{bridge}:{}", hub.mqtt);
    match dialled {
        Ok(mut connection) => judge(&at, &dial::exchange(&mut connection, CONNECT, 4).await),
        // A hub whose documents have no containers does not listen there.
        Err(error) => Verdict::warning(
            format!("{at}: {error}"),
            "modules that are containers cannot reach the hub; restart `hem up` after the engine, or give it --listen 0.0.0.0",
        ),
    }
}
