//! HTTPS: the name is found, the certificate fits, the hub answers.

use super::{dial, scene::Scene, verdict::Verdict};

pub(super) const MEND: &str = "does the name lead to the hub, is the port open on the way, and is the CA the one of this hub (`hem ca`)?";

pub(super) async fn check(scene: &Scene) -> Verdict {
    let hub = match scene.hub() {
        Ok(hub) => hub,
        Err(why) => return Verdict::Skipped(why.to_owned()),
    };
    let at = format!("{}:{}", hub.name, hub.https);
    let request = format!("GET /api/v1/status HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    let answer =
        async { dial::exchange(&mut dial::open(hub, hub.https).await?, request.as_bytes(), 64).await };
    match answer.await {
        // Nobody said who asks, so anything else would be wrong.
        Ok(answer) if answer.starts_with(b"HTTP/1.1 401 ") => Verdict::Ok(format!("{at} answers")),
        Ok(answer) => Verdict::error(
            format!("{at} answers strangely: {:?}", String::from_utf8_lossy(&answer)),
            "is there a proxy on the way, or another server on that port?",
        ),
        Err(error) => Verdict::error(format!("{at}: {error}"), MEND),
    }
}
