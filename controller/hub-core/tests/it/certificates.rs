//! Clients with certificates (reference device-protocol §3.2): who gets in, what they may ask for, what ends them.

use std::sync::Arc;

use hemline_hub_core::{
    credential::{Chain, Credential, Presented},
    effect::{AuthFailure, CloseReason, Effect, Refusal},
    event::{Caller, Connect, ConnectionId, Event},
    message::AuthMethod,
    service::{
        Authentication, DeviceSettings, IfMatch, ModuleSettings, ServiceError, ServiceReply, ServiceRequest,
    },
    write::Write,
};
use hemline_protocol::{properties::Properties, sas::SasToken};
use jiff::SignedDuration;
use serde_json::json;

use super::world::{World, device, id, key};

const PRIMARY: &str = "aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11";
const SECONDARY: &str = "BB22BB22BB22BB22BB22BB22BB22BB22BB22BB22BB22BB22BB22BB22BB22BB22";

fn self_signed(primary: &str, secondary: &str) -> Option<Authentication> {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Some(Authentication::SelfSigned { primary: given(primary), secondary: given(secondary) })
}

fn sas() -> Option<Authentication> {
    Some(Authentication::Sas { primary: key(1).expose_base64(), secondary: key(2).expose_base64() })
}

/// `thumb` (SHA-1 and SHA-256), `signed`, `keyed` with a module `keyed/m` of a certificate of its own, `off` (disabled), and
/// `edge`, whose certificate speaks for its modules.
fn world() -> World {
    let mut world = World::new();
    let mut add = |id: &str, authentication, edge, enabled| {
        let settings = DeviceSettings {
            authentication,
            edge: Some(edge),
            enabled: Some(enabled),
            ..DeviceSettings::default()
        };
        world.add_device(id, settings);
    };
    add("thumb", self_signed(PRIMARY, SECONDARY), false, true);
    add("signed", Some(Authentication::CertificateAuthority), false, true);
    add("keyed", sas(), false, true);
    add("off", self_signed(PRIMARY, ""), false, false);
    add("edge", Some(Authentication::CertificateAuthority), true, true);
    for (module, authentication) in [
        ("keyed/m", self_signed("", SECONDARY)),
        ("signed/m", Some(Authentication::CertificateAuthority)),
        ("edge/m", sas()),
        ("thumb/m", sas()),
    ] {
        let settings = ModuleSettings { authentication, ..ModuleSettings::default() };
        let operation = ServiceRequest::PutModule { client: id(module), settings, if_match: IfMatch::Absent };
        world.call(operation).unwrap();
    }
    world
}

/// Good for an hour before and an hour after this moment.
fn certificate(world: &World, thumbprint: &str, name: &str, chain: Chain) -> Arc<Presented> {
    let (sha1, sha256) = match thumbprint.len() {
        40 => (thumbprint.to_lowercase(), "0".repeat(64)),
        64 => ("0".repeat(40), thumbprint.to_lowercase()),
        _ => ("0".repeat(40), "0".repeat(64)),
    };
    let hour = SignedDuration::from_hours(1);
    let common_name = (!name.is_empty()).then(|| name.to_owned());
    Arc::new(Presented {
        sha1,
        sha256,
        common_name,
        not_before: world.now - hour,
        not_after: world.now + hour,
        chain,
    })
}

fn connect(world: &mut World, client: &str, certificate: &Arc<Presented>) -> (ConnectionId, Vec<Effect>) {
    let connection = ConnectionId(u64::from(world.token().0) + 1_000);
    let effects = world.handle(Event::Connect(Connect {
        connection,
        host: "hub.local".to_owned(),
        client: id(client),
        credential: Credential::Certificate(Arc::clone(certificate)),
        clean: false,
        model_id: None,
        will: None,
        peer: String::new(),
    }));
    (connection, effects)
}

fn verdict(world: &mut World, client: &str, certificate: &Arc<Presented>) -> Result<AuthMethod, AuthFailure> {
    let (connection, effects) = connect(world, client, certificate);
    if let Some(Effect::Refuse { refusal: Refusal::NotAuthorised(failure), .. }) = effects.first() {
        return Err(*failure);
    }
    let sent = world.send(connection, "", "x");
    world.leave(connection);
    let method = sent.iter().find_map(|effect| match effect {
        Effect::Persist(Write::Append { message, .. }) => Some(message.auth),
        _ => None,
    });
    Ok(method.expect("modules of an edge device without routes are not in the table"))
}

