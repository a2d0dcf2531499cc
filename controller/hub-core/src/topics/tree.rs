//! Subscriptions by filter: one level of a filter is one level of the tree, so a message looks at the branches that its
//! topic can take, and at no others.

use std::collections::BTreeMap;

use hemline_model::{
    id::ClientId,
    topic_filter::{Level, TopicFilter},
};
use hemline_protocol::topic::UserFilter;

use crate::event::Qos;

/// All subscriptions of one edge device. Filters are at most as deep as `Limits::topic_levels`, which bounds the recursion
/// below.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    words: BTreeMap<String, Self>,
    any: Option<Box<Self>>,
    /// Filters that end here.
    here: Listeners,
    /// Filters that end here with `#`.
    rest: Listeners,
}

#[derive(Debug, Default)]
struct Listeners {
    alone: BTreeMap<ClientId, Qos>,
    groups: BTreeMap<String, Group>,
}

#[derive(Debug, Default)]
struct Group {
    members: BTreeMap<ClientId, Qos>,
    last: Option<ClientId>,
}

/// Somebody whom a message may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// This client, once, with the best guarantee of its subscriptions.
    Client(ClientId, Qos),
    /// One of these, the first that can take it: those who had their turn long ago come first.
    OneOf(UserFilter, Vec<(ClientId, Qos)>),
}

impl Tree {
    /// Adds a subscription; the same one again gets the new guarantee.
    pub(crate) fn insert(&mut self, client: ClientId, filter: &UserFilter, qos: Qos) {
        let listeners = self.root.make(filter.filter.levels());
        match &filter.group {
            None => {
                listeners.alone.insert(client, qos);
            }
            Some(group) => {
                listeners.groups.entry(group.clone()).or_default().members.insert(client, qos);
            }
        }
    }

    /// Removes a subscription, and the branch with the last of it.
    pub(crate) fn remove(&mut self, client: &ClientId, filter: &UserFilter) {
        self.root.change(filter.filter.levels(), &mut |listeners| match &filter.group {
            None => {
                listeners.alone.remove(client);
            }
            Some(name) => {
                if let Some(group) = listeners.groups.get_mut(name) {
                    group.members.remove(client);
                    if group.members.is_empty() {
                        listeners.groups.remove(name);
                    }
                }
            }
        });
    }

    /// Whom a message on this topic may go to: first clients by name, then groups.
    pub(crate) fn matching(&self, topic: &str) -> Vec<Candidate> {
        let levels: Vec<&str> = topic.split('/').collect();
        let mut found = Found::default();
        self.root.look(&levels, &mut Vec::new(), &mut found);
        let clients = found.clients.into_iter().map(|(client, qos)| Candidate::Client(client.clone(), qos));
        clients.chain(found.groups).collect()
    }

    /// This member of a group got a message; the others come before it next time.
    pub(crate) fn take_turn(&mut self, filter: &UserFilter, member: &ClientId) {
        let Some(name) = &filter.group else { return };
        self.root.change(filter.filter.levels(), &mut |listeners| {
            if let Some(group) = listeners.groups.get_mut(name) {
                group.last = Some(member.clone());
            }
        });
    }

    /// Is there no subscription?
    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }
}

#[derive(Default)]
struct Found<'a> {
    clients: BTreeMap<&'a ClientId, Qos>,
    groups: Vec<Candidate>,
}

impl Node {
    fn make(&mut self, levels: &[Level]) -> &mut Listeners {
        match levels {
            [] => &mut self.here,
            [Level::Rest, ..] => &mut self.rest,
            [Level::Any, below @ ..] => self.any.get_or_insert_default().make(below),
            [Level::Word(word), below @ ..] => self.words.entry(word.clone()).or_default().make(below),
        }
    }

    /// Changes the listeners at a filter, if it has any, and cuts off what is empty then.
    fn change(&mut self, levels: &[Level], change: &mut dyn FnMut(&mut Listeners)) {
        match levels {
            [] => change(&mut self.here),
            [Level::Rest, ..] => change(&mut self.rest),
            [Level::Any, below @ ..] => {
                if let Some(node) = &mut self.any {
                    node.change(below, change);
                    if node.is_empty() {
                        self.any = None;
                    }
                }
            }
            [Level::Word(word), below @ ..] => {
                if let Some(node) = self.words.get_mut(word) {
                    node.change(below, change);
                    if node.is_empty() {
                        self.words.remove(word);
                    }
                }
            }
        }
    }

    /// No user-defined topic begins with `$`, so wildcards in front need no care.
    fn look<'a>(&'a self, levels: &[&str], way: &mut Vec<Level>, found: &mut Found<'a>) {
        if !self.rest.is_empty() {
            way.push(Level::Rest);
            self.rest.tell(way, found);
            way.pop();
        }
        let [level, below @ ..] = levels else { return self.here.tell(way, found) };
        if let Some(node) = &self.any {
            way.push(Level::Any);
            node.look(below, way, found);
            way.pop();
        }
        if let Some(node) = self.words.get(*level) {
            way.push(Level::Word((*level).to_owned()));
            node.look(below, way, found);
            way.pop();
        }
    }

    fn is_empty(&self) -> bool {
        self.words.is_empty() && self.any.is_none() && self.here.is_empty() && self.rest.is_empty()
    }
}

impl Listeners {
    fn is_empty(&self) -> bool {
        self.alone.is_empty() && self.groups.is_empty()
    }

    fn tell<'a>(&'a self, way: &[Level], found: &mut Found<'a>) {
        for (client, qos) in &self.alone {
            let best = found.clients.entry(client).or_insert(*qos);
            *best = (*best).max(*qos);
        }
        for (name, group) in &self.groups {
            let filter =
                UserFilter { group: Some(name.clone()), filter: TopicFilter::of(way.iter().cloned()) };
            found.groups.push(Candidate::OneOf(filter, group.in_turn()));
        }
    }
}

impl Group {
    fn in_turn(&self) -> Vec<(ClientId, Qos)> {
        let (mut later, mut first) = (Vec::new(), Vec::new());
        for (client, qos) in &self.members {
            let had = self.last.as_ref().is_some_and(|last| client <= last);
            if had { later.push((client.clone(), *qos)) } else { first.push((client.clone(), *qos)) }
        }
        first.append(&mut later);
        first
    }
}
