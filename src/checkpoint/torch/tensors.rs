//! From what a pickle says of its tensors to tensors that are known to lie within the file.

use super::machine::{TensorView, Value, ValueIdx, Values};
use super::zip::Entry;
use crate::checkpoint::error::TorchError;
use crate::checkpoint::stored::{SourceFile, StoredTensor};
use gatefold_quant::DynFormat;
use std::sync::Arc;

/// Keys under which training programs put the weights, beside an optimizer's state.
const WRAPPERS: [&str; 2] = ["model", "state_dict"];

/// The tensors of the dictionary `root`, or of the one that it wraps, by their names. Other values
/// beside them are no weights, and left out.
pub(super) fn named<'v, 'a>(
    values: &'v Values<'a>,
    root: ValueIdx,
) -> Result<Vec<(&'a str, &'v TensorView<'a>)>, TorchError> {
    let root = match values.get(root) {
        Value::Dict(items) => items,
        Value::Tensor(_) => return Err(TorchError::NotTensors("a tensor without a name")),
        Value::List | Value::Tuple(_) => return Err(TorchError::NotTensors("a list")),
        _ => return Err(TorchError::NotTensors("something else than tensors")),
    };
    let wrapped =
        root.iter().find_map(|&(key, value)| match (values.get(key), values.get(value)) {
            (Value::Text(key), Value::Dict(items)) if WRAPPERS.contains(key) => Some(items),
            _ => None,
        });
    let mut tensors = Vec::new();
    for &(key, value) in wrapped.unwrap_or(root) {
        match (values.get(key), values.get(value)) {
            (Value::Text(name), Value::Tensor(view)) => tensors.push((*name, view)),
            (_, Value::Tensor(_)) => {
                return Err(TorchError::NotTensors("a tensor whose name is not a text"));
            }
            _ => {}
        }
    }
    match tensors.is_empty() {
        true => Err(TorchError::NotTensors("a dictionary without tensors")),
        false => Ok(tensors),
    }
}

/// Checks the tensor that `view` describes, whose storage is `entry` of `file`.
///
/// The error says what is wrong with it.
pub(super) fn locate(
    view: &TensorView<'_>,
    entry: Entry,
    file: &Arc<SourceFile>,
) -> Result<StoredTensor, String> {
    let scalar = view.storage.scalar;
    let format = scalar.format.and_then(DynFormat::by_name);
    let format = format.ok_or_else(|| scalar.name.to_string());
    let storage = view.storage.n_numbers;
    let stored_bytes = u64::try_from(storage).ok().and_then(|n| n.checked_mul(scalar.n_bytes));
    if stored_bytes.is_none_or(|n_bytes| n_bytes > entry.n_bytes) {
        return Err(format!(
            "is in storage {}, which should have {storage} {} numbers and has {} bytes: the file is damaged; download it again",
            view.storage.key, scalar.name, entry.n_bytes
        ));
    }
    let shape: Option<Vec<usize>> = view.shape.iter().map(|&n| n.try_into().ok()).collect();
    let n_numbers = view.shape.iter().try_fold(1_i64, |product, &n| product.checked_mul(n));
    let (Some(shape), Some(n_numbers)) = (shape, n_numbers) else {
        return Err(format!("has the impossible shape {:?}; download the file again", view.shape));
    };
    if !is_row_major(view) {
        return Err(format!(
            "has the strides {:?} for the shape {:?}: its rows do not lie one after the other; save it again after .contiguous()",
            view.strides, view.shape
        ));
    }
    let end = view.offset.checked_add(n_numbers);
    let offset = u64::try_from(view.offset).ok().filter(|_| end.is_some_and(|end| end <= storage));
    let Some(offset) = offset else {
        return Err(format!(
            "takes {n_numbers} numbers from number {} on, and its storage has {storage}: the file is damaged; download it again",
            view.offset
        ));
    };
    let offset = entry.start + offset * scalar.n_bytes;
    Ok(StoredTensor { format, shape, file: Arc::clone(file), offset })
}

/// Whether the numbers lie one after the other, the last dimension's neighbours side by side. The
/// stride of a dimension of size one means nothing, nor do those of a tensor without numbers.
fn is_row_major(view: &TensorView<'_>) -> bool {
    if view.shape.len() != view.strides.len() {
        return false;
    }
    let mut expected = 1;
    view.shape.contains(&0)
        || view.shape.iter().zip(&view.strides).rev().all(|(&size, &stride)| {
            let fits = size == 1 || stride == expected;
            expected *= size;
            fits
        })
}
