//! Whole queries and routes, clause by clause: what is printed reads back as the same, and printing it again changes
//! nothing.

use hemline_query::route::Route;
use hemline_query::select::Query;
use proptest::prelude::*;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z_$][a-zA-Z0-9_$-]{0,6}",
        prop::sample::select(vec!["group", "From", "devices", "NULL", "top", "in"]).prop_map(str::to_owned),
        "[^\\]\\[\\pC]{1,6}",
    ]
}

/// A step as somebody may write it: bare where that is possible, now and then in brackets.
fn step() -> impl Strategy<Value = String> {
    (name(), any::<bool>()).prop_map(|(name, bracketed)| {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_$-".contains(c));
        if plain && !bracketed { name } else { format!("[[{name}]]") }
    })
}

fn path() -> impl Strategy<Value = String> {
    let root = prop::sample::select(vec![
        "tags",
        "devices.tags",
        "properties.reported",
        "devices.modules.Properties.DESIRED",
        "configurations",
        "[[select]]",
        "DeviceId",
    ]);
    let index = prop::option::weighted(0.2, 0..12_u32);
    (root, prop::collection::vec(step(), 0..3), index).prop_map(|(root, steps, index)| {
        let mut path = root.to_owned();
        for step in steps {
            path.push('.');
            path.push_str(&step);
        }
        path.extend(index.map(|index| format!("[{index}]")));
        path
    })
}

fn alias() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(String::new()),
        2 => name().prop_map(|name| format!(" AS [[{name}]]")),
        1 => "[a-zA-Z_$][a-zA-Z0-9_$-]{0,6}".prop_map(|name| format!(" as {name}")),
        1 => "[b-d][a-z]{3}x".prop_map(|word| format!(" {word}")),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    let literal = prop_oneof![
        "[^'\\\\]{0,6}".prop_map(|text| format!("'{text}'")),
        any::<i16>().prop_map(|number| number.to_string()),
        Just("0x1F".to_owned()),
        Just("1.5e-7".to_owned()),
    ];
    let comparison = (path(), prop::sample::select(vec!["=", "!=", "<", ">=", "<>"]), literal.clone())
        .prop_map(|(path, operator, literal)| format!("{path} {operator} {literal}"));
    let membership =
        (path(), prop::collection::vec(literal, 1..4), prop::sample::select(vec!["IN", "nin", "NOT IN"]))
            .prop_map(|(path, list, word)| format!("{path} {word} [{}]", list.join(",")));
    let leaf = prop_oneof![comparison, membership, path().prop_map(|path| format!("is_defined({path})"))];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} AND {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            inner.prop_map(|a| format!("NOT {a}")),
        ]
    })
}

fn query() -> impl Strategy<Value = String> {
    let top =
        prop::option::of(1..1000_u32).prop_map(|top| top.map_or(String::new(), |top| format!("TOP {top} ")));
    let filter =
        prop::option::of(condition()).prop_map(|c| c.map_or(String::new(), |c| format!(" WHERE {c}")));
    let plain = (
        prop::collection::vec((path(), alias()), 1..4),
        prop::sample::select(vec!["devices", "DEVICES.modules"]),
    )
        .prop_map(|(items, source)| {
            let items: Vec<String> = items.into_iter().map(|(path, alias)| path + &alias).collect();
            (items.join(", "), source, String::new())
        });
    let all = prop::sample::select(vec!["devices", "devices.Modules", "devices.jobs"])
        .prop_map(|source| ("*".to_owned(), source, String::new()));
    let aggregate = prop_oneof![
        Just("COUNT()".to_owned()),
        Just("count(*)".to_owned()),
        (prop::sample::select(vec!["COUNT", "avg", "Sum", "MIN", "MAX"]), path())
            .prop_map(|(f, p)| format!("{f}({p})")),
    ];
    let grouped =
        (prop::collection::vec(path(), 0..3), prop::collection::vec((aggregate, alias()), 1..3), alias())
            .prop_map(|(keys, aggregates, named)| {
                let mut items: Vec<String> = keys.iter().map(|key| format!("{key}{named}")).collect();
                items.extend(aggregates.into_iter().map(|(aggregate, alias)| aggregate + &alias));
                let group =
                    if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", keys.join(",")) };
                (items.join(", "), "devices", group)
            });
    (top, prop_oneof![plain, all, grouped], filter, prop::sample::select(vec!["", ";", " \n"])).prop_map(
        |(top, (items, source, group), filter, end)| {
            format!("select {top}{items} FROM {source}{filter}{group}{end}")
        },
    )
}

fn route() -> impl Strategy<Value = String> {
    let source = prop::sample::select(vec![
        "/*",
        "/messages",
        "/messages/*",
        "/messages/modules/a-1/outputs/*",
        "/Messages/Modules/m/outputs/o",
        "/twinChangeNotifications",
    ]);
    let segment = "[a-zA-Z0-9_.!~ '-]{0,5}[a-z]";
    let sink = prop_oneof![
        Just("$upstream".to_owned()),
        (segment, segment, any::<bool>()).prop_map(|(module, input, slash)| {
            let slash = if slash { "/" } else { "" };
            format!("brokeredendpoint(\"{slash}modules/{module}/inputs/{input}{slash}\")")
        }),
    ];
    let condition = prop::option::of(prop::sample::select(vec![
        "a = 'x'",
        "NOT (a = \"x\") AND $body.t[0].u >= 1e3 OR {$userId} != b",
        "(a ?? 'x' || b) = concat(c, 'd', e) and - as_number(f) < .5",
        "true",
        "a!='x' /* why */",
    ]));
    let head = prop::sample::select(vec!["FROM", "select * from", "SELECT  *\nFrom"]);
    (head, source, condition, sink).prop_map(|(head, source, condition, sink)| {
        let condition = condition.map_or(String::new(), |condition| format!(" WHERE {condition}"));
        format!("{head} {source}{condition} INTO {sink}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn queries_read_back_as_they_were_printed(text in query()) {
        let first = Query::parse(&text);
        prop_assert!(first.is_ok(), "{}", first.unwrap_err()[0].render(&text));
        let first = first.unwrap();
        let printed = first.to_string();
        let second = Query::parse(&printed);
        prop_assert_eq!(second.as_ref(), Ok(&first), "{}\n{}", text, printed);
        prop_assert_eq!(second.unwrap().to_string(), printed);
    }

    #[test]
    fn routes_read_back_as_they_were_printed(text in route()) {
        let first = Route::parse(&text);
        prop_assert!(first.is_ok(), "{}", first.unwrap_err()[0].render(&text));
        let first = first.unwrap();
        let printed = first.to_string();
        let second = Route::parse(&printed);
        prop_assert_eq!(second.as_ref(), Ok(&first), "{}\n{}", text, printed);
        prop_assert_eq!(second.unwrap().to_string(), printed);
    }
}
