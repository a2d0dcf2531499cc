//! Several layers merged as trees: what no other layer touches is taken as it is, without a look inside.
//!
//! Means the same as merging leaf by leaf (`layer.rs`), which stays for the origin of single values; a property test holds
//! the two together.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Map, Value};

use super::layer::{Conflict, Layer, Path};

/// Layers merged. Borrows from them.
#[derive(Debug, Default)]
pub(crate) struct Tree<'a> {
    sections: BTreeMap<&'a str, Members<'a>>,
    pub(crate) conflicts: Vec<Conflict>,
}

type Members<'a> = BTreeMap<&'a str, Node<'a>>;

#[derive(Debug)]
pub(crate) enum Node<'a> {
    /// A value of one layer without `null` in it; a mapping is not empty.
    Whole(&'a Map<String, Value>, usize),
    /// A scalar, a list, an empty mapping or a route of one layer.
    Leaf(&'a Value, usize),
    /// Members of several layers.
    Branch(Members<'a>),
}

impl<'a> Tree<'a> {
    /// Merges layers that are sorted by priority, the base first.
    pub(crate) fn of(layers: &[&'a Layer<'a>]) -> Self {
        let mut tree = Self::default();
        let mut merge = Merge { layers, place: 0, path: Vec::new(), conflicts: Vec::new() };
        for (place, layer) in layers.iter().enumerate() {
            merge.place = place;
            for (section, said) in layer.tree() {
                let members = tree.sections.entry(section).or_default();
                merge.path.push(section.clone());
                for (key, value) in said.as_object().into_iter().flatten() {
                    merge.member(members, key, value);
                }
                merge.path.pop();
            }
        }
        tree.conflicts = merge.conflicts;
        tree
    }

    /// The members of one section: `modules`, `routes`.
    pub(crate) fn section(&self, name: &str) -> impl Iterator<Item = (&'a str, &Node<'a>)> {
        let members = self.sections.get(name).into_iter().flatten();
        members.map(|(name, node)| (*name, node)).filter(|(_, node)| !node.is_nothing())
    }

    /// The layer of a member of a section when no other speaks of it.
    pub(crate) fn only_layer(&self, section: &str, name: &str) -> Option<usize> {
        self.sections.get(section)?.get(name)?.only_layer()
    }

    /// The layer that says the value at a path, or the value it is in. `None` when the path leads to several values.
    pub(crate) fn layer_of(&self, path: &[String]) -> Option<usize> {
        let (section, rest) = path.split_first()?;
        let (name, rest) = rest.split_first()?;
        self.sections.get(section.as_str())?.get(name.as_str())?.layer_of(rest)
    }

    /// The first and the last layer that say something at a path or below it; twice the base when none does.
    pub(crate) fn layers_below(&self, path: &[String]) -> (usize, usize) {
        let mut seen: Option<(usize, usize)> = None;
        let mut each = |_: &Value, place: usize| {
            let (first, last) = seen.unwrap_or((place, place));
            seen = Some((first.min(place), last.max(place)));
        };
        let sections =
            self.sections.iter().filter(|(name, _)| path.first().is_none_or(|first| first == *name));
        for node in sections.flat_map(|(_, members)| members) {
            if path.get(1).is_none_or(|second| second == node.0) {
                node.1.below(path.get(2..).unwrap_or_default(), &mut each);
            }
        }
        seen.unwrap_or_default()
    }

    /// Some sections as a value.
    pub(crate) fn map(&self, wanted: impl Fn(&str) -> bool) -> Map<String, Value> {
        let sections = self.sections.iter().filter(|(name, _)| wanted(name));
        let value = |members: &Members<'a>| -> Map<String, Value> {
            members.iter().filter_map(|(name, node)| Some(((*name).to_owned(), node.value()?))).collect()
        };
        let sections = sections.map(|(name, members)| ((*name).to_owned(), value(members)));
        sections.filter(|(_, map)| !map.is_empty()).map(|(name, map)| (name, Value::Object(map))).collect()
    }
}

impl<'a> Node<'a> {
    /// A value of a layer that nothing stands in the way of. `None` when only `null` is in it, which says: nothing.
    fn new(value: &'a Value, place: usize, may_have_null: bool) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::Object(map) if !map.is_empty() => {
                if !(may_have_null && has_null(value)) {
                    return Some(Self::Whole(map, place));
                }
                let members: BTreeMap<_, _> = map
                    .iter()
                    .filter_map(|(key, value)| Some((key.as_str(), Self::new(value, place, true)?)))
                    .collect();
                (!members.is_empty()).then_some(Self::Branch(members))
            }
            Value::Object(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Some(Self::Leaf(value, place))
            }
        }
    }

    /// Are all its leaves gone?
    fn is_nothing(&self) -> bool {
        match self {
            Self::Branch(members) => members.values().all(Self::is_nothing),
            Self::Whole(..) | Self::Leaf(..) => false,
        }
    }

    pub(crate) fn value(&self) -> Option<Value> {
        match self {
            Self::Whole(map, _) => Some(Value::Object((*map).clone())),
            Self::Leaf(value, _) => Some((*value).clone()),
            Self::Branch(members) => {
                let members: Map<String, Value> = members
                    .iter()
                    .filter_map(|(key, node)| Some(((*key).to_owned(), node.value()?)))
                    .collect();
                (!members.is_empty()).then_some(Value::Object(members))
            }
        }
    }

    /// Its value when that is a mapping; without a copy when only one layer speaks of it.
    pub(crate) fn object(&self) -> Option<Cow<'a, Map<String, Value>>> {
        match self {
            Self::Whole(map, _) => Some(Cow::Borrowed(*map)),
            Self::Leaf(value, _) => value.as_object().map(Cow::Borrowed),
            Self::Branch(_) => match self.value()? {
                Value::Object(map) => Some(Cow::Owned(map)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
            },
        }
    }

    /// Its layer when no other speaks of it.
    pub(crate) fn only_layer(&self) -> Option<usize> {
        match self {
            Self::Whole(_, place) | Self::Leaf(_, place) => Some(*place),
            Self::Branch(_) => None,
        }
    }

    fn layer_of(&self, path: &[String]) -> Option<usize> {
        match (self, path) {
            (Self::Leaf(_, place), _) => Some(*place),
            (Self::Whole(map, place), path) => leads_to_leaf(map, path).then_some(*place),
            (Self::Branch(members), [first, rest @ ..]) => members.get(first.as_str())?.layer_of(rest),
            (Self::Branch(_), []) => None,
        }
    }

    /// Calls with the leaves at a path inside or below it.
    fn below(&self, path: &[String], each: &mut dyn FnMut(&'a Value, usize)) {
        match (self, path) {
            (_, []) => self.leaves(each),
            (Self::Branch(members), [first, rest @ ..]) => {
                if let Some(node) = members.get(first.as_str()) {
                    node.below(rest, each);
                }
            }
            (Self::Whole(map, place), [first, rest @ ..]) => {
                let inside = map.get(first).map(|value| (value, rest));
                let found = inside.and_then(|(value, rest)| {
                    rest.iter().try_fold(value, |value, step| value.as_object()?.get(step))
                });
                if let Some(value) = found {
                    value_leaves(value, *place, each);
                }
            }
            (Self::Leaf(..), [_, ..]) => {}
        }
    }

    /// The places of all leaves, in order of their paths, and whether each is an empty mapping.
    fn leaves(&self, each: &mut dyn FnMut(&'a Value, usize)) {
        match self {
            Self::Whole(map, place) => map.values().for_each(|value| value_leaves(value, *place, each)),
            Self::Leaf(value, place) => each(value, *place),
            Self::Branch(members) => members.values().for_each(|node| node.leaves(each)),
        }
    }
}

fn value_leaves<'a>(value: &'a Value, place: usize, each: &mut dyn FnMut(&'a Value, usize)) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.values().for_each(|value| value_leaves(value, place, each));
        }
        Value::Object(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_) => each(value, place),
    }
}

