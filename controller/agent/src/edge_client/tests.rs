//! The client against a workload socket and a hub that do what the test says.

mod fake_agent;
pub(crate) mod fake_hub;

use std::time::Duration;

use bytes::Bytes;
use hemline_model::id::{ClientId, DeviceId, ModuleId};
use hemline_protocol::{sas::SasToken, username::Username};
use hemline_testkit::within;
use rumqttc::{Connect, QoS};
use serde_json::{Value, json};

use self::{
    fake_agent::FakeAgent,
    fake_hub::{FakeHub, Peer},
};
use super::{workload::Workload, *};

pub(crate) const LIMIT: Duration = Duration::from_secs(10);

pub(super) fn environment(socket: &str, gateway: &str, port: u16) -> Environment {
    let module = ModuleId::new("filter").unwrap();
    Environment {
        workload: WorkloadAddress::Unix(socket.into()),
        api_version: "2018-06-28".to_owned(),
        client: ClientId::module(DeviceId::new("press-01").unwrap(), module.clone()),
        module,
        generation_id: "638".to_owned(),
        hub: "hub.local".to_owned(),
        gateway: gateway.to_owned(),
        mqtt_port: port,
    }
}

pub(crate) struct World {
    pub(crate) hub: FakeHub,
    pub(crate) agent: FakeAgent,
    pub(crate) client: ModuleClient,
}

async fn world(timing: Timing, deadline: Duration) -> World {
    let hub = FakeHub::new().await;
    let agent = FakeAgent::new(hub.ca_pem.clone());
    let environment = environment(&agent.socket(), "127.0.0.1", hub.port);
    let client = ModuleClient::open_with(environment, timing, deadline).await.unwrap();
    World { hub, agent, client }
}

fn hasty() -> Timing {
    Timing {
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(20),
        ..Timing::default()
    }
}

pub(crate) async fn default_world() -> World {
    world(hasty(), LIMIT).await
}

/// Waits until the client knows this version of its desired properties.
async fn knows(client: &ModuleClient, version: u64) -> Value {
    let mut desired = client.desired();
    let known = within(LIMIT, "desired", desired.wait_for(|desired| desired.version == Some(version))).await;
    Value::Object(known.unwrap().properties.clone())
}

/// What a module with inputs subscribes besides the twin.
pub(crate) const FILTER: &str = "devices/press-01/modules/filter/inputs/#";

pub(crate) const TWIN_1: &str = r#"{"desired":{"$version":1},"reported":{"$version":1}}"#;

#[tokio::test]
async fn connects_as_any_module_does() {
    let World { hub, agent, client } = default_world().await;
    let peer = hub.accept().await;
    let Connect { client_id, clean_session, keep_alive, login, .. } = &peer.connect;
    assert_eq!((client_id.as_str(), *clean_session, *keep_alive), ("press-01/filter", false, 60));
    let login = login.as_ref().unwrap();
    let username = Username::parse(&login.username).unwrap();
    assert_eq!(
        (username.host.as_str(), username.client.to_string().as_str()),
        ("hub.local", "press-01/filter")
    );
    assert!(username.api_version.is_some() && username.client_type.is_some());
    let token = SasToken::parse(&login.password).unwrap();
    assert!(token.verify(&agent.key));
    let life = token.expiry().as_second() - jiff::Timestamp::now().as_second();
    assert!((3590..=3600).contains(&life), "{life}");
    assert_eq!(
        agent.seen(),
        [
            "GET /trust-bundle?api-version=2018-06-28",
            "GET /trust-bundle?api-version=2018-06-28",
            "POST /modules/filter/genid/638/sign?api-version=2018-06-28",
        ]
    );
    client.close().await;
}

#[tokio::test]
async fn what_the_agent_refuses_is_told_in_its_words() {
    let hub = FakeHub::new().await;
    let agent = FakeAgent::new(hub.ca_pem.clone());
    let mut environment = environment(&agent.socket(), "127.0.0.1", hub.port);
    environment.generation_id = "old".to_owned();
    let error = Workload::new(&environment).sign(b"x").await.unwrap_err();
    assert!(matches!(&error, WorkloadCallError::Refused { status: 404, .. }), "{error}");
    assert!(error.to_string().contains("no such module"), "{error}");
    environment.workload = WorkloadAddress::Unix("/nonexistent/a.sock".into());
    let error = ModuleClient::open(environment).await.unwrap_err();
    assert!(matches!(error, StartError::Workload(WorkloadCallError::Unreachable { .. })), "{error:?}");
}

#[tokio::test]
async fn a_hub_that_the_bundle_does_not_vouch_for_gets_no_token() {
    let impostor = FakeHub::new().await;
    let World { client, agent, .. } = default_world().await;
    let mut environment = client.environment().clone();
    client.close().await;
    environment.mqtt_port = impostor.port;
    let client = ModuleClient::open_with(environment, hasty(), Duration::from_millis(300)).await.unwrap();
    assert!(within(LIMIT, "handshake", impostor.try_accept()).await.is_none());
    let error = client.send_output("o", "x", json()).await.unwrap_err();
    assert!(matches!(error, ClientError::Deadline { .. }), "{error:?}");
    client.close().await;
    drop(agent);
}

