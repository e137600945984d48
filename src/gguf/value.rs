//! Values of metadata, with the types that they have in a file.

use serde::Serialize;
use std::fmt;

/// Everything that follows from the list of types: `Name = number in a file, Rust type, its name in messages, bytes`.
macro_rules! kinds {
    ($($name:ident = $number:literal, $type:ty, $label:literal, $bytes:expr;)*) => {
        /// The type of a value, by its number in a file; 9 is the array, see [`Value::Array`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the names are the types")]
        pub enum Kind { $($name = $number,)* }

        /// A value, with its type in a file.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(untagged)]
        #[expect(missing_docs, reason = "the names are the types")]
        pub enum Value { $($name($type),)* Array(Array) }

        /// An array, with the type of its elements in a file.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(untagged)]
        #[expect(missing_docs, reason = "the names are the types")]
        pub enum Array { $($name(Vec<$type>),)* }

        impl Kind {
            /// The kind with this number in a file.
            pub fn by_number(number: u32) -> Option<Kind> {
                match number { $($number => Some(Kind::$name),)* _ => None }
            }

            /// Bytes of such a value in a file; `None` for strings, which vary.
            pub fn n_bytes(self) -> Option<usize> {
                match self { $(Kind::$name => $bytes,)* }
            }
        }

        impl fmt::Display for Kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Kind::$name => $label,)* })
            }
        }

        impl Value {
            /// Its type, in words: `u32`, `an array of string`.
            pub fn type_name(&self) -> String {
                match self {
                    $(Value::$name(_) => Kind::$name.to_string(),)*
                    Value::Array(array) => format!("an array of {}", array.kind()),
                }
            }

            /// Appends its type and itself, as they are in a file.
            pub(super) fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $(Value::$name(value) => {
                        out.extend((Kind::$name as u32).to_le_bytes());
                        value.encode(out);
                    })*
                    Value::Array(array) => {
                        out.extend(ARRAY.to_le_bytes());
                        out.extend((array.kind() as u32).to_le_bytes());
                        out.extend((array.len() as u64).to_le_bytes());
                        match array {
                            $(Array::$name(values) => {
                                values.iter().for_each(|value| value.encode(out));
                            })*
                        }
                    }
                }
            }

            pub(super) fn integer(&self) -> Option<i128> {
                match self { $(Value::$name(value) => value.integer(),)* Value::Array(_) => None }
            }

            pub(super) fn float(&self) -> Option<f64> {
                match self { $(Value::$name(value) => value.float(),)* Value::Array(_) => None }
            }
        }

        impl Array {
            /// The type of its elements.
            pub fn kind(&self) -> Kind {
                match self { $(Array::$name(_) => Kind::$name,)* }
            }

            /// Number of elements.
            pub fn len(&self) -> usize {
                match self { $(Array::$name(values) => values.len(),)* }
            }

            /// Whether there are none.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            pub(super) fn integers(&self) -> Option<Vec<i64>> {
                match self {
                    $(Array::$name(values) => values
                        .iter()
                        .map(|value| value.integer().and_then(|value| i64::try_from(value).ok()))
                        .collect(),)*
                }
            }

            pub(super) fn floats(&self) -> Option<Vec<f32>> {
                match self {
                    $(Array::$name(values) => values
                        .iter()
                        .map(|value| value.float().map(|value| value as f32))
                        .collect(),)*
                }
            }
        }
    };
}

kinds! {
    U8 = 0, u8, "u8", Some(1);
    I8 = 1, i8, "i8", Some(1);
    U16 = 2, u16, "u16", Some(2);
    I16 = 3, i16, "i16", Some(2);
    U32 = 4, u32, "u32", Some(4);
    I32 = 5, i32, "i32", Some(4);
    F32 = 6, f32, "f32", Some(4);
    Bool = 7, bool, "bool", Some(1);
    String = 8, String, "string", None;
    U64 = 10, u64, "u64", Some(8);
    I64 = 11, i64, "i64", Some(8);
    F64 = 12, f64, "f64", Some(8);
}

/// The number of the array type in a file.
pub(super) const ARRAY: u32 = 9;

/// A value that is not an array.
trait Scalar {
    /// Appends the value as it is in a file.
    fn encode(&self, out: &mut Vec<u8>);

    /// What it is worth as an integer, if it is one.
    fn integer(&self) -> Option<i128> {
        None
    }

    /// What it is worth as a float, if it is a number.
    fn float(&self) -> Option<f64> {
        None
    }
}

impl Scalar for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push((*self).into());
    }
}

impl Scalar for String {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_str(self, out);
    }
}

/// Appends a string as it is in a file: length, then bytes.
pub(super) fn encode_str(string: &str, out: &mut Vec<u8>) {
    out.extend((string.len() as u64).to_le_bytes());
    out.extend(string.as_bytes());
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Scalar for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend(self.to_le_bytes());
            }

            fn integer(&self) -> Option<i128> {
                Some((*self).into())
            }

            fn float(&self) -> Option<f64> {
                Some(*self as f64)
            }
        }
    )*};
}
integers!(u8, i8, u16, i16, u32, i32, u64, i64);

impl Scalar for f32 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }

    fn float(&self) -> Option<f64> {
        Some((*self).into())
    }
}

impl Scalar for f64 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }

    fn float(&self) -> Option<f64> {
        Some(*self)
    }
}