/// Does the path end at or behind a value that is no mapping with members?
fn leads_to_leaf(map: &Map<String, Value>, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    match map.get(first) {
        Some(Value::Object(inner)) if !inner.is_empty() => leads_to_leaf(inner, rest),
        Some(_) => true,
        None => false,
    }
}

pub(super) fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().any(has_null),
        // A list is a leaf, whatever is in it.
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
    }
}

struct Merge<'a, 'l> {
    layers: &'l [&'a Layer<'a>],
    /// The layer that is laid on.
    place: usize,
    path: Path,
    conflicts: Vec<Conflict>,
}

impl<'a> Merge<'a, '_> {
    fn may_have_null(&self) -> bool {
        self.layers.get(self.place).is_some_and(|layer| layer.has_null())
    }

    fn member(&mut self, members: &mut BTreeMap<&'a str, Node<'a>>, key: &'a str, value: &'a Value) {
        self.path.push(key.to_owned());
        let before = members.remove(key).filter(|node| !node.is_nothing());
        // Half a route of one layer and half of another is no route.
        let route = self.path.len() == 2 && self.path.first().is_some_and(|section| section == "routes");
        let after = match before {
            None if route => Some(Node::Leaf(value, self.place)),
            Some(before) if route => {
                self.replaced(&before, Some(value));
                Some(Node::Leaf(value, self.place))
            }
            None => Node::new(value, self.place, self.may_have_null()),
            Some(before) => self.onto(before, value),
        };
        if let Some(after) = after {
            members.insert(key, after);
        }
        self.path.pop();
    }

    fn onto(&mut self, before: Node<'a>, value: &'a Value) -> Option<Node<'a>> {
        let Value::Object(map) = value else {
            self.replaced(&before, Some(value));
            return Node::new(value, self.place, self.may_have_null());
        };
        // An empty object says that there is an object, not that it should be emptied.
        if map.is_empty() {
            return Some(before);
        }
        let mut members = match before {
            Node::Branch(members) => members,
            Node::Whole(map, place) => map
                .iter()
                .filter_map(|(key, value)| Some((key.as_str(), Node::new(value, place, false)?)))
                .collect(),
            leaf @ Node::Leaf(..) => {
                // Said by the first leaf that takes its place.
                let depth = self.path.len();
                first_leaf(map, &mut self.path);
                self.replaced(&leaf, None);
                self.path.truncate(depth);
                BTreeMap::new()
            }
        };
        for (key, value) in map {
            self.member(&mut members, key, value);
        }
        (!members.is_empty()).then_some(Node::Branch(members))
    }

    /// A value takes the place of what was there, here or (without `value`) further up.
    fn replaced(&mut self, before: &Node<'a>, value: Option<&Value>) {
        let priority = |place: usize| self.layers.get(place).map(|layer| layer.deployment.spec.priority);
        let here = matches!(before, Node::Leaf(..));
        let (path, other) = (&self.path, self.place);
        let conflicts = &mut self.conflicts;
        before.leaves(&mut |leaf, lower| {
            let empty = leaf.as_object().is_some_and(Map::is_empty);
            let agrees = empty || (here && value == Some(leaf));
            if lower != other && priority(lower) == priority(other) && !agrees {
                conflicts.push(Conflict { path: path.clone(), one: lower, other });
            }
        });
    }
}

fn first_leaf(map: &Map<String, Value>, path: &mut Path) {
    if let Some((key, value)) = map.iter().min_by_key(|(key, _)| *key) {
        path.push(key.clone());
        if let Value::Object(inner) = value {
            first_leaf(inner, path);
        }
    }
}

#[cfg(test)]
mod tests;