#[tokio::test]
async fn follows_the_desired_properties() {
    let World { hub, agent: _agent, client } = default_world().await;
    let mut peer = hub.accept().await;
    peer.ready(r#"{"desired":{"a":1,"b":{"c":2},"$version":4},"reported":{"$version":1}}"#).await;
    assert_eq!(knows(&client, 4).await, json!({"a": 1, "b": {"c": 2}}));
    peer.desired(5, r#"{"b":{"c":null,"d":3},"$version":5}"#).await;
    assert_eq!(knows(&client, 5).await, json!({"a": 1, "b": {"d": 3}}));
    // A gap: the patch is not used, the whole is asked for.
    peer.desired(7, r#"{"a":7,"$version":7}"#).await;
    peer.answer_get(r#"{"desired":{"a":7,"$version":7},"reported":{"$version":1}}"#).await;
    assert_eq!(knows(&client, 7).await, json!({"a": 7}));
    // A new connection asks again: patches are not kept for an absent client.
    drop(peer);
    let mut peer = hub.accept().await;
    peer.ready(r#"{"desired":{"z":1,"$version":9},"reported":{"$version":1}}"#).await;
    assert_eq!(knows(&client, 9).await, json!({"z": 1}));
    client.close().await;
}

#[tokio::test]
async fn an_output_is_sent_when_it_is_acknowledged_and_sent_again_until_then() {
    let World { hub, agent: _agent, client } = default_world().await;
    let mut peer = hub.accept().await;
    peer.ready(TWIN_1).await;
    let bodies = ["1", "2", "3"];
    let sends = async {
        let send = |body: &'static str| client.send_output("temperature", body, json());
        tokio::join!(send("1"), send("2"), send("3"))
    };
    let serve = async {
        for body in bodies {
            let publish = peer.publish().await;
            assert_eq!(
                publish.topic,
                "devices/press-01/modules/filter/messages/events/%24.on=temperature&%24.ct=application%2Fjson&%24.ce=utf-8"
            );
            assert_eq!((publish.qos, publish.payload), (QoS::AtLeastOnce, Bytes::from(body)));
            if body == "2" {
                peer.acknowledge(publish.pkid).await;
            }
        }
        drop(peer);
        let mut peer = hub.accept().await;
        peer.ready(TWIN_1).await;
        for body in ["1", "3"] {
            let publish = peer.publish().await;
            assert_eq!(publish.payload, Bytes::from(body));
            peer.acknowledge(publish.pkid).await;
        }
        peer
    };
    let ((first, second, third), mut peer) =
        within(LIMIT, "sending", async { tokio::join!(sends, serve) }).await;
    for outcome in [first, second, third] {
        outcome.unwrap();
    }
    tokio::join!(client.close(), async { assert!(peer.disconnected().await) });
}

#[tokio::test]
async fn many_outputs_go_through_the_window() {
    let World { hub, agent: _agent, client } = default_world().await;
    let mut peer = hub.accept().await;
    peer.ready(TWIN_1).await;
    let sends =
        futures_util::future::join_all((0..300).map(|n: u32| client.send_output("o", n.to_string(), json())));
    let serve = async {
        for n in 0..300u32 {
            let publish = peer.publish().await;
            assert_eq!(publish.payload, Bytes::from(n.to_string()));
            peer.acknowledge(publish.pkid).await;
        }
    };
    let (outcomes, ()) = within(LIMIT, "sending", async { tokio::join!(sends, serve) }).await;
    assert!(outcomes.iter().all(Result::is_ok));
    client.close().await;
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_at_once_or_in_time() {
    let World { hub: _hub, agent: _agent, client } = world(hasty(), Duration::from_millis(50)).await;
    let error = client.send_output("", "x", json()).await.unwrap_err();
    assert!(matches!(error, ClientError::NoOutput), "{error}");
    let error = client.send_output("o", vec![0; LARGEST_BODY + 1], json()).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { part: "body", .. }), "{error}");
    // Nobody accepts the connection.
    let error = client.send_output("o", "x", json()).await.unwrap_err();
    assert!(matches!(error, ClientError::Deadline { .. }), "{error}");
    within(LIMIT, "close", client.close()).await;
}

#[tokio::test]
async fn an_input_comes_again_until_it_is_acknowledged() {
    let World { hub, agent: _agent, client } = default_world().await;
    let mut inputs = client.inputs().unwrap();
    assert!(client.inputs().is_none());
    let mut peer = hub.accept().await;
    assert_eq!(peer.ready(TWIN_1).await, [FILTER]);
    peer.input(1, "temperature", "a").await;
    peer.input(2, "temperature", "b").await;
    let first = within(LIMIT, "input", inputs.recv()).await.unwrap();
    assert_eq!((first.input.as_str(), &first.body), ("temperature", &Bytes::from("a")));
    assert_eq!(first.properties.system.content_type.as_deref(), Some("application/json"));
    first.ack().await;
    assert_eq!(peer.acknowledged().await, 1);
    // The second is in the handler's hands when the connection breaks.
    let second = within(LIMIT, "input", inputs.recv()).await.unwrap();
    drop(peer);
    let mut peer = hub.accept().await;
    peer.ready(TWIN_1).await;
    second.ack().await;
    peer.input(1, "temperature", "b").await;
    let again = within(LIMIT, "input", inputs.recv()).await.unwrap();
    assert_eq!(again.body, Bytes::from("b"));
    again.ack().await;
    assert_eq!(peer.acknowledged().await, 1);
    client.close().await;
    assert!(peer.disconnected().await);
    assert!(inputs.recv().await.is_none());
}

#[tokio::test]
async fn inputs_are_subscribed_when_somebody_wants_them() {
    let World { hub, agent: _agent, client } = default_world().await;
    let mut peer = hub.accept().await;
    assert!(peer.ready(TWIN_1).await.is_empty());
    let mut inputs = client.inputs().unwrap();
    assert_eq!(peer.subscribed().await, [FILTER]);
    peer.input(1, "in put/ä", "x").await;
    assert_eq!(within(LIMIT, "input", inputs.recv()).await.unwrap().input, "in put/ä");
    drop(peer);
    assert_eq!(hub.accept().await.ready(TWIN_1).await, [FILTER]);
    client.close().await;
}

#[tokio::test]
async fn reports_are_answered_refused_and_repeated() {
    let World { hub, agent: _agent, client } = default_world().await;
    let mut peer = hub.accept().await;
    peer.ready(TWIN_1).await;
    let patch = json!({"received": 1}).as_object().cloned().unwrap();
    let serve = async {
        let (rid, body) = peer.report().await;
        assert_eq!(body, json!({"received": 1}));
        peer.answer(204, &rid, "").await;
        let (rid, _) = peer.report().await;
        peer.answer(400, &rid, r#"{"errorCode":400004,"message":"too deep"}"#).await;
        peer.report().await;
        drop(peer);
        let mut peer: Peer = hub.accept().await;
        peer.ready(TWIN_1).await;
        let (rid, _) = peer.report().await;
        peer.answer(204, &rid, "").await;
        peer
    };
    let calls = async {
        client.report(&patch).await.unwrap();
        let error = client.report(&patch).await.unwrap_err();
        assert!(
            matches!(&error, ClientError::Refused { status: 400, message } if message == "too deep"),
            "{error}"
        );
        client.report(&patch).await.unwrap();
    };
    let (_peer, ()) = within(LIMIT, "reporting", async { tokio::join!(serve, calls) }).await;
    client.close().await;
}

#[tokio::test]
async fn a_fresh_token_before_the_old_one_runs_out() {
    let life = Duration::from_secs(1000);
    let renew_before = life - Duration::from_millis(1000);
    let World { hub, agent, client } =
        world(Timing { token_life: life, renew_before, ..hasty() }, LIMIT).await;
    let mut peer = hub.accept().await;
    peer.ready(TWIN_1).await;
    // What is unacknowledged is waited for first.
    let send = client.send_output("o", "x", json());
    let serve = async {
        let publish = peer.publish().await;
        assert!(timeout(Duration::from_millis(1300), peer.read()).await.is_err());
        peer.acknowledge(publish.pkid).await;
        assert!(peer.disconnected().await);
    };
    let (sent, ()) = within(LIMIT, "renewal", async { tokio::join!(send, serve) }).await;
    sent.unwrap();
    hub.accept().await.ready(TWIN_1).await;
    assert_eq!(agent.seen().iter().filter(|call| call.starts_with("POST")).count(), 2);
    client.close().await;
}

#[tokio::test]
async fn a_silent_hub_is_left() {
    let patience = Duration::from_millis(500);
    let World { hub, agent: _agent, client } = world(Timing { patience, ..hasty() }, LIMIT).await;
    let mut peer = hub.accept().await;
    // Never answers SUBSCRIBE.
    assert!(peer.disconnected().await);
    let mut peer = hub.accept().await;
    peer.ready(TWIN_1).await;
    let send = client.send_output("o", "x", json());
    let serve = async {
        // Takes the message and keeps quiet.
        peer.publish().await;
        assert!(peer.disconnected().await);
        let mut peer = hub.accept().await;
        peer.ready(TWIN_1).await;
        let publish = peer.publish().await;
        peer.acknowledge(publish.pkid).await;
        peer
    };
    let (sent, _peer) = within(LIMIT, "sending", async { tokio::join!(send, serve) }).await;
    sent.unwrap();
    client.close().await;
}
