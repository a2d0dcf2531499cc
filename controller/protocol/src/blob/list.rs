//! The body of Put Block List: XML of one fixed shape, read without an XML library because nothing else of XML is wanted:
//! no entities, no document types, no nesting beyond the two levels there are.

use super::block::BlockId;

/// Where a block of the list is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockSource {
    /// In the file as it is.
    Committed,
    /// Among the blocks put since.
    Uncommitted,
    /// Among the blocks put since, then in the file.
    Latest,
}

/// Why a body is no block list. Places are bytes from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBlockList {
    /// Not the shape `<BlockList><Latest>id</Latest>…</BlockList>`.
    #[error(
        "the body is no block list at byte {0}; expected <BlockList> with <Latest>, <Uncommitted> or <Committed> in it"
    )]
    Shape(usize),
    /// The text between the tags is no id.
    #[error("the block id at byte {0} is not base64 of 1 to 64 bytes")]
    Id(usize),
    /// More ids than one file may have.
    #[error("the list has more than {0} blocks")]
    TooMany(usize),
}

/// Reads a block list of at most so many blocks, in order. A block may stand in it twice.
///
/// # Errors
/// When the body has another shape.
pub fn read_block_list(body: &[u8], most: usize) -> Result<Vec<(BlockSource, BlockId)>, BadBlockList> {
    let valid = |error: std::str::Utf8Error| BadBlockList::Shape(error.valid_up_to());
    let text = std::str::from_utf8(body).map_err(valid)?;
    let mut reader = Reader { text, place: if text.starts_with('\u{feff}') { 3 } else { 0 } };
    let mut list = Vec::new();
    match reader.tag()? {
        Tag::Empty("BlockList") => {}
        Tag::Open("BlockList") => loop {
            let source = match reader.tag()? {
                Tag::Close("BlockList") => break,
                Tag::Open("Latest") => BlockSource::Latest,
                Tag::Open("Uncommitted") => BlockSource::Uncommitted,
                Tag::Open("Committed") => BlockSource::Committed,
                Tag::Open(_) | Tag::Close(_) | Tag::Empty(_) => return Err(reader.shape()),
            };
            if list.len() >= most {
                return Err(BadBlockList::TooMany(most));
            }
            let (place, id) = reader.text();
            list.push((source, BlockId::from_base64(id).map_err(|_| BadBlockList::Id(place))?));
            match (reader.tag()?, source) {
                (Tag::Close("Latest"), BlockSource::Latest)
                | (Tag::Close("Uncommitted"), BlockSource::Uncommitted)
                | (Tag::Close("Committed"), BlockSource::Committed) => {}
                _ => return Err(reader.shape()),
            }
        },
        Tag::Open(_) | Tag::Close(_) | Tag::Empty(_) => return Err(reader.shape()),
    }
    reader.skip_asides()?;
    if reader.rest().is_empty() { Ok(list) } else { Err(reader.shape()) }
}

struct Reader<'a> {
    text: &'a str,
    place: usize,
}

enum Tag<'a> {
    Open(&'a str),
    Close(&'a str),
    Empty(&'a str),
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.place..).unwrap_or_default()
    }

    fn shape(&self) -> BadBlockList {
        BadBlockList::Shape(self.place)
    }

    /// What stands before the next `<`, without white space, and where.
    fn text(&mut self) -> (usize, &'a str) {
        let place = self.place;
        let rest = self.rest();
        let found = rest.find('<').and_then(|end| rest.get(..end)).unwrap_or(rest);
        self.place += found.len();
        (place, found.trim())
    }

    /// White space, comments and the declaration.
    fn skip_asides(&mut self) -> Result<(), BadBlockList> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.place += rest.len() - trimmed.len();
            let end = if trimmed.starts_with("<?") {
                "?>"
            } else if trimmed.starts_with("<!--") {
                "-->"
            } else {
                return Ok(());
            };
            let length = trimmed.find(end).ok_or(self.shape())?;
            self.place += length + end.len();
        }
    }

    /// The next tag; attributes (a namespace) are passed over.
    fn tag(&mut self) -> Result<Tag<'a>, BadBlockList> {
        self.skip_asides()?;
        let rest = self.rest();
        let inside = rest.strip_prefix('<').ok_or(self.shape())?;
        let length = inside.find('>').ok_or(self.shape())?;
        let inside = inside.get(..length).unwrap_or_default();
        let name = |text: &'a str| text.split(|c: char| c.is_ascii_whitespace()).next().unwrap_or_default();
        let tag = if let Some(closing) = inside.strip_prefix('/') {
            Tag::Close(closing.trim_end())
        } else if let Some(empty) = inside.strip_suffix('/') {
            Tag::Empty(name(empty))
        } else {
            Tag::Open(name(inside))
        };
        self.place += length + 2;
        Ok(tag)
    }
}
