//! A machine for the part of pickle that describes tensors.
//!
//! Pickles are programs for a stack machine, and Python's runs whatever functions they name. This
//! one knows the [vocabulary](Class) alone, and to call a function of it is to note its arguments.
//!
//! Values refer to each other by their place in one list. So a value that holds itself, or twice
//! what holds twice something else, is no more work than it is long, and nothing here recurses.

use super::classes::{Class, Role, ScalarType};
use super::cursor::Cursor;
use super::opcode::{self, Instruction};
use crate::checkpoint::error::TorchError;
use std::collections::HashMap;

/// A tensor takes about 12 values, a large model has some thousands of tensors.
const MOST_VALUES: usize = 1 << 18;

/// Where a value is in [`Values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ValueIdx(usize);

/// What a pickle speaks of.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// A number.
    Int(i64),
    /// A text.
    Text(&'a str),
    /// A tuple.
    Tuple(Vec<ValueIdx>),
    /// A dictionary's keys and values, in the order in which they were set.
    Dict(Vec<(ValueIdx, ValueIdx)>),
    /// A list; what is in it is no part of a tensor.
    List,
    /// A class or function.
    Class(Class),
    /// Numbers outside of the pickle.
    Storage(Storage<'a>),
    /// A view of a storage, not yet checked.
    Tensor(TensorView<'a>),
    /// None, a truth value or a float.
    Other,
}

/// Numbers outside of the pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Storage<'a> {
    /// Their type.
    pub scalar: ScalarType,
    /// The name of their entry in the archive.
    pub key: &'a str,
    /// How many there are.
    pub n_numbers: i64,
}

/// The arguments of `_rebuild_tensor_v2`, as they are in the pickle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TensorView<'a> {
    /// Where its numbers are.
    pub storage: Storage<'a>,
    /// The first of them.
    pub offset: i64,
    /// Sizes, outermost first.
    pub shape: Vec<i64>,
    /// How far apart neighbours are along each dimension.
    pub strides: Vec<i64>,
}

/// Tensors of models have one or two dimensions, stacked experts three.
const MOST_DIMENSIONS: usize = 8;

/// The values that a pickle made.
#[derive(Debug, Default)]
pub(super) struct Values<'a>(Vec<Value<'a>>);

