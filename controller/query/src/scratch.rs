//! The texts that an evaluation makes (`CONCAT`, `||`, `LOWER`, `UPPER`), one after the other in one buffer, so that an
//! evaluation with a used scratch allocates nothing and no condition can make a text grow without end.

use std::ops::Range;

/// Longest text that an evaluation may make, and most bytes that all of them may take. Ours: a message has at most
/// 256 KiB, and a condition could join it to itself a thousand times.
const MOST: usize = 64 * 1024;

/// Room for the texts that evaluations make. Whoever evaluates many messages keeps one and gives it to each.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    text: String,
}

/// Where a made text stands in its scratch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    start: usize,
    end: usize,
}

// ---------------------------------------------------------------------------------------------------------------

impl Scratch {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
    }

    /// Where the next made text will start.
    pub(crate) fn mark(&self) -> usize {
        self.text.len()
    }

    /// Forgets what was made since a mark.
    pub(crate) fn forget(&mut self, mark: usize) {
        self.text.truncate(mark);
    }

    pub(crate) fn text(&self, made: Made) -> &str {
        self.text.get(made.start..made.end).unwrap_or_default()
    }

    /// Adds to the text that is being made since a mark. `false` when there is no more room.
    pub(crate) fn push(&mut self, text: &str) -> bool {
        let fits = self.text.len() + text.len() <= MOST;
        if fits {
            self.text.push_str(text);
        }
        fits
    }

    /// Moves a text made since `mark` to the mark, over whatever else was made.
    pub(crate) fn settle(&mut self, mark: usize, made: Made) {
        self.text.truncate(made.end);
        if mark < made.start {
            self.text.replace_range(mark..made.start, "");
        }
    }

    /// The text made since a mark.
    pub(crate) fn since(&self, mark: usize) -> Made {
        Made { start: mark, end: self.text.len() }
    }

    /// Adds every character of a text in another case. `None` when there is no more room.
    pub(crate) fn recased<C: Iterator<Item = char>>(
        &mut self,
        text: &str,
        recase: impl Fn(char) -> C,
    ) -> Option<Made> {
        let mark = self.mark();
        for character in text.chars() {
            self.recase(character, &recase)?;
        }
        Some(self.since(mark))
    }

    /// The same for a text that was made here.
    pub(crate) fn recased_made<C: Iterator<Item = char>>(
        &mut self,
        made: Made,
        recase: impl Fn(char) -> C,
    ) -> Option<Made> {
        let mark = self.mark();
        let mut at = made.start;
        while at < made.end {
            let character = self.text.get(at..)?.chars().next()?;
            self.recase(character, &recase)?;
            at += character.len_utf8();
        }
        Some(self.since(mark))
    }

    fn recase<C: Iterator<Item = char>>(
        &mut self,
        character: char,
        recase: &impl Fn(char) -> C,
    ) -> Option<()> {
        for recased in recase(character) {
            (self.text.len() < MOST).then(|| self.text.push(recased))?;
        }
        Some(())
    }
}

impl Made {
    /// The part of it at these bytes.
    pub(crate) fn part(self, bytes: &Range<usize>) -> Self {
        Self { start: self.start + bytes.start, end: self.start + bytes.end }
    }
}
