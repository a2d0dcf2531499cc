//! The clock of this machine is right: tokens and certificates of devices are judged by it. Asks a time server, if one is named,
//! by SNTP (RFC 4330).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::{net::UdpSocket, time::timeout};

use super::{scene::Scene, verdict::Verdict};

const DEADLINE: Duration = Duration::from_secs(5);
/// From here on a token of a device with a right clock may count as expired.
const WRONG: f64 = 10.0;
/// Seconds between 1900, where NTP begins, and 1970.
const ERA: f64 = 2_208_988_800.0;

pub(super) async fn check(scene: &Scene) -> Verdict {
    match &scene.ntp_server {
        Some(server) => judge(server, ask(server).await),
        None => {
            Verdict::Skipped("no time server was named; --ntp-server pool.ntp.org:123 asks one".to_owned())
        }
    }
}

fn judge(server: &str, ahead: Result<f64, String>) -> Verdict {
    match ahead {
        Err(error) => {
            Verdict::warning(format!("{server} does not tell the time: {error}"), "name another time server")
        }
        Ok(ahead) if ahead.abs() < WRONG => Verdict::Ok(format!("{ahead:+.1} s beside {server}")),
        Ok(ahead) => Verdict::error(
            format!(
                "the clock is {:.0} s {} of {server}",
                ahead.abs(),
                if ahead > 0.0 { "ahead" } else { "behind" }
            ),
            "set it, and keep it right with chrony or systemd-timesyncd",
        ),
    }
}

/// How far the clock of this machine is ahead, in seconds.
async fn ask(server: &str) -> Result<f64, String> {
    let asked = async {
        let address = tokio::net::lookup_host(server).await?.next();
        let address = address.ok_or_else(|| std::io::Error::other("the name has no address"))?;
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(address).await?;
        let mut packet = [0; 48];
        // Version 4, a client.
        packet[0] = 0b0010_0011;
        let sent = SystemTime::now();
        socket.send(&packet).await?;
        let length = socket.recv(&mut packet).await?;
        Ok::<_, std::io::Error>((packet, length, sent, SystemTime::now()))
    };
    match timeout(DEADLINE, asked).await {
        Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok((packet, 48.., sent, received))) => ahead(&packet, since_1970(sent), since_1970(received)),
        Ok(Ok((_, length, ..))) => Err(format!("its answer has {length} bytes")),
    }
}

/// From the answer, and from the times at which it was asked for and came.
fn ahead(packet: &[u8; 48], sent: f64, received: f64) -> Result<f64, String> {
    let (mode, stratum) = (packet[0] & 0b111, packet[1]);
    if mode != 4 || stratum == 0 {
        return Err("it does not want to be asked, or is no time server".to_owned());
    }
    let at = |offset: usize| {
        let word = |offset: usize| {
            let bytes = packet.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok());
            f64::from(u32::from_be_bytes(bytes.unwrap_or_default()))
        };
        word(offset) + word(offset + 4) / 4_294_967_296.0 - ERA
    };
    let (came, left) = (at(32), at(40));
    if left <= 0.0 {
        return Err("it does not know the time itself".to_owned());
    }
    Ok(((sent - came) + (received - left)) / 2.0)
}

fn since_1970(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server answers that saw the request at `came` and answered at `left`.
    fn answer(came: u32, left: u32) -> [u8; 48] {
        let mut packet = [0; 48];
        (packet[0], packet[1]) = (0b0010_0100, 2);
        packet[32..36].copy_from_slice(&(came + 2_208_988_800).to_be_bytes());
        packet[40..44].copy_from_slice(&(left + 2_208_988_800).to_be_bytes());
        packet
    }

    #[test]
    fn the_way_there_and_back_does_not_count() {
        // Four seconds there, four back, two at the server; the clock is right, then an hour ahead.
        let now = 1_800_000_000;
        let sent = f64::from(now);
        assert_eq!(ahead(&answer(now + 4, now + 6), sent, sent + 10.0), Ok(0.0));
        assert_eq!(ahead(&answer(now + 4, now + 6), sent + 3600.0, sent + 3610.0), Ok(3600.0));
        let mut wrong = answer(now, now);
        wrong[1] = 0;
        assert!(ahead(&wrong, sent, sent).is_err(), "a kiss of death");
        assert!(ahead(&[0; 48], sent, sent).is_err());
        let words = [9.9, -10.0, 3600.0].map(|seconds| judge("ntp", Ok(seconds)).as_json()["result"].clone());
        assert_eq!(words, ["ok", "error", "error"]);
    }

    #[tokio::test]
    async fn a_server_is_asked() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap().to_string();
        let serve = tokio::spawn(async move {
            let mut packet = [0; 48];
            let (length, from) = server.recv_from(&mut packet).await.unwrap();
            assert_eq!((length, packet[0]), (48, 0b0010_0011));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds until 2106")]
            let now = since_1970(SystemTime::now()) as u32;
            server.send_to(&answer(now - 600, now - 600), from).await.unwrap();
        });
        let ahead = ask(&address).await.unwrap();
        assert!((599.0..603.0).contains(&ahead), "{ahead}");
        serve.await.unwrap();
    }
}
