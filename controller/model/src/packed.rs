//! Objects that are kept but seldom looked at: createOptions and desired properties of a fleet's modules, the twins of a hub.
//!
//! A JSON object of three members takes two kilobytes as a map and sixty bytes as text. Not for what is read more often than
//! it is made.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

use crate::document::Object;

/// An object as its JSON text. Two are equal when the objects are. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Packed(Arc<str>);

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

impl Packed {
    /// Has the object no member?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        &*self.0 == "{}"
    }
}

impl Default for Packed {
    fn default() -> Self {
        Self("{}".into())
    }
}

/// As the object, in JSON without making its members.
impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// From JSON that [`Packed`] wrote: the text is kept as it stands.
impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if !raw.get().starts_with('{') {
            return Err(de::Error::custom("an object is expected"));
        }
        Ok(Self(raw.get().into()))
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

    #[test]
    fn only_objects_are_read() {
        assert_eq!(Packed::default(), Packed::of(&Map::new()));
        assert_eq!(serde_json::from_str::<Packed>("{}").unwrap(), Packed::default());
        for text in ["[]", "1", "null", "{", "\"{}\""] {
            assert!(serde_json::from_str::<Packed>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(
            object in prop::collection::btree_map(any::<String>(), value(), 0..5),
        ) {
            let object: Map<String, Value> = object.into_iter().collect();
            let packed = Packed::of(&object);
            prop_assert_eq!(packed.is_empty(), object.is_empty());
            prop_assert_eq!(packed.open(), object.clone());
            // In a document it is the object, and comes out of it the same.
            let text = serde_json::to_string(&packed).unwrap();
            prop_assert_eq!(&text, &serde_json::to_string(&object).unwrap());
            prop_assert_eq!(serde_json::from_str::<Packed>(&text).unwrap(), packed);
        }
    }
}
