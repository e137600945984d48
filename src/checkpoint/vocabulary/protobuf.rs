//! The wire format of protocol buffers: just enough of it to read a message's fields.
//!
//! A message is a sequence of fields, each a tag (number and wire type, as a varint) and a value
//! (<https://protobuf.dev/programming-guides/encoding>).

use crate::checkpoint::error::VocabularyProblem;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// Integers, truth values and enums.
    Varint(u64),
    /// Eight bytes.
    Fixed64,
    /// A string, bytes, or a message in the message.
    Bytes(Message<'a>),
    /// Floats.
    Fixed32([u8; 4]),
}

/// A message, or what is left of it; yields its fields with their numbers, and ends at an error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Message<'a> {
    rest: &'a [u8],
    /// Where the rest begins in the file.
    offset: usize,
}

impl<'a> Message<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Message<'a> {
        Message { rest: bytes, offset: 0 }
    }

    /// The bytes of a string or of bytes.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.rest
    }

    /// An error at the place that the message has come to.
    pub(super) fn malformed(&self, found: &'static str) -> VocabularyProblem {
        VocabularyProblem::SentencePiece { offset: self.offset, found }
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), VocabularyProblem> {
        let start = *self;
        let tag = self.varint()?;
        let value = match tag % 8 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed64
            }
            2 => {
                let n_bytes = self.varint()?;
                Value::Bytes(self.take(n_bytes)?)
            }
            5 => {
                let bytes = self.take(4)?.rest;
                Value::Fixed32([bytes[0], bytes[1], bytes[2], bytes[3]])
            }
            _ => return Err(start.malformed("a field of unknown type")),
        };
        Ok((tag / 8, value))
    }

    /// Seven bits a byte, the lowest first, as long as the eighth bit says so.
    fn varint(&mut self) -> Result<u64, VocabularyProblem> {
        let start = *self;
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?.rest[0];
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(start.malformed("a number of more than 64 bits"))
    }

    fn take(&mut self, n_bytes: u64) -> Result<Message<'a>, VocabularyProblem> {
        let parts = usize::try_from(n_bytes).ok().and_then(|n| self.rest.split_at_checked(n));
        let (taken, rest) = parts.ok_or_else(|| self.malformed("a field that is cut short"))?;
        let taken = Message { rest: taken, offset: self.offset };
        *self = Message { rest, offset: self.offset + taken.rest.len() };
        Ok(taken)
    }
}

impl<'a> Iterator for Message<'a> {
    type Item = Result<(u64, Value<'a>), VocabularyProblem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}
