//! Pickle's opcodes: bytes in, instructions out.
//!
//! The format: `Lib/pickletools.py` of CPython. Read are the opcodes with which `torch.save` writes
//! dictionaries of tensors, in protocols 2 to 5; the others are refused by name.

use super::cursor::Cursor;
use crate::checkpoint::error::TorchError;

/// An instruction to the pickle machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Instruction<'a> {
    /// The program's version.
    Protocol(u8),
    /// Nothing: protocol 4 says how long the next stretch of the program is.
    Frame,
    /// The end; the value on top is the result.
    Stop,
    /// Remembers how high the stack is.
    Mark,
    /// Pushes a number.
    Int(i64),
    /// Pushes a text.
    Text(&'a str),
    /// Pushes a value that says nothing of tensors: none, a truth value, a float.
    Other,
    /// Pushes an empty dictionary.
    EmptyDict,
    /// Pushes an empty list.
    EmptyList,
    /// Makes a tuple of so many values.
    Tuple(usize),
    /// Makes a tuple of the values above the mark.
    TupleFromMark,
    /// Moves a value into the list below it.
    Append,
    /// Moves the values above the mark into the list below it.
    Appends,
    /// Moves a key and its value into the dictionary below them.
    SetItem,
    /// Moves the keys and values above the mark into the dictionary below it.
    SetItems,
    /// Pushes the class or function of this module and name.
    Global {
        /// The module.
        module: &'a str,
        /// What of it.
        name: &'a str,
    },
    /// Takes module and name from the stack, and pushes the class or function.
    StackGlobal,
    /// Replaces a tuple by what it stands for outside of the pickle: a storage.
    PersistentId,
    /// Calls a function with a tuple of arguments.
    Reduce,
    /// Gives an object its attributes.
    Build,
    /// Remembers the value on top under this number.
    Put(u32),
    /// Remembers the value on top under the next number.
    Memoize,
    /// Pushes a value of the memo.
    Get(u32),
}

/// Reads the next instruction.
pub(super) fn next<'a>(program: &mut Cursor<'a>) -> Result<Instruction<'a>, TorchError> {
    let at = program.position();
    let cut_short = TorchError::Pickle { at, wrong: "it ends here without an end mark".into() };
    let Some(opcode) = program.u8() else { return Err(cut_short) };
    if let Some(instruction) = decode(opcode, program) {
        return Ok(instruction);
    }
    Err(match REFUSED.iter().find(|(refused, _)| *refused == opcode) {
        Some((_, name)) => TorchError::Opcode { at, name: (*name).into() },
        None if READ.contains(&opcode) => {
            let wrong = "what follows an opcode is cut off, no text, or too large a number";
            TorchError::Pickle { at, wrong: wrong.into() }
        }
        None => TorchError::Opcode { at, name: format!("{opcode:#04x}") },
    })
}

/// The opcodes of [`decode`].
const READ: &[u8] = b"\x80\x95.(KMJ\x8aGN\x88\x89X\x8c\x8d})]\x85\x86\x87taesuc\x93QRbqr\x94hj";

/// `None` if the opcode is none of [`READ`], or what should follow it does not.
fn decode<'a>(opcode: u8, program: &mut Cursor<'a>) -> Option<Instruction<'a>> {
    use Instruction::*;
    Some(match opcode {
        b'\x80' => Protocol(program.u8()?),
        b'\x95' => program.u64().map(|_| Frame)?,
        b'.' => Stop,
        b'(' => Mark,
        b'K' => Int(program.u8()?.into()),
        b'M' => Int(program.u16()?.into()),
        b'J' => Int(i32::from_le_bytes(program.array()?).into()),
        b'\x8a' => Int(long(program)?),
        b'G' => program.array::<8>().map(|_| Other)?,
        b'N' | b'\x88' | b'\x89' => Other,
        b'X' => Text(text(program.u32()?.into(), program)?),
        b'\x8c' => Text(text(program.u8()?.into(), program)?),
        b'\x8d' => Text(text(program.u64()?, program)?),
        b'}' => EmptyDict,
        b']' => EmptyList,
        b')' => Tuple(0),
        b'\x85' => Tuple(1),
        b'\x86' => Tuple(2),
        b'\x87' => Tuple(3),
        b't' => TupleFromMark,
        b'a' => Append,
        b'e' => Appends,
        b's' => SetItem,
        b'u' => SetItems,
        b'c' => {
            let module = std::str::from_utf8(program.line()?).ok()?;
            Global { module, name: std::str::from_utf8(program.line()?).ok()? }
        }
        b'\x93' => StackGlobal,
        b'Q' => PersistentId,
        b'R' => Reduce,
        b'b' => Build,
        b'q' => Put(program.u8()?.into()),
        b'r' => Put(program.u32()?),
        b'\x94' => Memoize,
        b'h' => Get(program.u8()?.into()),
        b'j' => Get(program.u32()?),
        _ => return None,
    })
}

fn text<'a>(n_bytes: u64, program: &mut Cursor<'a>) -> Option<&'a str> {
    std::str::from_utf8(program.take(usize::try_from(n_bytes).ok()?)?).ok()
}

/// A number of up to eight bytes, of which the highest has the sign.
fn long(program: &mut Cursor<'_>) -> Option<i64> {
    let n_bytes = program.u8()?.into();
    let bytes: &[u8] = program.take(n_bytes)?;
    let sign = if bytes.last().is_some_and(|&last| last >= 0x80) { 0xff } else { 0 };
    let mut extended = [sign; 8];
    extended.get_mut(..n_bytes)?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(extended))
}

/// The other opcodes that there are.
const REFUSED: &[(u8, &str)] = &[
    (b'I', "INT"),
    (b'L', "LONG"),
    (b'\x8b', "LONG4"),
    (b'F', "FLOAT"),
    (b'S', "STRING"),
    (b'T', "BINSTRING"),
    (b'U', "SHORT_BINSTRING"),
    (b'V', "UNICODE"),
    (b'B', "BINBYTES"),
    (b'C', "SHORT_BINBYTES"),
    (b'\x8e', "BINBYTES8"),
    (b'\x96', "BYTEARRAY8"),
    (b'\x97', "NEXT_BUFFER"),
    (b'\x98', "READONLY_BUFFER"),
    (b'l', "LIST"),
    (b'd', "DICT"),
    (b'\x8f', "EMPTY_SET"),
    (b'\x90', "ADDITEMS"),
    (b'\x91', "FROZENSET"),
    (b'0', "POP"),
    (b'1', "POP_MARK"),
    (b'2', "DUP"),
    (b'g', "GET"),
    (b'p', "PUT"),
    (b'P', "PERSID"),
    (b'i', "INST"),
    (b'o', "OBJ"),
    (b'\x81', "NEWOBJ"),
    (b'\x92', "NEWOBJ_EX"),
    (b'\x82', "EXT1"),
    (b'\x83', "EXT2"),
    (b'\x84', "EXT4"),
];
