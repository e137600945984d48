//! The one place where tensors are checked against the file that should hold them.

use super::Tensor;
use super::error::Problem;
use super::header::Header;
use super::map::Bytes;
use super::metadata::ALIGNMENT_KEY;
use super::value::Value;

/// Where tensors begin, unless the file says otherwise.
pub(super) const DEFAULT_ALIGNMENT: u64 = 32;

/// Finds the tensors of a scanned header, with its decoded `values`, in `file`.
///
/// Each begins at a multiple of the alignment, ends within the file and shares no byte with
/// another. The work depends on the number of tensors alone.
pub(super) fn tensors(
    file: &Bytes,
    header: &Header<'_>,
    values: &[(String, Value)],
) -> Result<Vec<Tensor>, Problem> {
    let alignment = alignment(values)?;
    let data_start = (header.n_bytes as u64).next_multiple_of(alignment);
    let mut extents = Vec::with_capacity(header.tensors.len());
    let mut tensors = Vec::with_capacity(header.tensors.len());
    for entry in &header.tensors {
        let (name, size) = (entry.name, entry.n_bytes);
        if !entry.offset.is_multiple_of(alignment) {
            let (tensor, offset) = (name.to_string(), entry.offset);
            return Err(Problem::Misaligned { tensor, offset, alignment });
        }
        let start = data_start.saturating_add(entry.offset);
        let file_bytes = file.len() as u64;
        let end = start.checked_add(size).filter(|&end| end <= file_bytes);
        let Some(end) = end else {
            return Err(Problem::PastEnd { tensor: name.to_string(), start, size, file_bytes });
        };
        extents.push((start, end, name));
        tensors.push(Tensor {
            name: name.to_string(),
            format: entry.format,
            packing: entry.packing,
            shape: entry.shape.clone(),
            part_idx: 0,
            offset: start,
            bytes: file.slice(start as usize..end as usize),
        });
    }
    extents.sort_unstable();
    match extents.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        Some(pair) => Err(Problem::Overlap { first: pair[0].2.into(), second: pair[1].2.into() }),
        None => Ok(tensors),
    }
}

fn alignment(values: &[(String, Value)]) -> Result<u64, Problem> {
    let entry = values.iter().find(|(key, _)| key == ALIGNMENT_KEY);
    let Some((_, value)) = entry else { return Ok(DEFAULT_ALIGNMENT) };
    let alignment = value.integer().and_then(|integer| u64::try_from(integer).ok());
    let valid = alignment.filter(|&n| n.is_power_of_two() && (8..=65536).contains(&n));
    valid.ok_or_else(|| Problem::Alignment {
        found: match value {
            Value::Array(_) | Value::String(_) => value.type_name(),
            _ => format!("{value:?}"),
        },
    })
}
