//! MQTT topic names and filters (MQTT 3.1.1, §4.7): what may stand in them, which topics a filter matches, and when one
//! filter takes in all of another.
//!
//! Not here: the topics of IoT Hub (`protocol`), and who may use which topic (`hub-core`).

use std::fmt;

/// Longest topic or filter in bytes: its length travels in two bytes.
pub const LONGEST: usize = 65_535;

/// One level of a filter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Exactly this text, which may be empty.
    Word(String),
    /// `+`: any one level.
    Any,
    /// `#`: this level, all below it, and the one above it. Always the last.
    Rest,
}

/// A filter that is well formed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter {
    levels: Vec<Level>,
}

/// Why a text is no filter, or no topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicFilterError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// Too long for a packet.
    #[error("it has {0} bytes, at most {LONGEST} are allowed")]
    TooLong(usize),
    /// The one character that MQTT forbids everywhere.
    #[error("it contains the character U+0000")]
    Nul,
    /// `#` with something behind it.
    #[error("`#` must be the last level")]
    RestNotLast,
    /// `+` or `#` beside other characters.
    #[error(
        "the level {0:?} mixes a wildcard with other characters; `+` and `#` stand alone between slashes"
    )]
    WildcardNotAlone(String),
    /// A wildcard in the name of a topic.
    #[error("a topic to publish to has no wildcards")]
    WildcardInTopic,
}

fn sound(text: &str) -> Result<(), TopicFilterError> {
    if text.is_empty() {
        return Err(TopicFilterError::Empty);
    }
    if text.len() > LONGEST {
        return Err(TopicFilterError::TooLong(text.len()));
    }
    if text.contains('\0') { Err(TopicFilterError::Nul) } else { Ok(()) }
}

/// Can this be published to?
///
/// # Errors
/// Why not.
pub fn check_topic(text: &str) -> Result<(), TopicFilterError> {
    sound(text)?;
    if text.contains(['+', '#']) { Err(TopicFilterError::WildcardInTopic) } else { Ok(()) }
}