impl<'a> Values<'a> {
    pub fn get(&self, value: ValueIdx) -> &Value<'a> {
        &self.0[value.0]
    }

    fn text(&self, value: ValueIdx) -> Option<&'a str> {
        match *self.get(value) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn int(&self, value: ValueIdx) -> Option<i64> {
        match *self.get(value) {
            Value::Int(int) => Some(int),
            _ => None,
        }
    }

    fn tuple(&self, value: ValueIdx) -> Option<&[ValueIdx]> {
        match self.get(value) {
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    fn sizes(&self, value: ValueIdx) -> Option<Vec<i64>> {
        let items = self.tuple(value)?;
        if items.len() > MOST_DIMENSIONS {
            return None;
        }
        items.iter().map(|&item| self.int(item)).collect()
    }

    /// The storage that `('storage', class, key, device, count)` stands for.
    fn storage(&self, id: ValueIdx) -> Option<Value<'a>> {
        let &[kind, class, key, _device, n_numbers] = self.tuple(id)? else { return None };
        let (Some("storage"), Value::Class(class)) = (self.text(kind), self.get(class)) else {
            return None;
        };
        let Role::Storage(scalar) = class.role else { return None };
        let (key, n_numbers) = (self.text(key)?, self.int(n_numbers)?);
        Some(Value::Storage(Storage { scalar, key, n_numbers }))
    }

    /// What a function of the vocabulary makes of its arguments; `None` if they do not fit.
    fn call(&self, role: Role, arguments: &[ValueIdx]) -> Option<Value<'a>> {
        match (role, arguments) {
            (Role::Dict, []) => Some(Value::Dict(Vec::new())),
            // A seventh argument says that the numbers are to be read with other signs.
            (Role::RebuildTensor, &[storage, offset, shape, strides, _requires_grad, _hooks]) => {
                let Value::Storage(storage) = *self.get(storage) else { return None };
                let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
                let offset = self.int(offset)?;
                Some(Value::Tensor(TensorView { storage, offset, shape, strides }))
            }
            (Role::RebuildParameter, &[tensor, ..]) => match self.get(tensor) {
                Value::Tensor(tensor) => Some(Value::Tensor(tensor.clone())),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Runs `program`, and returns its values and which of them is the result.
pub(super) fn run(program: &[u8]) -> Result<(Values<'_>, ValueIdx), TorchError> {
    let mut cursor = Cursor::new(program);
    let mut machine = Machine::default();
    loop {
        let at = cursor.position();
        let instruction = opcode::next(&mut cursor)?;
        if at == 0 && !matches!(instruction, Instruction::Protocol(2..=5)) {
            return Err(TorchError::Protocol);
        }
        let damaged = |wrong: Wrong| match wrong {
            Wrong::Damaged(wrong) => TorchError::Pickle { at, wrong: wrong.into() },
            Wrong::Refused(error) => error,
        };
        if let Some(result) = machine.step(instruction).map_err(damaged)? {
            return Ok((machine.values, result));
        }
    }
}

/// Why a step cannot be done.
enum Wrong {
    Damaged(&'static str),
    Refused(TorchError),
}

impl From<&'static str> for Wrong {
    fn from(wrong: &'static str) -> Wrong {
        Wrong::Damaged(wrong)
    }
}

#[derive(Default)]
struct Machine<'a> {
    values: Values<'a>,
    stack: Vec<ValueIdx>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, ValueIdx>,
}

impl<'a> Machine<'a> {
    /// Does one instruction; the last one has the result.
    fn step(&mut self, instruction: Instruction<'a>) -> Result<Option<ValueIdx>, Wrong> {
        match instruction {
            Instruction::Protocol(_) | Instruction::Frame => {}
            Instruction::Stop => return self.pop().map(Some),
            Instruction::Mark => {
                few("marks in data.pkl", self.marks.len())?;
                self.marks.push(self.stack.len());
            }
            Instruction::Int(int) => self.push(Value::Int(int))?,
            Instruction::Text(text) => self.push(Value::Text(text))?,
            Instruction::Other => self.push(Value::Other)?,
            Instruction::EmptyDict => self.push(Value::Dict(Vec::new()))?,
            Instruction::EmptyList => self.push(Value::List)?,
            Instruction::Tuple(n) => {
                let items = self.pop_to(self.stack.len().checked_sub(n))?;
                self.push(Value::Tuple(items))?;
            }
            Instruction::TupleFromMark => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items))?;
            }
            Instruction::Append => self.pop().and_then(|_| self.append())?,
            Instruction::Appends => self.pop_to_mark().and_then(|_| self.append())?,
            Instruction::SetItem => {
                let items = self.pop_to(self.stack.len().checked_sub(2))?;
                self.set_items(&items)?;
            }
            Instruction::SetItems => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }
            Instruction::Global { module, name } => self.global(module, name)?,
            Instruction::StackGlobal => {
                let (name, module) = (self.pop()?, self.pop()?);
                let texts = self.values.text(module).zip(self.values.text(name));
                let (module, name) = texts.ok_or("the name of a class is not a text")?;
                self.global(module, name)?;
            }
            Instruction::PersistentId => {
                let id = self.pop()?;
                let storage = self.values.storage(id);
                self.push(storage.ok_or("a reference to a storage is none")?)?;
            }
            Instruction::Reduce => self.reduce()?,
            Instruction::Build => self.build()?,
            Instruction::Put(number) => self.put(number)?,
            Instruction::Memoize => {
                let number = u32::try_from(self.memo.len()).map_err(|_| "it remembers too much")?;
                self.put(number)?;
            }
            Instruction::Get(number) => {
                let value = self.memo.get(&number);
                let value = *value.ok_or("it asks for a value that was not remembered")?;
                few("values on the stack of data.pkl", self.stack.len())?;
                self.stack.push(value);
            }
        }
        Ok(None)
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), Wrong> {
        let idx = self.values.0.len();
        few("values in data.pkl", idx)?;
        self.values.0.push(value);
        self.stack.push(ValueIdx(idx));
        Ok(())
    }

    fn top(&self) -> Result<ValueIdx, Wrong> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        let top = self.stack[bottom..].last();
        top.copied().ok_or(Wrong::Damaged("it takes a value from an empty stack"))
    }

    fn pop(&mut self) -> Result<ValueIdx, Wrong> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// Takes what is above a height of the stack.
    fn pop_to(&mut self, height: Option<usize>) -> Result<Vec<ValueIdx>, Wrong> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        let height = height.filter(|&height| height >= bottom);
        Ok(self.stack.split_off(height.ok_or("it takes values from an empty stack")?))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<ValueIdx>, Wrong> {
        let mark = self.marks.pop().ok_or("it goes back to a mark, and none is set")?;
        Ok(self.stack.split_off(mark))
    }

    fn append(&self) -> Result<(), Wrong> {
        match self.values.get(self.top()?) {
            Value::List => Ok(()),
            _ => Err("it appends to what is no list".into()),
        }
    }

    fn set_items(&mut self, items: &[ValueIdx]) -> Result<(), Wrong> {
        let top = self.top()?;
        let (pairs, []) = items.as_chunks() else {
            return Err("it sets a key without a value".into());
        };
        match &mut self.values.0[top.0] {
            Value::Dict(dict) => dict.extend(pairs.iter().map(|&[key, value]| (key, value))),
            _ => return Err("it sets a key of what is no dictionary".into()),
        }
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), Wrong> {
        let class = Class::named(module, name);
        let refused = || Wrong::Refused(TorchError::Class(format!("{module}.{name}")));
        self.push(Value::Class(class.ok_or_else(refused)?))
    }

    fn reduce(&mut self) -> Result<(), Wrong> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Class(class) = *self.values.get(function) else {
            return Err("it calls what is no function".into());
        };
        let arguments = self.values.tuple(arguments);
        let made = arguments.and_then(|arguments| self.values.call(class.role, arguments));
        let refused = || Wrong::Refused(TorchError::Arguments(class.name));
        self.push(made.ok_or_else(refused)?)
    }

    /// The attributes of a dictionary are PyTorch's notes on modules: not needed.
    fn build(&mut self) -> Result<(), Wrong> {
        self.pop()?;
        match self.values.get(self.top()?) {
            Value::Dict(_) => Ok(()),
            _ => Err("it gives attributes to what is no dictionary".into()),
        }
    }

    fn put(&mut self, number: u32) -> Result<(), Wrong> {
        let top = self.top()?;
        few("values that data.pkl remembers", self.memo.len())?;
        self.memo.insert(number, top);
        Ok(())
    }
}

/// Checks that there is room for one more of something of which there are `n`.
fn few(item: &'static str, n: usize) -> Result<(), Wrong> {
    match (n as u64 + 1, MOST_VALUES as u64) {
        (found, most) if found > most => {
            Err(Wrong::Refused(TorchError::TooMany { item, found, most }))
        }
        _ => Ok(()),
    }
}
