//! Objects that are kept but seldom looked at: createOptions and desired properties of a fleet's modules.
//!
//! A JSON object of three members takes two kilobytes as a map and sixty bytes as text. Not for what is read more often than
//! it is made.

use crate::document::Object;

/// An object as its JSON text. Two are equal when the objects are.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Packed(Box<str>);

impl Packed {
    /// Packs an object.
    #[must_use]
    pub fn of(object: &Object) -> Self {
        // Writing values to a text cannot fail: every key is a text, and no number is infinite.
        Self(serde_json::to_string(object).unwrap_or_default().into())
    }

    /// The object again, value by value. What was packed was read from a document before, whose text may be no deeper than
    /// this one's.
    #[must_use]
    pub fn open(&self) -> Object {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::Packed;

    fn value() -> impl Strategy<Value = Value> {
        let number = prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            // Every bit of a float comes back.
            any::<f64>()
                .prop_filter("JSON has no such number", |float| float.is_finite())
                .prop_map(Value::from),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number,
            any::<String>().prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// A text of createOptions is the deepest thing that comes here: as deep as JSON is read at all.
    #[test]
    fn the_deepest_json_that_is_read_comes_out_again() {
        let nested = |levels: usize| "{\"a\":".repeat(levels) + "1" + &"}".repeat(levels);
        let levels =
            (1..200).take_while(|levels| serde_json::from_str::<Value>(&nested(*levels)).is_ok()).count();
        assert!(levels > 100 && levels < 199, "{levels}");
        let object: Map<String, Value> = serde_json::from_str(&nested(levels)).unwrap();
        assert_eq!(Packed::of(&object).open(), object);
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(
            object in prop::collection::btree_map(any::<String>(), value(), 0..5),
        ) {
            let object: Map<String, Value> = object.into_iter().collect();
            prop_assert_eq!(Packed::of(&object).open(), object);
        }
    }
}
