//! What is wrong with a policy, the same list for a document and for the hub: whatever is refused there is found here.

use super::{
    Authorization, AuthorizationRule, Bridge, Broker, BrokerOperation, Piece, Template, TemplateError,
    UPSTREAM,
};
use crate::topic_filter::TopicFilter;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerFault {
    /// JSON pointer from the section on.
    pub at: String,
    /// What it is about.
    pub part: BrokerPart,
    /// First byte and the byte behind, of a piece of the text there.
    pub span: Option<(usize, usize)>,
    /// A sentence.
    pub message: String,
}

/// Part of the section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerPart {
    /// `identities`
    Identities,
    /// `operations`
    Operations,
    /// `resources`
    Resources,
    /// A bridge, not a statement.
    Bridge,
}

impl Broker {
    /// Everything that is wrong with it. The hub refuses a policy with a fault.
    #[must_use]
    pub fn faults(&self) -> Vec<BrokerFault> {
        let mut faults = Vec::new();
        for (index, statement) in self.authorizations.iter().enumerate() {
            let at = format!("/authorizations/{index}");
            identities(statement, &at, &mut faults);
            for (effect, rules) in [("deny", &statement.deny), ("allow", &statement.allow)] {
                for (index, one) in rules.iter().enumerate() {
                    rule(one, &format!("{at}/{effect}/{index}"), &mut faults);
                }
            }
        }
        for (index, one) in self.bridges.iter().enumerate() {
            bridge(one, &format!("/bridges/{index}"), &mut faults);
        }
        faults
    }
}

fn identities(statement: &Authorization, at: &str, faults: &mut Vec<BrokerFault>) {
    let at = format!("{at}/identities");
    let part = BrokerPart::Identities;
    if statement.identities.is_empty() {
        let message = "the statement is about nobody".to_owned();
        faults.push(BrokerFault { at: at.clone(), part, span: None, message });
    }
    for (index, identity) in statement.identities.iter().enumerate() {
        let at = format!("{at}/{index}");
        if identity.trim().is_empty() {
            let message = "the identity is blank".to_owned();
            faults.push(BrokerFault { at, part, span: None, message });
        } else {
            template(identity, part, at, faults);
        }
    }
}

fn rule(rule: &AuthorizationRule, at: &str, faults: &mut Vec<BrokerFault>) {
    let AuthorizationRule { operations, resources } = rule;
    if operations.is_empty() {
        let (at, message) = (format!("{at}/operations"), "the rule is about no operation".to_owned());
        faults.push(BrokerFault { at, part: BrokerPart::Operations, span: None, message });
    }
    let part = BrokerPart::Resources;
    let at = format!("{at}/resources");
    if resources.is_empty() && operations.iter().any(|operation| *operation != BrokerOperation::Connect) {
        let message = "the rule is about no topic; only mqtt:connect does without".to_owned();
        faults.push(BrokerFault { at: at.clone(), part, span: None, message });
    }
    for (index, resource) in resources.iter().enumerate() {
        let at = format!("{at}/{index}");
        let Some(template) = template(resource, part, at.clone(), faults) else { continue };
        // A value is never a wildcard, so any other character may stand for it.
        let pieces = template.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Variable(_) => "v",
        });
        if let Err(why) = TopicFilter::parse(&pieces.collect::<String>()) {
            let message = format!("{resource:?} is no topic filter: {why}");
            faults.push(BrokerFault { at, part, span: None, message });
        }
    }
}

fn template(text: &str, part: BrokerPart, at: String, faults: &mut Vec<BrokerFault>) -> Option<Template> {
    match Template::parse(text) {
        Ok(template) => Some(template),
        Err(why) => {
            let span = match &why {
                TemplateError::Unknown { start, end, .. } => (*start, *end),
                TemplateError::Open { start } => (*start, text.len()),
            };
            faults.push(BrokerFault { at, part, span: Some(span), message: why.to_string() });
            None
        }
    }
}

fn bridge(bridge: &Bridge, at: &str, faults: &mut Vec<BrokerFault>) {
    let mut fault = |at: String, message: String| {
        faults.push(BrokerFault { at, part: BrokerPart::Bridge, span: None, message });
    };
    if bridge.endpoint != UPSTREAM {
        let message = format!("a bridge leads to {UPSTREAM:?}, there is no {:?}", bridge.endpoint);
        fault(format!("{at}/endpoint"), message);
    }
    for (index, setting) in bridge.settings.iter().enumerate() {
        let at = format!("{at}/settings/{index}");
        for (field, prefix) in [("inPrefix", &setting.in_prefix), ("outPrefix", &setting.out_prefix)] {
            if prefix.contains(['+', '#', '\0']) {
                fault(format!("{at}/{field}"), format!("the prefix {prefix:?} holds a wildcard"));
            }
        }
        let filter = format!("{}{}", setting.in_prefix, setting.topic);
        if let Err(why) = TopicFilter::parse(&filter) {
            fault(format!("{at}/topic"), format!("{filter:?} is no topic filter: {why}"));
        }
    }
}
