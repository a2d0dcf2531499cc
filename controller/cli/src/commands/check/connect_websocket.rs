//! MQTT over WebSocket: what clients use where only HTTPS gets through.

use super::{connect_https::MEND, dial, scene::Scene, verdict::Verdict};

pub(super) async fn check(scene: &Scene) -> Verdict {
    let hub = match scene.hub() {
        Ok(hub) => hub,
        Err(why) => return Verdict::Skipped(why.to_owned()),
    };
    let at = format!("{}:{}", hub.name, hub.https);
    // The key is the example of RFC 6455; nothing is kept secret with it.
    let request = format!(
        "GET /$iothub/websocket HTTP/1.1\r\nHost: {at}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    let answer =
        async { dial::exchange(&mut dial::open(hub, hub.https).await?, request.as_bytes(), 64).await };
    match answer.await {
        Ok(answer) if answer.starts_with(b"HTTP/1.1 101 ") => Verdict::Ok(format!("{at} speaks it")),
        Ok(answer) => Verdict::error(
            format!("{at} does not become a WebSocket: {:?}", String::from_utf8_lossy(&answer)),
            "let proxies on the way pass `Upgrade: websocket`; clients over MQTT or HTTPS work all the same",
        ),
        Err(error) => Verdict::error(format!("{at}: {error}"), MEND),
    }
}