#[test]
fn who_gets_in() {
    use AuthFailure::{Disabled, UnknownIdentity, UntrustedCertificate, WrongCertificate, WrongIdentity};
    use AuthMethod::{DeviceX509, ModuleX509};
    use Chain::{Registered, Unregistered};
    let mut world = world();
    for (client, thumbprint, name, chain, expected) in [
        ("thumb", PRIMARY, "", Unregistered, Ok(DeviceX509)),
        ("thumb", SECONDARY, "", Unregistered, Ok(DeviceX509)),
        ("thumb", PRIMARY, "somebody", Unregistered, Ok(DeviceX509)),
        ("thumb", "", "thumb", Registered, Err(WrongCertificate)),
        ("thumb/m", PRIMARY, "", Unregistered, Ok(DeviceX509)),
        ("signed", "", "signed", Registered, Ok(DeviceX509)),
        ("signed", "", "signed", Unregistered, Err(UntrustedCertificate)),
        ("signed", "", "Signed", Registered, Err(WrongIdentity)),
        ("signed", "", "thumb", Registered, Err(WrongIdentity)),
        ("signed", "", "", Registered, Err(WrongIdentity)),
        ("signed", PRIMARY, "", Unregistered, Err(WrongIdentity)),
        ("signed/m", "", "signed/m", Registered, Ok(ModuleX509)),
        ("signed/m", "", "signed", Registered, Ok(DeviceX509)),
        ("signed/m", "", "m", Registered, Err(WrongIdentity)),
        ("signed", "", "signed/m", Registered, Err(WrongIdentity)),
        ("keyed", PRIMARY, "keyed", Registered, Err(WrongCertificate)),
        ("keyed/m", SECONDARY, "", Unregistered, Ok(ModuleX509)),
        ("keyed/m", PRIMARY, "", Unregistered, Err(WrongCertificate)),
        ("off", PRIMARY, "", Unregistered, Err(Disabled)),
        ("nobody", PRIMARY, "nobody", Registered, Err(UnknownIdentity)),
    ] {
        let shown = certificate(&world, thumbprint, name, chain);
        assert_eq!(
            verdict(&mut world, client, &shown),
            expected,
            "{client} thumbprint {thumbprint:?} name {name:?} {chain:?}"
        );
    }
    for client in ["edge/$edgeAgent", "edge/m"] {
        let shown = certificate(&world, "", "edge", Registered);
        let (_, effects) = connect(&mut world, client, &shown);
        assert!(matches!(effects.first(), Some(Effect::Accept { .. })), "{client}: {effects:?}");
    }
}

#[test]
fn only_between_its_dates() {
    let mut world = world();
    let start = world.now;
    let at = |seconds: i64| start + SignedDuration::from_secs(seconds);
    for (client, name) in [("thumb", ""), ("signed", "signed")] {
        for (now, expected) in [
            (-1, Err(AuthFailure::CertificateDates)),
            (0, Ok(AuthMethod::DeviceX509)),
            (60, Ok(AuthMethod::DeviceX509)),
            (61, Err(AuthFailure::CertificateDates)),
        ] {
            let shown = Presented {
                not_before: start,
                not_after: at(60),
                ..Presented::clone(&certificate(&world, PRIMARY, name, Chain::Registered))
            };
            world.now = at(now);
            assert_eq!(verdict(&mut world, client, &Arc::new(shown)), expected, "{client} at {now}");
            world.now = start;
        }
    }
}

#[test]
fn keys_do_not_open_what_has_a_certificate() {
    let mut world = world();
    for client in ["thumb", "signed", "edge/$edgeAgent"] {
        let resource = format!("hub.local/devices/{}", id(client).device);
        let expiry = world.now + SignedDuration::from_hours(1);
        let token = SasToken::sign(&key(1), &resource, expiry, None);
        let (_, effects) = world.connect_with(client, token, false);
        let refused = Refusal::NotAuthorised(AuthFailure::WrongKey);
        assert!(
            matches!(effects.first(), Some(Effect::Refuse { refusal, .. }) if *refusal == refused),
            "{client}: {effects:?}"
        );
    }
}

#[test]
fn a_connection_ends_with_its_certificate() {
    let mut world = world();
    let shown = certificate(&world, PRIMARY, "", Chain::Unregistered);
    let (connection, _) = connect(&mut world, "thumb", &shown);
    // As with tokens: ten minutes of grace for who is there already.
    let (end, step) = (shown.not_after, SignedDuration::from_mins(10));
    world.now = end + step;
    assert!(world.handle(Event::Tick).is_empty());
    world.now = end + step + SignedDuration::from_secs(1);
    let effects = world.handle(Event::Tick);
    assert!(
        effects.contains(&Effect::Close { connection, reason: CloseReason::TokenExpired }),
        "{effects:?}"
    );
}

fn put(world: &mut World, name: &str, authentication: Option<Authentication>) -> Vec<Effect> {
    let settings = DeviceSettings { authentication, ..DeviceSettings::default() };
    let operation = ServiceRequest::PutDevice { device: device(name), settings, if_match: IfMatch::Any };
    world.ask(Caller::Internal, operation).1
}

