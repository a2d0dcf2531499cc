//! `broker:` of a deployment: rules that the hub would refuse, and rules that do not do what they look like.

use super::Context;
use crate::{
    document::{
        Authorization, AuthorizationRule, Broker, BrokerFault, BrokerOperation, BrokerPart, Piece, Template,
        Variable,
    },
    text::InText,
    topic_filter::{Level, TopicFilter},
};
use hemline_query::near;

const SECTION: &str = "/spec/broker";

/// Judges the policy.
pub(super) fn check(broker: &Broker, context: &mut Context<'_>) {
    let faults = broker.faults();
    let sound = faults.is_empty();
    for fault in faults {
        told(broker, fault, context);
    }
    idle(broker, context);
    if sound {
        unreachable(broker, context);
        nobody(broker, context);
    }
}

fn told(broker: &Broker, fault: BrokerFault, context: &mut Context<'_>) {
    let BrokerFault { at, part, span, message } = fault;
    let rule = match part {
        BrokerPart::Identities => "broker-identity",
        BrokerPart::Operations => "broker-operations",
        BrokerPart::Resources => "broker-resource",
        BrokerPart::Bridge => "broker-bridge",
    };
    let pointer = format!("{SECTION}{at}");
    if context.was_dropped(&pointer) {
        return;
    }
    let Some((start, end)) = span else {
        context.error(rule, &pointer, message);
        return;
    };
    let Some(text) = text_at(broker, &at) else { return };
    let place = InText { pointer: &pointer, text, start, end };
    let name = text.get(start..end).and_then(|braces| braces.strip_prefix("{{")?.strip_suffix("}}"));
    let meant = name.and_then(|name| near(name.trim(), Variable::ALL.iter().map(|(name, _)| *name)));
    let fix = meant.and_then(|meant| context.located.fix_within(place, &format!("{{{{{meant}}}}}")));
    let finding = context.error_in(rule, place, message);
    finding.hint = meant.map(|meant| format!("did you mean {{{{{meant}}}}}?"));
    finding.fix = fix;
}

/// The text that a pointer of a fault leads to.
fn text_at<'a>(broker: &'a Broker, at: &str) -> Option<&'a str> {
    let mut steps = at.split('/').skip(2);
    let statement = broker.authorizations.get(steps.next()?.parse::<usize>().ok()?)?;
    let rules = match steps.next()? {
        "identities" => return Some(statement.identities.get(steps.next()?.parse::<usize>().ok()?)?),
        "deny" => &statement.deny,
        "allow" => &statement.allow,
        _ => return None,
    };
    let rule = rules.get(steps.next()?.parse::<usize>().ok()?)?;
    Some(rule.resources.get(steps.nth(1)?.parse::<usize>().ok()?)?)
}

/// Statements without rules, and topics that no policy is asked about.
fn idle(broker: &Broker, context: &mut Context<'_>) {
    for (index, statement) in broker.authorizations.iter().enumerate() {
        let at = format!("{SECTION}/authorizations/{index}");
        let lost = context.was_dropped(&format!("{at}/allow")) || context.was_dropped(&format!("{at}/deny"));
        if statement.allow.is_empty() && statement.deny.is_empty() && !lost {
            context.warning_at("no-effect", &at, "the statement neither allows nor denies anything");
        }
        for (effect, rules) in [("deny", &statement.deny), ("allow", &statement.allow)] {
            for (index, rule) in rules.iter().enumerate() {
                let at = format!("{at}/{effect}/{index}/resources");
                for (index, resource) in rule.resources.iter().enumerate() {
                    let below = |prefix: &str| resource.starts_with(prefix);
                    if below("$") || below("devices/") {
                        let message = format!(
                            "{resource:?} is a topic of the hub itself, which no policy is asked about"
                        );
                        context.warning_at("no-effect", &format!("{at}/{index}"), message).hint =
                            Some("remove it; user-defined topics begin otherwise".to_owned());
                    }
                }
            }
        }
    }
}

