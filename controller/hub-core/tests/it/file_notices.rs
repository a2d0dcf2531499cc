//! Notices of uploaded files: lent, settled, given back, told once, dropped in time (reference service-api §5.5).

use hemline_hub_core::{
    cloud_to_device::{LockToken, Settlement},
    event::Caller,
    file_notices::UploadedFile,
    files::UploadId,
    limits::Limits,
    service::{ServiceError, ServiceReply, ServiceRequest},
};
use hemline_protocol::blob::BlobName;

use super::world::{HUB, World, id};

fn file(number: u8) -> ServiceRequest {
    ServiceRequest::TellOfFile(Box::new(UploadedFile {
        upload: UploadId::new([number; 16]),
        device: id("d").device,
        name: BlobName::new(format!("a/{number}")).unwrap(),
        uri: format!("https://hub/files/d/a/{number}"),
        bytes: 7,
        modified: "2026-01-01T00:00:00Z".parse().unwrap(),
    }))
}

fn receive(world: &mut World) -> Option<(LockToken, String)> {
    match world.call(ServiceRequest::ReceiveFileNotice) {
        Ok(ServiceReply::FileNotice(lent)) => {
            lent.map(|lent| (lent.lock, lent.notice.document()["blobName"].as_str().unwrap().to_owned()))
        }
        other => panic!("{other:?}"),
    }
}

fn settle(world: &mut World, lock: LockToken, settlement: Settlement) -> Result<ServiceReply, ServiceError> {
    world.call(ServiceRequest::SettleFileNotice { lock, settlement })
}

#[test]
fn lent_and_settled() {
    let mut world = World::new();
    assert_eq!(receive(&mut world), None);
    for number in [1, 2, 1] {
        world.call(file(number)).unwrap();
    }
    assert_eq!(world.disk.file_notices.len(), 2, "told again while it waits is told once");
    assert_eq!(world.core.counters().files_uploaded, 2);
    let (first, name) = receive(&mut world).unwrap();
    assert_eq!(name, "d/a/1");
    world.call(file(1)).unwrap();
    let (second, name) = receive(&mut world).unwrap();
    assert_eq!((name.as_str(), receive(&mut world)), ("d/a/2", None), "and while it is held");
    settle(&mut world, first, Settlement::Complete).unwrap();
    assert_eq!(settle(&mut world, first, Settlement::Complete), Err(ServiceError::LockLost));
    settle(&mut world, second, Settlement::Abandon).unwrap();
    let (again, _) = receive(&mut world).unwrap();
    world.wait(61);
    assert_eq!(settle(&mut world, again, Settlement::Complete), Err(ServiceError::LockLost));
    let (held, _) = receive(&mut world).unwrap();
    world.restart();
    assert_eq!(settle(&mut world, held, Settlement::Complete), Err(ServiceError::LockLost));
    let (last, name) = receive(&mut world).unwrap();
    assert_eq!(name, "d/a/2");
    settle(&mut world, last, Settlement::Reject).unwrap();
    assert!(world.disk.file_notices.is_empty());
}

#[test]
fn nobody_takes_them() {
    let mut world = World::with(Limits { file_notices: 2, ..Limits::default() });
    for number in 1..=3 {
        world.call(file(number)).unwrap();
    }
    assert_eq!(world.disk.file_notices.len(), 2, "the oldest makes room");
    assert_eq!(receive(&mut world).unwrap().1, "d/a/2");
    world.wait(48 * 3_600 + 1);
    assert!(world.disk.file_notices.is_empty());
}

#[test]
fn only_the_service_side_hears_and_nobody_else_tells() {
    let mut world = World::new();
    world.call(file(1)).unwrap();
    for (policy, may) in
        [("service", true), ("iothubowner", true), ("device", false), ("registryReadWrite", false)]
    {
        let caller = Caller::Token(world.policy_token(policy, HUB));
        assert_eq!(world.call_as(caller.clone(), ServiceRequest::ReceiveFileNotice).is_ok(), may, "{policy}");
        assert!(world.call_as(caller, file(9)).is_err(), "{policy}");
    }
    world.add_device("d", Default::default());
    let own = Caller::Token(world.device_token("d"));
    assert!(world.call_as(own.clone(), ServiceRequest::ActAs(id("d"))).is_ok());
    assert!(world.call_as(own.clone(), ServiceRequest::ActAs(id("d/m"))).is_err());
    assert!(world.call_as(own, ServiceRequest::ReceiveFileNotice).is_err());
}
