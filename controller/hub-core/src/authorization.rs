//! The policy for user-defined topics of one edge device: compiled from its `$edgeHub` desired properties, asked before
//! anything about such a topic is done (reference edge-runtime §6.3, §6.4).
//!
//! The first rule that fits decides: statements in their order, the denials of a statement before its permissions. What no
//! rule speaks of is denied. That is what IoT Edge documents; its code walks rules with variables in the order of their
//! letters, takes the hub's name for the device, and lets `alerts/+` stand for a subscription to `alerts/#`. None of the
//! three is repeated here. Not here: what follows from a decision (`core/topics.rs`).

use std::fmt;

use hemline_model::{
    document::{Authorization, Broker, BrokerOperation, Template, TemplateError, Variable},
    id::{ClientId, DeviceId},
    topic_filter::{Level, TopicFilter},
};

/// Rules of one edge device, in the order in which they are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthorizationPolicy {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    effect: RuleEffect,
    by: RuleId,
    identities: Vec<Template>,
    operations: Vec<BrokerOperation>,
    resources: Vec<Resource>,
}

/// A filter whose levels may hold variables.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Resource {
    levels: Vec<LevelTemplate>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum LevelTemplate {
    Any,
    Rest,
    Word(Template),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RuleEffect {
    Deny,
    Allow,
}

/// Which rule decided: positions in the document, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleId {
    /// Of the statement in `authorizations`.
    pub statement: usize,
    /// Of the rule in its `allow` or `deny`.
    pub rule: usize,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The hub's names; the first is the one in `{{iot:identity}}`.
    pub names: &'a [String],
    /// The client.
    pub client: &'a ClientId,
    /// The edge device whose policy is asked.
    pub this_device: &'a DeviceId,
}

