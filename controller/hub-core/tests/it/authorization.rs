//! The policy for user-defined topics: what it decides in the cases that the reference names (edge-runtime §6.3, §6.4), and
//! in random ones what a reader with patience would decide.

use hemline_hub_core::authorization::{AuthorizationPolicy, Decision, Operation, Subject};
use hemline_model::{
    document::Broker,
    id::{ClientId, DeviceId},
    topic_filter::TopicFilter,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const NAMES: [&str; 2] = ["hub", "other.example"];

fn policy(authorizations: &Value) -> (Broker, AuthorizationPolicy) {
    let broker: Broker = serde_json::from_value(json!({"authorizations": authorizations})).unwrap();
    assert_eq!(broker.faults(), [], "{authorizations}");
    let policy = AuthorizationPolicy::compile(&broker).unwrap();
    (broker, policy)
}

fn decide(policy: &AuthorizationPolicy, client: &str, asked: &str) -> Decision {
    let names = NAMES.map(str::to_owned);
    let (client, this_device): (ClientId, DeviceId) = (client.parse().unwrap(), "d".parse().unwrap());
    let subject = Subject { names: &names, client: &client, this_device: &this_device };
    let (operation, on) = asked.split_once(' ').unwrap_or((asked, ""));
    let filter = TopicFilter::parse(on);
    policy.decide(
        &subject,
        match operation {
            "connect" => Operation::Connect,
            "publish" => Operation::Publish(on),
            "receive" => Operation::Receive(on),
            "subscribe" => Operation::Subscribe(filter.as_ref().unwrap()),
            other => panic!("{other}"),
        },
    )
}

/// One policy, and what it decides.
fn told(authorizations: &Value, asked: &[(&str, &str)]) -> String {
    let (_, policy) = policy(authorizations);
    let lines =
        asked.iter().map(|(client, asked)| format!("{client} {asked}: {}", decide(&policy, client, asked)));
    lines.collect::<Vec<_>>().join("\n")
}

fn both() -> Value {
    json!(["mqtt:publish", "mqtt:subscribe"])
}

#[test]
fn nothing_is_allowed_that_no_rule_allows() {
    let asked = [("d", "connect"), ("d", "publish a"), ("d", "subscribe #"), ("d", "receive a")];
    insta::assert_snapshot!(told(&json!([]), &asked), @r"
    d connect: denied, no rule allows it
    d publish a: denied, no rule allows it
    d subscribe #: denied, no rule allows it
    d receive a: denied, no rule allows it
    ");
}

#[test]
fn the_example_of_the_reference() {
    let authorizations = json!([
        {"identities": ["{{iot:identity}}"], "allow": [{"operations": ["mqtt:connect"]}]},
        {"identities": ["hub/d1"],
            "deny": [{"operations": ["mqtt:publish"], "resources": ["alerts/secret"]}],
            "allow": [{"operations": both(), "resources": ["alerts/#"]}]}]);
    let asked = [
        ("d1", "connect"),
        ("d2", "connect"),
        ("d1", "publish alerts"),
        ("d1", "publish alerts/a/b"),
        ("d1", "publish alerts/secret"),
        ("d1", "subscribe alerts/secret"),
        ("d1", "subscribe alerts/#"),
        ("d1", "publish other"),
        ("d2", "publish alerts/a"),
        ("d1/m", "publish alerts/a"),
    ];
    insta::assert_snapshot!(told(&authorizations, &asked));
}

/// Inside a statement the denials come first; across statements the order of the document counts, not that of the letters,
/// nor whether there are variables.
#[test]
fn the_first_rule_that_fits() {
    let authorizations = json!([
        {"identities": ["d/m"], "allow": [{"operations": both(), "resources": ["a"]}]},
        {"identities": ["d/m"], "deny": [{"operations": both(), "resources": ["#"]}],
            "allow": [{"operations": both(), "resources": ["b"]}]},
        {"identities": ["d/m"], "allow": [{"operations": both(), "resources": ["#"]}]},
        {"identities": ["{{mqtt:client_id}}"], "deny": [{"operations": both(), "resources": ["x"]}]},
        {"identities": ["{{iot:identity}}", "d"], "allow": [{"operations": both(), "resources": ["x", "y"]}]},
        {"identities": ["d"], "deny": [{"operations": both(), "resources": ["y"]}]}]);
    let asked = [
        ("d/m", "publish a"),
        ("d/m", "publish b"),
        ("d/m", "subscribe c"),
        ("d/m", "connect"),
        ("d", "publish x"),
        ("d", "publish y"),
    ];
    insta::assert_snapshot!(told(&authorizations, &asked));
}

#[test]
fn who_somebody_is() {
    let may = |topic: &str| json!([{"operations": both(), "resources": [topic]}]);
    let authorizations = json!([
        {"identities": ["hub/d/m"], "allow": may("full")},
        {"identities": ["OTHER.example/d/m"], "allow": may("other")},
        {"identities": ["d/m"], "allow": may("plain")},
        {"identities": ["elsewhere/d/m", "D/m", "d/M", "d", "m", "d/m/"], "allow": may("#")},
        {"identities": ["hub/x"], "allow": may("device-x")},
        {"identities": ["{{iot:this_device_id}}/{{iot:module_id}}"], "allow": may("own")},
        {"identities": ["{{iot:device_id}}"], "allow": may("devices")},
        {"identities": ["d/bad"], "deny": [{"operations": ["mqtt:connect"]}]},
        {"identities": ["{{iot:identity}}"], "allow": [{"operations": ["mqtt:connect"], "resources": ["a"]}]}]);
    let asked = [
        ("d/m", "publish full"),
        ("d/m", "publish other"),
        ("d/m", "publish plain"),
        ("d/m", "publish else"),
        ("d", "publish else"),
        ("x", "publish device-x"),
        ("hub/x", "publish device-x"),
        ("d/n", "publish own"),
        ("e/n", "publish own"),
        ("e", "publish devices"),
        ("e/n", "publish devices"),
        ("d/bad", "connect"),
        ("d/good", "connect"),
        ("d/good", "publish a"),
    ];
    insta::assert_snapshot!(told(&authorizations, &asked));
}

/// The device is the device and the module the module; an id that looks like a wildcard is none.
#[test]
fn what_variables_stand_for() {
    let authorizations = json!([{"identities": ["{{iot:identity}}"], "allow": [{"operations": both(), "resources": [
        "device/{{iot:device_id}}/+", "module/{{iot:module_id}}", "this/{{iot:this_device_id}}",
        "client/{{mqtt:client_id}}", "identity/{{iot:identity}}", "pre-{{iot:device_id}}-post"]}]}]);
    let asked = [
        ("e/m", "publish device/e/x"),
        ("e/m", "publish device/hub/x"),
        ("e/m", "publish device/m/x"),
        ("e/m", "publish module/m"),
        ("e", "publish module/e"),
        ("e", "publish module/"),
        ("e/m", "publish this/d"),
        ("e/m", "publish this/e"),
        ("e/m", "publish client/e/m"),
        ("e/m", "publish identity/hub/e/m"),
        ("e", "publish pre-e-post"),
        ("e", "subscribe device/e/+"),
        ("e", "subscribe device/+/+"),
        ("#", "publish device/x/y"),
        ("#", "subscribe device/#"),
        ("+", "publish device/x/y"),
        ("+", "subscribe device/+/y"),
    ];
    insta::assert_snapshot!(told(&authorizations, &asked));
}

#[test]
fn a_subscription_has_to_be_allowed_whole_and_a_message_by_itself() {
    let authorizations = json!([{"identities": ["d"],
        "deny": [{"operations": ["mqtt:subscribe"], "resources": ["a/secret"]}],
        "allow": [{"operations": ["mqtt:subscribe"], "resources": ["a/#", "b/+", "c/+/d"]}]}]);
    let asked = [
        ("d", "subscribe a/#"),
        ("d", "subscribe a/+"),
        ("d", "subscribe a/secret"),
        ("d", "receive a/secret"),
        ("d", "receive a/b"),
        ("d", "subscribe b/+"),
        ("d", "subscribe b/x"),
        ("d", "subscribe b/#"),
        ("d", "receive b/x/y"),
        ("d", "subscribe +/x"),
        ("d", "subscribe c/+/+"),
        ("d", "subscribe #"),
        ("d", "publish a/b"),
    ];
    insta::assert_snapshot!(told(&authorizations, &asked));
}

/// Where the hub is called like the device, `d/x` is still the module.
#[test]
fn a_hub_with_the_name_of_the_device() {
    let (_, policy) =
        policy(&json!([{"identities": ["d/m", "d/d/n"], "allow": [{"operations": ["mqtt:connect"]}]}]));
    let names = ["d".to_owned()];
    let this_device: DeviceId = "d".parse().unwrap();
    for (client, allowed) in [("d/m", true), ("d/n", true), ("m", false), ("d/d", false)] {
        let client: ClientId = client.parse().unwrap();
        let subject = Subject { names: &names, client: &client, this_device: &this_device };
        assert_eq!(policy.decide(&subject, Operation::Connect).is_allowed(), allowed, "{client}");
    }
}

// === the patient reader ===

/// Replaces variables in the text, so ids must be plain; `None` when one has no value.
fn filled(text: &str, client: &str) -> Option<String> {
    let (device, module) =
        client.split_once('/').map_or((client, None), |(device, module)| (device, Some(module)));
    if text.contains("{{iot:module_id}}") && module.is_none() {
        return None;
    }
    Some(
        text.replace("{{iot:identity}}", &format!("hub/{client}"))
            .replace("{{mqtt:client_id}}", client)
            .replace("{{iot:device_id}}", device)
            .replace("{{iot:module_id}}", module.unwrap_or_default())
            .replace("{{iot:this_device_id}}", "d"),
    )
}

fn matches(filter: &str, topic: &str) -> bool {
    fn walk(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            (["+", filter @ ..], [_, topic @ ..]) => walk(filter, topic),
            ([word, filter @ ..], [found, topic @ ..]) => word == found && walk(filter, topic),
            (_, _) => false,
        }
    }
    let (filter, topic): (Vec<&str>, Vec<&str>) = (filter.split('/').collect(), topic.split('/').collect());
    walk(&filter, &topic)
}

/// Every topic of up to four levels, one word of which nobody writes anywhere.
fn universe() -> Vec<String> {
    let words = ["a", "b", "d", "m", "hub", "nobody"];
    let mut all: Vec<String> = words.map(str::to_owned).into();
    let mut from = 0;
    for _ in 1..4 {
        let until = all.len();
        for place in from..until {
            for word in words {
                all.push(format!("{}/{word}", all[place]));
            }
        }
        from = until;
    }
    all
}

fn patiently(broker: &Broker, client: &str, asked: &str) -> bool {
    let (operation, on) = asked.split_once(' ').unwrap_or((asked, ""));
    let universe = universe();
    for statement in &broker.authorizations {
        let about =
            statement.identities.iter().filter_map(|identity| filled(identity, client)).any(|identity| {
                identity == client
                    || identity == format!("hub/{client}")
                    || identity == format!("other.example/{client}")
            });
        if !about {
            continue;
        }
        for (verdict, rules) in [(false, &statement.deny), (true, &statement.allow)] {
            for rule in rules {
                let wanted = if operation == "receive" { "subscribe" } else { operation };
                let names: Vec<String> = rule
                    .operations
                    .iter()
                    .map(|operation| json!(operation).as_str().unwrap().to_owned())
                    .collect();
                if !names.contains(&format!("mqtt:{wanted}")) {
                    continue;
                }
                let mut filters = rule.resources.iter().filter_map(|resource| filled(resource, client));
                let fits = match operation {
                    "connect" => true,
                    "subscribe" => filters.any(|filter| {
                        universe
                            .iter()
                            .filter(|topic| matches(on, topic))
                            .all(|topic| matches(&filter, topic))
                    }),
                    _ => filters.any(|filter| matches(&filter, on)),
                };
                if fits {
                    return verdict;
                }
            }
        }
    }
    false
}

fn statement() -> impl Strategy<Value = Value> {
    let identity = prop::sample::select(vec![
        "d",
        "d/m",
        "hub/d",
        "hub/d/m",
        "other.example/e",
        "e/m",
        "{{iot:identity}}",
        "{{mqtt:client_id}}",
        "{{iot:device_id}}",
        "{{iot:this_device_id}}/{{iot:module_id}}",
        "hub/{{iot:device_id}}/m",
    ]);
    let level = || {
        prop::sample::select(vec![
            "a",
            "b",
            "+",
            "{{iot:device_id}}",
            "{{iot:module_id}}",
            "{{mqtt:client_id}}",
        ])
    };
    let last = prop::sample::select(vec!["a", "+", "#", "{{iot:this_device_id}}", "{{iot:identity}}"]);
    let resource = (prop::collection::vec(level(), 0..3), last).prop_map(|(mut levels, last)| {
        levels.push(last);
        levels.join("/")
    });
    let operation = prop::sample::select(vec!["mqtt:publish", "mqtt:subscribe", "mqtt:connect"]);
    let rule = (prop::collection::vec(operation, 1..3), prop::collection::vec(resource, 1..3))
        .prop_map(|(operations, resources)| json!({"operations": operations, "resources": resources}));
    let rules = || prop::collection::vec(rule.clone(), 0..2);
    (prop::collection::vec(identity, 1..3), rules(), rules())
        .prop_map(|(identities, deny, allow)| json!({"identities": identities, "deny": deny, "allow": allow}))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_patient_reader_decides_the_same(
        statements in prop::collection::vec(statement(), 0..5),
        client in prop::sample::select(vec!["d", "d/m", "e", "e/m", "a/b"]),
        topics in prop::collection::vec("(a|b|d|m|hub)(/(a|b|d|m|hub)){0,3}", 1..4),
        filters in prop::collection::vec("(a|b|d|\\+)(/(a|d|m|\\+)){0,2}(/#)?", 1..4),
    ) {
        let (broker, policy) = policy(&Value::Array(statements));
        let mut asked = vec!["connect".to_owned()];
        asked.extend(topics.iter().flat_map(|topic| [format!("publish {topic}"), format!("receive {topic}")]));
        asked.extend(filters.iter().map(|filter| format!("subscribe {filter}")));
        for asked in asked {
            let decided = decide(&policy, client, &asked).is_allowed();
            prop_assert_eq!(decided, patiently(&broker, client, &asked), "{} {}", client, asked);
        }
    }
}