/// Nobody gets as far as a topic without this operation, and its absence is easily overlooked.
fn nobody(broker: &Broker, context: &mut Context<'_>) {
    let rules = || broker.authorizations.iter().flat_map(|statement| &statement.allow);
    let allows = |wanted: BrokerOperation| rules().any(|rule| rule.operations.contains(&wanted));
    if rules().next().is_some() && !allows(BrokerOperation::Connect) {
        let message = "no rule allows mqtt:connect, so nobody can use a user-defined topic";
        context.warning_at("broker-connect", &format!("{SECTION}/authorizations"), message).hint = Some(
            "add {identities: ['{{iot:identity}}'], allow: [{operations: ['mqtt:connect']}]}, or name those who may"
                .to_owned(),
        );
    }
}

/// One identity, operation and topic of a rule.
struct Entry<'a> {
    identity: &'a str,
    operation: BrokerOperation,
    filter: Option<TopicFilter>,
    at: String,
    denies: bool,
}

/// Rules behind one that decides all their cases: the first that fits wins, also an `allow` over a later `deny`.
fn unreachable(broker: &Broker, context: &mut Context<'_>) {
    /// A policy is compared with itself; one of more entries than people write is not.
    const AT_MOST: usize = 500;
    let entries: Vec<Entry<'_>> = entries(broker).take(AT_MOST).collect();
    let mut told: Option<&str> = None;
    for (place, entry) in entries.iter().enumerate() {
        // Of a rule that is split into many entries the first idle one is enough.
        if told == Some(entry.at.as_str()) {
            continue;
        }
        let Some(before) = entries.iter().take(place).find(|before| before.decides(entry)) else { continue };
        if before.at == entry.at {
            continue;
        }
        told = Some(entry.at.as_str());
        let (verb, other) =
            (if before.denies { "denies" } else { "allows" }, if entry.denies { "deny" } else { "allow" });
        let message =
            format!("this {other} never decides: {} {verb} the same before it", super::name_of(&before.at));
        let finding = context.warning_at("no-effect", &entry.at, message);
        if before.denies != entry.denies {
            finding.hint = Some("the first rule that fits wins; put the narrower one first".to_owned());
        }
    }
}

fn entries(broker: &Broker) -> impl Iterator<Item = Entry<'_>> {
    broker.authorizations.iter().enumerate().flat_map(|(index, statement)| {
        let Authorization { identities, deny, allow } = statement;
        let effects = [("deny", deny, true), ("allow", allow, false)];
        effects.into_iter().flat_map(move |(effect, rules, denies)| {
            rules.iter().enumerate().flat_map(move |(place, rule)| {
                let at = format!("{SECTION}/authorizations/{index}/{effect}/{place}");
                identities.iter().flat_map(move |identity| cases(rule, identity, &at, denies))
            })
        })
    })
}

fn cases<'a>(rule: &'a AuthorizationRule, identity: &'a str, at: &str, denies: bool) -> Vec<Entry<'a>> {
    let entry = |operation, filter| Entry { identity, operation, filter, at: at.to_owned(), denies };
    let mut cases = Vec::new();
    for operation in &rule.operations {
        match operation {
            BrokerOperation::Connect => cases.push(entry(*operation, None)),
            BrokerOperation::Publish | BrokerOperation::Subscribe => cases.extend(
                rule.resources
                    .iter()
                    .filter_map(|text| shape(text))
                    .map(|filter| entry(*operation, Some(filter))),
            ),
        }
    }
    cases
}

/// The filter with variables as words of their own; `None` when a variable may be several levels, so that a `+` does not
/// take it in.
fn shape(text: &str) -> Option<TopicFilter> {
    let template = Template::parse(text).ok()?;
    let several =
        |piece: &Piece| matches!(piece, Piece::Variable(variable) if variable.may_be_several_levels());
    if template.pieces.iter().any(several) {
        return None;
    }
    let levels = text.split('/').map(|level| match level {
        "+" => Level::Any,
        "#" => Level::Rest,
        word => Level::Word(word.to_owned()),
    });
    Some(TopicFilter::of(levels))
}

impl Entry<'_> {
    fn decides(&self, later: &Self) -> bool {
        let everybody = matches!(self.identity, "{{iot:identity}}" | "{{mqtt:client_id}}");
        let covers = match (&self.filter, &later.filter) {
            (Some(wide), Some(narrow)) => wide.covers(narrow),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        (everybody || self.identity == later.identity) && self.operation == later.operation && covers
    }
}
