//! Property bags as SDKs write and read them (reference device-protocol §4.2).

use hemline_protocol::{
    bag,
    properties::{Properties, SystemProperties},
};
use proptest::prelude::*;

#[test]
fn what_sdks_send() {
    let mut out = String::new();
    for text in [
        "%24.mid=m1&%24.ct=application%2Fjson%3Bcharset%3Dutf-8&%24.ce=utf-8&e=&p%20q=v%2Fw",
        "$.mid=m1&$.cid=c1&$.on=out/",
        "%24.on=output1/",
        "?temperature=hot",
        "a+b=c+d",
        "flag&empty=&",
        "x=1&y=2&x=3",
        "%24.mine=kept&$.exp=2024-05-01T10%3A20%3A30&iothub-ack=full",
        "%E4%BD%A0=%E5%A5%BD",
        "100%=50%",
        "",
        "/",
        "=x",
        "a=%FF",
    ] {
        out.push_str(&format!("{text}\n    {:?}\n", bag::parse(text).map(Compact)));
    }
    insta::assert_snapshot!(out);
}

/// Only what is set.
struct Compact(Properties);

impl std::fmt::Debug for Compact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", serde_json::to_string(&self.0.system).unwrap(), self.0.application)
    }
}

#[test]
fn what_receivers_demand() {
    let properties = Properties {
        system: SystemProperties {
            message_id: Some("m 1".into()),
            content_type: Some("application/json".into()),
            content_encoding: Some(String::new()),
            expiry: Some("2024-05-01T10:20:30".into()),
            output_name: Some("out".into()),
            connection_device_id: Some("d".into()),
            connection_module_id: Some("m".into()),
            ack: Some("none".into()),
            ..SystemProperties::default()
        },
        application: vec![
            ("a+b".into(), Some("c d".into())),
            ("flag".into(), None),
            ("e".into(), Some(String::new())),
        ],
    };
    assert_eq!(
        bag::to_client("/devices/d/modules/m/inputs/in", &properties),
        "%24.to=%2Fdevices%2Fd%2Fmodules%2Fm%2Finputs%2Fin&%24.mid=m%201&%24.ct=application%2Fjson\
         &%24.exp=2024-05-01T10%3A20%3A30.0000000Z&%24.cdid=d&%24.cmid=m&a%2Bb=c%20d&flag&e="
    );
    // Without any property the bag is still not empty.
    assert_eq!(bag::to_client("/devices/d", &Properties::default()), "%24.to=%2Fdevices%2Fd");
}

#[test]
fn many_names_do_not_take_long() {
    let bag: Vec<String> = (0..20_000).map(|n| format!("{n}=")).collect();
    assert_eq!(bag::parse(&bag.join("&")).unwrap().application.len(), 20_000);
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9]{1,8}", "\\PC{1,8}", "[ +/#?&=%$~.-]{1,6}"]
}

proptest! {
    #[test]
    fn printed_bags_are_read_back(
        mid in proptest::option::of(text()),
        names in proptest::collection::btree_map(text(), proptest::option::of(text()), 0..6),
    ) {
        let application: Vec<_> = names.into_iter().filter(|(name, _)| !name.starts_with("$.") && name != "iothub-ack").collect();
        let properties = Properties {
            system: SystemProperties { message_id: mid, ..SystemProperties::default() },
            application,
        };
        prop_assert_eq!(bag::parse(&bag::to_hub(&properties)), Ok(properties));
    }

    #[test]
    fn parsing_never_panics(text in "\\PC{0,60}") {
        drop(bag::parse(&text));
    }
}

#[test]
fn of_equal_names_the_last_counts_however_many_there_are() {
    let read = bag::parse("a=1&$.x=1&b=2&a=3&$.x=4&$.y").unwrap();
    assert_eq!(read.application, [("b".into(), Some("2".into())), ("a".into(), Some("3".into()))]);
    assert_eq!(read.system.other, [("$.x".to_owned(), "4".to_owned()), ("$.y".into(), String::new())]);

    // As many as fit into a topic. Looking each one up among those before it would take seconds.
    let began = std::time::Instant::now();
    for sign in ["", "$."] {
        let names: Vec<String> = (0..10_000).map(|number| format!("{sign}{number}")).collect();
        for _ in 0..20 {
            bag::parse(&names.join("&")).unwrap();
        }
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
}
