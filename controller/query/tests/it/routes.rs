//! Edge routes: sources, sinks and refusals of reference query-language §8.1.

use hemline_query::route::{Route, Sink};

use crate::conditions::{Message, message};

fn from(source: &'static str) -> Message {
    Message { source, ..message() }
}

#[test]
fn sources_match_whole_segments_whatever_their_case() {
    let output = "/messages/modules/camera/outputs/frames/";
    let table = [
        ("/*", output, true),
        ("/messages/*", output, true),
        ("/messages", output, true),
        ("/messages/modules/*", output, true),
        ("/messages/modules/camera/*", output, true),
        ("/messages/modules/camera", output, true),
        ("/messages/modules/cam/*", output, false),
        ("/messages/modules/cam", output, false),
        ("/MESSAGES/Modules/Camera/Outputs/*", output, true),
        ("/messages/modules/camera/outputs/frames", output, true),
        ("/messages/modules/camera/outputs/frames/x", output, false),
        ("/messages/modules/*", "/messages/", false),
        ("/messages/*", "/messages/", true),
        ("/twinChangeNotifications", "/twinChangeNotifications/", true),
        ("/twinChangeNotifications", "/messages/", false),
        ("/*", "/twinChangeNotifications/", true),
        ("/messages/*", "", false),
    ];
    for (source, message, expected) in table {
        let route = Route::parse(&format!("FROM {source} INTO $upstream")).unwrap();
        assert_eq!(route.matches(&from(message)), expected, "{source} {message}");
    }
}

#[test]
fn routes_say_where_they_come_from_and_lead_to() {
    let module =
        |module: &str, input: &str| Sink::Module { module: module.to_owned(), input: input.to_owned() };
    let table = [
        ("FROM /messages/* INTO $upstream", None, Sink::Upstream, None),
        ("select * from /messages/modules/m/outputs/* into $UPSTREAM", Some("m"), Sink::Upstream, None),
        (
            "FROM /* WHERE true INTO brokeredendpoint('/modules/f/inputs/in')",
            None,
            module("f", "in"),
            Some("f"),
        ),
        (
            "FROM /messages/modules/camera WHERE NOT IS_DEFINED($connectionModuleId)\n INTO \
             BrokeredEndpoint(\"modules/filter-1/inputs/in/\")",
            Some("camera"),
            module("filter-1", "in"),
            Some("filter-1"),
        ),
        ("FROM /messages/*\tWHERE $body.a = 'x INTO y' INTO $upstream", None, Sink::Upstream, None),
    ];
    for (text, source_module, sink, sink_module) in table {
        let route = Route::parse(text).unwrap_or_else(|found| panic!("{text}: {}", found[0].render(text)));
        let written = |span: hemline_query::Span| &text[span.start..span.end];
        assert_eq!(route.source_module(), source_module, "{text}");
        assert_eq!(route.source_module_span().map(written), source_module, "{text}");
        assert_eq!(*route.sink(), sink, "{text}");
        assert_eq!(route.sink_module_span().map(written), sink_module, "{text}");
        assert_eq!(route.warnings(), [], "{text}");
        assert_eq!(Route::parse(&route.to_string()).as_ref(), Ok(&route), "{route}");
    }
}

#[test]
fn broken_routes_are_refused() {
    for text in [
        "",
        "FORM /messages/* INTO $upstream",
        "SELECT FROM /messages/* INTO $upstream",
        "SELECT deviceId FROM /messages/* INTO $upstream",
        "FROM INTO $upstream",
        "FROM",
        "FROM messages INTO $upstream",
        "FROM /messages//x INTO $upstream",
        "FROM /messages/* INTO BrokeredEndpoint(\"/modules/f/inputs/in')",
        "FROM /messages/* INTO BrokeredEndpoint(\"\"/modules/f/inputs/in\"\")",
        "FROM /messages/* INTO BrokeredEndpoint(''/modules/f/inputs/in'')",
        "FROM /messages/* WHERE temp == 100 INTO $upstream",
        "FROM /messages/* WHERE INTO $upstream",
        "FROM /messages/* WHERE true",
        "FROM /messages/*",
        "FROM /messages/* INTO",
        "FROM /messages/* INTO BrokeredEndpoint(\"/modules/f/inputs/in\"",
        "FROM /messages/* INTO BrokeredEndpoint(\"/modules/f/inputs\")",
        "FROM /messages/* INTO BrokeredEndpoint(\"/modules//inputs/in\")",
        "FROM /messages/* INTO BrokeredEndpoint(5)",
        "FROM /messages/* INTO BrokeredEndpoint()",
        "FROM /messages/* INTO \"/modules/f/inputs/in\"",
        "FROM /messages/* INTO upstream",
        "FROM /messages/* INTO $upstream INTO $upstream",
        "FROM /messages/* WHERE twin_change_includes(tags.x) INTO $upstream",
        "FROM /messages/* WHERE prop > 3 INTO $upstream",
    ] {
        assert!(Route::parse(text).is_err(), "{text}");
    }
    Route::parse("FROM /twinChangeNotifications WHERE twin_change_includes(tags.x) INTO $upstream").unwrap();
}