#[test]
fn a_withdrawn_certificate_is_closed_and_a_replaced_key_is_not() {
    let mut world = world();
    let third = "cc33cc33cc33cc33cc33cc33cc33cc33cc33cc33";
    let shown = certificate(&world, PRIMARY, "", Chain::Unregistered);
    let (on_device, _) = connect(&mut world, "thumb", &shown);
    let (on_module, _) = connect(&mut world, "thumb/m", &shown);
    let closed = |effects: &[Effect]| -> Vec<ConnectionId> {
        let closed = effects.iter().filter_map(|effect| match effect {
            Effect::Close { connection, reason: CloseReason::IdentityGone } => Some(*connection),
            _ => None,
        });
        closed.collect()
    };
    // The next certificate comes beside the one in use, then takes its place: nobody notices.
    let effects = put(&mut world, "thumb", self_signed(PRIMARY, third));
    assert_eq!(closed(&effects), []);
    let effects = put(&mut world, "thumb", self_signed(third, PRIMARY));
    assert_eq!(closed(&effects), []);
    let effects = put(&mut world, "thumb", self_signed(third, SECONDARY));
    assert_eq!(closed(&effects), [on_module, on_device]);

    let keyed = world.connect("keyed");
    let fresh = Authentication::Sas { primary: key(7).expose_base64(), secondary: key(8).expose_base64() };
    let effects = put(&mut world, "keyed", Some(fresh));
    assert_eq!(closed(&effects), [], "{keyed:?} stays until its token runs out");
    let effects = world.send(keyed, "", "still there");
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Ack { .. })), "{effects:?}");
}

#[test]
fn what_a_certificate_may_ask_for() {
    let mut world = world();
    let allowed = |world: &mut World, name: &str, operation: &ServiceRequest| {
        let shown = certificate(world, "", name, Chain::Registered);
        match world.call_as(Caller::Certificate(shown), operation.clone()) {
            Err(ServiceError::Unauthorised(failure)) => Err(failure),
            Ok(_) | Err(_) => Ok(()),
        }
    };
    let send = |client: &str| ServiceRequest::SendTelemetry {
        client: id(client),
        messages: vec![(Properties::default(), "x".into())],
    };
    let somebody = |client: Option<&str>| ServiceRequest::Identify { client: client.map(id) };
    for (name, operation, expected) in [
        ("signed", send("signed"), Ok(())),
        ("signed", ServiceRequest::ReceiveCloudToDevice(id("signed")), Ok(())),
        ("signed", ServiceRequest::GetDevice(device("signed")), Ok(())),
        ("signed", send("edge"), Err(AuthFailure::WrongIdentity)),
        ("signed", send("keyed"), Err(AuthFailure::WrongCertificate)),
        ("signed", ServiceRequest::GetDevice(device("edge")), Err(AuthFailure::WrongIdentity)),
        ("signed", ServiceRequest::ListModules(device("signed")), Err(AuthFailure::Forbidden)),
        ("edge", ServiceRequest::ListModules(device("edge")), Ok(())),
        ("edge", ServiceRequest::GetModule(id("edge/m")), Ok(())),
        ("edge", ServiceRequest::GetTwin(id("edge")), Err(AuthFailure::Forbidden)),
        ("edge", ServiceRequest::GetPolicy("device".to_owned()), Err(AuthFailure::Forbidden)),
        ("edge", ServiceRequest::ListDevices { top: 10 }, Err(AuthFailure::Forbidden)),
        ("edge", ServiceRequest::PurgeCloudToDevice(device("edge")), Err(AuthFailure::Forbidden)),
        ("signed", somebody(Some("signed")), Ok(())),
        ("edge", somebody(Some("edge/m")), Ok(())),
        // It may be about to make that module.
        ("edge", somebody(Some("edge/new")), Ok(())),
        ("signed", somebody(Some("edge")), Err(AuthFailure::WrongIdentity)),
        ("signed", somebody(Some("nobody")), Err(AuthFailure::UnknownIdentity)),
        ("signed", somebody(None), Err(AuthFailure::Forbidden)),
    ] {
        assert_eq!(allowed(&mut world, name, &operation), expected, "{name} {operation:?}");
    }
    let reply = world.call(ServiceRequest::GetDevice(device("thumb"))).unwrap();
    let ServiceReply::Identity { document, .. } = reply else { panic!("{reply:?}") };
    let expected = json!({
        "type": "selfSigned",
        "symmetricKey": {"primaryKey": null, "secondaryKey": null},
        "x509Thumbprint": {"primaryThumbprint": PRIMARY, "secondaryThumbprint": SECONDARY},
    });
    assert_eq!(document["authentication"], expected);
    assert!(world.core.counters().unauthorised[&AuthFailure::Forbidden] >= 5);
}
