//! Whoever asks only for what changed sees the same registry as whoever asks for all of it.

use std::collections::BTreeMap;

use hemline_hub_core::{
    changes::ChangeCursor,
    event::{AckToken, ConnectionId, Event},
    service::{
        DeviceSettings, IfMatch, RegistryChanges, SeenDevice, ServiceError, ServiceReply, ServiceRequest,
    },
};
use hemline_model::id::DeviceId;
use proptest::prelude::*;
use serde_json::json;

use super::world::{World, device, id, map};

const DEVICES: [&str; 3] = ["a", "b", "c"];

type Picture = BTreeMap<DeviceId, SeenDevice>;

/// Somebody who remembers what it saw.
#[derive(Default)]
struct Onlooker {
    picture: Picture,
    upto: ChangeCursor,
}

impl Onlooker {
    fn look(&mut self, world: &mut World) {
        loop {
            let reply = world.call(ServiceRequest::Changes { since: self.upto });
            let Ok(ServiceReply::Changes(RegistryChanges { upto, anew, more, devices })) = reply else {
                panic!("{reply:?}");
            };
            if anew {
                self.picture.clear();
            }
            for (id, seen) in devices {
                match seen {
                    Some(seen) => drop(self.picture.insert(id, seen)),
                    None => drop(self.picture.remove(&id)),
                }
            }
            self.upto = upto;
            if !more {
                return;
            }
        }
    }
}

/// What moves a registry, by everybody who may.
#[derive(Debug, Clone)]
enum Step {
    Make { which: usize, parent: bool },
    Remove(usize),
    Disable(usize),
    Module(usize),
    RemoveModule(usize),
    Desire(usize),
    Report(usize),
    Connect { which: usize, model: bool },
    Leave(usize),
    Send(usize),
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    let which = || 0..DEVICES.len();
    prop_oneof![
        3 => (which(), any::<bool>()).prop_map(|(which, parent)| Step::Make { which, parent }),
        1 => which().prop_map(Step::Remove),
        1 => which().prop_map(Step::Disable),
        1 => which().prop_map(Step::Module),
        1 => which().prop_map(Step::RemoveModule),
        2 => which().prop_map(Step::Desire),
        2 => which().prop_map(Step::Report),
        2 => (which(), any::<bool>()).prop_map(|(which, model)| Step::Connect { which, model }),
        1 => which().prop_map(Step::Leave),
        1 => which().prop_map(Step::Send),
        3 => Just(Step::Look),
    ]
}

/// What cannot be done now is not done.
fn tried(_: Result<ServiceReply, ServiceError>) {}

fn take(world: &mut World, open: &mut BTreeMap<usize, ConnectionId>, step: &Step) {
    let put = |which: usize, settings: DeviceSettings| ServiceRequest::PutDevice {
        device: device(DEVICES[which]),
        settings,
        if_match: IfMatch::Absent,
    };
    let delete =
        |client: &str| ServiceRequest::DeleteIdentity { client: id(client), if_match: IfMatch::Absent };
    match *step {
        Step::Make { which, parent } => {
            let parent = parent.then(|| Some(device(DEVICES[0])));
            let edge = Some(which == 0);
            tried(world.call(put(which, DeviceSettings { edge, parent, ..DeviceSettings::default() })));
        }
        Step::Remove(which) => tried(world.call(delete(DEVICES[which]))),
        Step::Disable(which) => {
            let settings = DeviceSettings { enabled: Some(false), ..DeviceSettings::default() };
            let device = device(DEVICES[which]);
            tried(world.call(ServiceRequest::PutDevice { device, settings, if_match: IfMatch::Any }));
        }
        Step::Module(which) => {
            tried(world.call(ServiceRequest::PutModule {
                client: id(&format!("{}/m", DEVICES[which])),
                settings: Default::default(),
                if_match: IfMatch::Absent,
            }));
        }
        Step::RemoveModule(which) => tried(world.call(delete(&format!("{}/m", DEVICES[which])))),
        Step::Desire(which) => tried(world.call(ServiceRequest::PatchTwin {
            client: id(DEVICES[which]),
            tags: Some(map(json!({"t": 1}))),
            desired: Some(map(json!({"d": 1}))),
            if_match: IfMatch::Absent,
        })),
        Step::Report(which) => {
            if let Some(connection) = open.get(&which) {
                let patch = bytes::Bytes::from_static(br#"{"r": 1}"#);
                let (rid, token) = (Some("1".to_owned()), Some(AckToken(1)));
                let connection = *connection;
                world.handle(Event::ReportedPatch { connection, rid, if_version: None, patch, token });
            }
        }
        Step::Connect { which, model } => {
            if world.call(ServiceRequest::GetDevice(device(DEVICES[which]))).is_ok() {
                let token = world.device_token(DEVICES[which]);
                let model = model.then(|| "dtmi:example:press;1".to_owned());
                let (connection, _) = world.connect_as(DEVICES[which], token, false, model);
                open.insert(which, connection);
            }
        }
        Step::Leave(which) => {
            if let Some(connection) = open.remove(&which) {
                world.leave(connection);
            }
        }
        Step::Send(which) => {
            if let Some(connection) = open.get(&which) {
                world.send(*connection, "", "x");
            }
        }
        Step::Look => {}
    }
}

proptest! {
    #[test]
    fn what_changed_adds_up_to_all(steps in prop::collection::vec(step(), 1..40)) {
        let (mut world, mut onlooker, mut open) = (World::new(), Onlooker::default(), BTreeMap::new());
        for step in &steps {
            take(&mut world, &mut open, step);
            if matches!(step, Step::Look) {
                onlooker.look(&mut world);
                let mut newcomer = Onlooker::default();
                newcomer.look(&mut world);
                prop_assert_eq!(&onlooker.picture, &newcomer.picture);
            }
        }
    }
}

#[test]
fn many_devices_come_in_pages_and_once() {
    let mut world = World::new();
    for number in 0..1200 {
        world.add_device(&format!("d{number}"), DeviceSettings::default());
    }
    let mut onlooker = Onlooker::default();
    onlooker.look(&mut world);
    assert_eq!(onlooker.picture.len(), 1200);
    world.desire("d7", json!({"a": 1}));
    let Ok(ServiceReply::Changes(changes)) = world.call(ServiceRequest::Changes { since: onlooker.upto })
    else {
        panic!()
    };
    let ids: Vec<_> = changes.devices.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!((ids, changes.more, changes.anew), (vec!["d7"], false, false));
    // A restarted hub counts anew; what was seen before it holds no more.
    world.restart();
    let Ok(ServiceReply::Changes(changes)) =
        world.call(ServiceRequest::Changes { since: ChangeCursor::default() })
    else {
        panic!()
    };
    assert!(changes.anew && changes.more);
}