/// For what.
#[derive(Debug, Clone, Copy)]
pub enum Operation<'a> {
    /// To use user-defined topics at all.
    Connect,
    /// To publish to this topic.
    Publish(&'a str),
    /// To subscribe to this filter: the rule has to take in all of it.
    Subscribe(&'a TopicFilter),
    /// To be sent what was published here. Asked of each message, because a subscription may reach further than it is
    /// allowed to: `alerts/#` is granted where `alerts/secret` alone is denied.
    Receive(&'a str),
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allowed {
        /// Says this rule.
        by: RuleId,
    },
    /// No.
    Denied {
        /// Says this rule; `None` because none says anything.
        by: Option<RuleId>,
    },
}

impl Decision {
    /// Is it a yes?
    #[must_use]
    pub fn is_allowed(self) -> bool {
        match self {
            Self::Allowed { .. } => true,
            Self::Denied { .. } => false,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed { by: RuleId { statement, rule } } => {
                write!(f, "allowed by authorizations.{statement}.allow.{rule}")
            }
            Self::Denied { by: Some(RuleId { statement, rule }) } => {
                write!(f, "denied by authorizations.{statement}.deny.{rule}")
            }
            Self::Denied { by: None } => f.write_str("denied, no rule allows it"),
        }
    }
}

/// A policy as it is for one client: its rules only, with its values in the places of variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions {
    rules: Vec<Permission>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Permission {
    effect: RuleEffect,
    by: RuleId,
    operations: Vec<BrokerOperation>,
    resources: Vec<TopicFilter>,
}

impl AuthorizationPolicy {
    /// Compiles a section without faults ([`Broker::faults`]).
    ///
    /// # Errors
    /// When a variable is not known, which is one of the faults.
    pub fn compile(broker: &Broker) -> Result<Self, TemplateError> {
        let mut rules = Vec::new();
        for (statement, Authorization { identities, deny, allow }) in broker.authorizations.iter().enumerate()
        {
            let identities: Vec<Template> =
                identities.iter().map(|text| Template::parse(text)).collect::<Result<_, _>>()?;
            for (effect, said) in [(RuleEffect::Deny, deny), (RuleEffect::Allow, allow)] {
                for (rule, said) in said.iter().enumerate() {
                    rules.push(Rule {
                        effect,
                        by: RuleId { statement, rule },
                        identities: identities.clone(),
                        operations: said.operations.clone(),
                        resources: said
                            .resources
                            .iter()
                            .map(|text| Resource::parse(text))
                            .collect::<Result<_, _>>()?,
                    });
                }
            }
        }
        Ok(Self { rules })
    }

    /// What it says about one client.
    #[must_use]
    pub fn permissions(&self, subject: &Subject<'_>) -> Permissions {
        let values = Values::of(subject);
        let about = self.rules.iter().filter(|rule| {
            rule.identities
                .iter()
                .filter_map(|identity| identity.render(|variable| values.of_variable(variable)))
                .any(|identity| values.is(&identity))
        });
        let rules = about.map(|rule| Permission {
            effect: rule.effect,
            by: rule.by,
            operations: rule.operations.clone(),
            resources: rule.resources.iter().filter_map(|resource| resource.render(&values)).collect(),
        });
        Permissions { rules: rules.collect() }
    }

    /// The decision about one client and one thing.
    #[must_use]
    pub fn decide(&self, subject: &Subject<'_>, operation: Operation<'_>) -> Decision {
        self.permissions(subject).decide(operation)
    }
}

impl Permissions {
    /// The decision about one thing.
    #[must_use]
    pub fn decide(&self, operation: Operation<'_>) -> Decision {
        match self.rules.iter().find(|rule| rule.fits(operation)) {
            Some(Permission { effect: RuleEffect::Allow, by, .. }) => Decision::Allowed { by: *by },
            Some(Permission { effect: RuleEffect::Deny, by, .. }) => Decision::Denied { by: Some(*by) },
            None => Decision::Denied { by: None },
        }
    }
}

impl Permission {
    fn fits(&self, operation: Operation<'_>) -> bool {
        let about = |wanted: BrokerOperation| self.operations.contains(&wanted);
        match operation {
            Operation::Connect => about(BrokerOperation::Connect),
            Operation::Publish(topic) => {
                about(BrokerOperation::Publish) && self.any(|filter| filter.matches(topic))
            }
            Operation::Subscribe(wanted) => {
                about(BrokerOperation::Subscribe) && self.any(|filter| filter.covers(wanted))
            }
            Operation::Receive(topic) => {
                about(BrokerOperation::Subscribe) && self.any(|filter| filter.matches(topic))
            }
        }
    }

    fn any(&self, fits: impl Fn(&TopicFilter) -> bool) -> bool {
        self.resources.iter().any(fits)
    }
}

/// What the variables stand for.
struct Values<'a> {
    subject: &'a Subject<'a>,
    identity: Option<String>,
    client_id: String,
}

impl<'a> Values<'a> {
    fn of(subject: &'a Subject<'a>) -> Self {
        let client_id = subject.client.to_string();
        let identity = subject.names.first().map(|hub| format!("{hub}/{client_id}"));
        Self { subject, identity, client_id }
    }

    fn of_variable(&self, variable: Variable) -> Option<&str> {
        match variable {
            Variable::Identity => self.identity.as_deref(),
            Variable::ClientId => Some(&self.client_id),
            Variable::DeviceId => Some(self.subject.client.device.as_str()),
            Variable::ModuleId => self.subject.client.module.as_ref().map(|module| module.as_str()),
            Variable::ThisDeviceId => Some(self.subject.this_device.as_str()),
        }
    }

    /// Is this text the client? With one of the hub's names in front the rest is the client id, else all of it; never both.
    /// Where hub and device have the same name, `name/x` is a module of the device, as its author will have meant.
    fn is(&self, identity: &str) -> bool {
        let named = identity.split_once('/').filter(|(hub, rest)| {
            let own_module = *hub == self.subject.this_device.as_str() && !rest.contains('/');
            !own_module && self.subject.names.iter().any(|name| name.eq_ignore_ascii_case(hub))
        });
        named.map_or(identity, |(_, client)| client) == self.client_id
    }
}

impl Resource {
    fn parse(text: &str) -> Result<Self, TemplateError> {
        let levels = text.split('/').map(|level| match level {
            "+" => Ok(LevelTemplate::Any),
            "#" => Ok(LevelTemplate::Rest),
            word => Template::parse(word).map(LevelTemplate::Word),
        });
        Ok(Self { levels: levels.collect::<Result<_, _>>()? })
    }

    /// `None` when a variable has no value: then the rule is not about this client. Values stand for themselves, whatever
    /// characters they hold: a device that is called `#` opens no more than its own topics.
    fn render(&self, values: &Values<'_>) -> Option<TopicFilter> {
        let mut levels = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            match level {
                LevelTemplate::Any => levels.push(Level::Any),
                LevelTemplate::Rest => levels.push(Level::Rest),
                LevelTemplate::Word(template) => {
                    let words = template.render(|variable| values.of_variable(variable))?;
                    levels.extend(words.split('/').map(|word| Level::Word(word.to_owned())));
                }
            }
        }
        Some(TopicFilter::of(levels))
    }
}
