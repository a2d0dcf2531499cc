//! MQTT over TLS: the name is found, the certificate fits, the hub answers.

use super::{connect_https::MEND, dial, scene::Scene, verdict::Verdict};

/// CONNECT of MQTT 3.1.1 for a device that does not exist, without a password.
pub(super) const CONNECT: &[u8] = b"\x10\x15\0\x04MQTT\x04\x02\0\x3c\0\x09hem-check";

pub(super) async fn check(scene: &Scene) -> Verdict {
    let hub = match scene.hub() {
        Ok(hub) => hub,
        Err(why) => return Verdict::Skipped(why.to_owned()),
    };
    let answer = async { dial::exchange(&mut dial::open(hub, hub.mqtt).await?, CONNECT, 4).await };
    judge(&format!("{}:{}", hub.name, hub.mqtt), &answer.await)
}

pub(super) fn judge(at: &str, answer: &Result<Vec<u8>, String>) -> Verdict {
    match answer {
        // CONNACK, refused: nobody said who connects.
        Ok(answer) if matches!(answer.as_slice(), [0x20, 2, 0, code] if *code != 0) => {
            Verdict::Ok(format!("{at} answers"))
        }
        Ok(answer) => Verdict::error(
            format!("{at} answers strangely: {answer:?}"),
            "is there a proxy on the way, or another server on that port?",
        ),
        Err(error) => Verdict::error(format!("{at}: {error}"), MEND),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_an_answer_and_being_let_in_is_strange() {
        assert_eq!(usize::from(CONNECT[1]), CONNECT.len() - 2);
        assert!(matches!(judge("x", &Ok(vec![0x20, 2, 0, 4])), Verdict::Ok(_)));
        for answer in [&[0x20, 2, 0, 0][..], &[], b"HTTP"] {
            assert!(matches!(judge("x", &Ok(answer.to_vec())), Verdict::Error { .. }), "{answer:?}");
        }
    }
}
