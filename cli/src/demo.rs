//! The demo model: a small Mixtral, trained for this project and built into the program.
//!
//! It knows one small world and no other; `demo/README.md` says which, and how well. It is a file
//! like any other, but for where its bytes lie.

use crate::hub::model_file;
use crate::terminal::print_note;
use anyhow::Result;
use gatefold::gguf::{Bytes, Gguf, GgufError};
use std::path::Path;

/// What messages call it in place of a path.
pub const NAME: &str = "the demo model";

/// Blocks are read where they lie, so the bytes are aligned as a mapped file would be.
#[repr(C, align(64))]
struct Aligned<B: ?Sized>(B);

static MODEL: &Aligned<[u8]> = &Aligned(*include_bytes!("../demo/model.gguf"));

/// The model that `-m` named, fetched where it is not here, or the one in the program.
///
/// # Errors
/// If it is not to be had, or the file is none that can be read.
pub fn open_model(model: Option<&Path>) -> Result<Gguf> {
    let Some(path) = model else {
        print_note(
            "no model named with -m or GATEFOLD_MODEL: this is the demo model, a toy that knows one small world; `gatefold pull` lists real ones",
        );
        return Ok(open()?);
    };
    Ok(Gguf::open(&model_file(path)?)?)
}

/// Opens the demo model.
///
/// # Errors
/// If the program is damaged.
pub fn open() -> Result<Gguf, GgufError> {
    Gguf::from_bytes(NAME, Bytes::from(&MODEL.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatefold::Compute;
    use gatefold::Isa;
    use gatefold::inspect::check;

    #[test]
    fn the_demo_model_is_whole_and_small() {
        assert!(MODEL.0.len() <= 8_000_000);
        let compute = Compute::new(Isa::detect(), Some(2)).unwrap();
        let check = check(&open().unwrap(), &compute, |_| ());
        assert!(check.faults.is_empty());
    }
}