impl TopicFilter {
    /// Reads a filter.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, TopicFilterError> {
        sound(text)?;
        let mut levels = Vec::new();
        let mut texts = text.split('/').peekable();
        while let Some(level) = texts.next() {
            levels.push(match level {
                "+" => Level::Any,
                "#" if texts.peek().is_some() => return Err(TopicFilterError::RestNotLast),
                "#" => Level::Rest,
                other if other.contains(['+', '#']) => {
                    return Err(TopicFilterError::WildcardNotAlone(other.to_owned()));
                }
                other => Level::Word(other.to_owned()),
            });
        }
        Ok(Self { levels })
    }

    /// The filter of these levels; words may hold any character, wildcards included, and stand for themselves. Levels behind
    /// a `#` are dropped.
    #[must_use]
    pub fn of(levels: impl IntoIterator<Item = Level>) -> Self {
        let mut kept = Vec::new();
        for level in levels {
            let ends = level == Level::Rest;
            kept.push(level);
            if ends {
                break;
            }
        }
        Self { levels: kept }
    }

    /// Its levels, at least one.
    #[must_use]
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Does it match a topic? A leading wildcard does not reach topics that start with `$` (MQTT 3.1.1, §4.7.2).
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        if topic.starts_with('$') && self.starts_with_wildcard() {
            return false;
        }
        let mut words = topic.split('/');
        for level in &self.levels {
            match (level, words.next()) {
                (Level::Rest, _) => return true,
                (Level::Any, Some(_)) => {}
                (Level::Word(wanted), Some(word)) if wanted == word => {}
                (Level::Any | Level::Word(_), _) => return false,
            }
        }
        words.next().is_none()
    }

    /// Does it match every topic that `other` matches?
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let to_hidden = matches!(other.levels.first(), Some(Level::Word(word)) if word.starts_with('$'));
        if to_hidden && self.starts_with_wildcard() {
            return false;
        }
        // `#` alone matches what `+/#` does: there is no topic without levels above it.
        let whole = [Level::Any, Level::Rest];
        let other = if other.levels == [Level::Rest] { &whole[..] } else { &other.levels };
        let mut theirs = other.iter();
        for level in &self.levels {
            match (level, theirs.next()) {
                (Level::Rest, _) => return true,
                (Level::Any, Some(Level::Any | Level::Word(_))) => {}
                (Level::Word(wanted), Some(Level::Word(word))) if wanted == word => {}
                (Level::Any | Level::Word(_), _) => return false,
            }
        }
        theirs.next().is_none()
    }

    fn starts_with_wildcard(&self) -> bool {
        matches!(self.levels.first(), Some(Level::Any | Level::Rest))
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, level) in self.levels.iter().enumerate() {
            let slash = if place == 0 { "" } else { "/" };
            match level {
                Level::Word(word) => write!(f, "{slash}{word}")?,
                Level::Any => write!(f, "{slash}+")?,
                Level::Rest => write!(f, "{slash}#")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::parse(text).unwrap()
    }

    #[test]
    fn what_is_a_filter() {
        for good in ["a", "/", "a//b", "+", "#", "+/+/#", "$share", "a/+/b", " "] {
            assert_eq!(filter(good).to_string(), good);
        }
        for (bad, why) in [
            ("", TopicFilterError::Empty),
            ("a/#/b", TopicFilterError::RestNotLast),
            ("a/b#", TopicFilterError::WildcardNotAlone("b#".into())),
            ("a+/b", TopicFilterError::WildcardNotAlone("a+".into())),
            ("a\0b", TopicFilterError::Nul),
        ] {
            assert_eq!(TopicFilter::parse(bad), Err(why), "{bad:?}");
        }
        assert_eq!(TopicFilter::parse(&"x".repeat(65_536)), Err(TopicFilterError::TooLong(65_536)));
        assert_eq!(check_topic("a/+"), Err(TopicFilterError::WildcardInTopic));
        assert_eq!(check_topic("a/b"), Ok(()));
    }

    /// All topics and filters over a small alphabet, one word of which no filter names.
    fn universe(words: &[&str], depth: usize) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let mut last = vec![String::new()];
        for level in 0..depth {
            let mut next = Vec::new();
            for above in &last {
                for word in words {
                    next.push(if level == 0 { (*word).to_owned() } else { format!("{above}/{word}") });
                }
            }
            all.extend(next.iter().cloned());
            last = next;
        }
        all
    }

    /// Straight from the words of the standard, one level at a time.
    fn naive(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            ([], []) | (["#"], _) => true,
            (["+", filter @ ..], [_, topic @ ..]) => naive(filter, topic),
            ([word, filter @ ..], [found, topic @ ..]) => word == found && naive(filter, topic),
            (_, _) => false,
        }
    }

    fn naively(filter: &str, topic: &str) -> bool {
        let hidden = topic.starts_with('$') && filter.starts_with(['+', '#']);
        let (filter, topic): (Vec<&str>, Vec<&str>) =
            (filter.split('/').collect(), topic.split('/').collect());
        !hidden && naive(&filter, &topic)
    }

    #[test]
    fn matching_and_covering_are_what_trying_every_topic_says() {
        let topics: Vec<String> =
            universe(&["a", "b", "z", "$s", ""], 4).into_iter().filter(|topic| !topic.is_empty()).collect();
        let texts: Vec<String> = universe(&["a", "b", "$s", "+", "#"], 3);
        let filters: Vec<(String, TopicFilter)> = texts
            .into_iter()
            .filter_map(|text| Some((text.clone(), TopicFilter::parse(&text).ok()?)))
            .collect();
        assert!(filters.len() > 80);
        let sets: Vec<Vec<bool>> = filters
            .iter()
            .map(|(text, filter)| {
                let found: Vec<bool> = topics.iter().map(|topic| filter.matches(topic)).collect();
                for (topic, found) in topics.iter().zip(&found) {
                    assert_eq!(*found, naively(text, topic), "{text} {topic}");
                }
                found
            })
            .collect();
        for ((wide_text, wide), wide_set) in filters.iter().zip(&sets) {
            for ((text, narrow), set) in filters.iter().zip(&sets) {
                let subset = set.iter().zip(wide_set).all(|(narrow, wide)| *wide || !*narrow);
                assert_eq!(wide.covers(narrow), subset, "does {wide_text} cover {text}?");
            }
        }
    }

    #[test]
    fn words_stand_for_themselves() {
        let odd =
            TopicFilter::of([Level::Word("a".into()), Level::Word("+".into()), Level::Word("#".into())]);
        assert!(!odd.matches("a/x/y") && !odd.covers(&filter("a/+/#")));
        assert_eq!(TopicFilter::of([Level::Rest, Level::Any]).levels(), [Level::Rest]);
    }
}
