//! What can be wrong with a PyTorch file.

use thiserror::Error;

/// What is wrong with a PyTorch file. The file is named by the error around it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TorchError {
    /// Another kind of file.
    #[error("is not a PyTorch zip file: {0}")]
    NotZip(&'static str),
    /// A file with a program in it.
    #[error(
        "is a TorchScript archive, a program with weights, and gatefold reads weights alone; save its state_dict() with torch.save instead"
    )]
    TorchScript,
    /// A zip file without an end.
    #[error(
        "has no zip directory at its end, where one belongs: the file is cut short; download it again"
    )]
    CutShort,
    /// A directory that makes no sense.
    #[error("has a damaged zip directory; download it again")]
    Directory,
    /// More of something than any model has.
    #[error(
        "has {found} {item}, and at most {most} are sensible: the file is damaged or no model; download it again"
    )]
    TooMany {
        /// Of what.
        item: &'static str,
        /// How many.
        found: u64,
        /// How many there may be.
        most: u64,
    },
    /// An entry of the archive that cannot be used.
    #[error("its entry {entry} {wrong}; download the file again, or save it again with torch.save")]
    Entry {
        /// Which entry.
        entry: String,
        /// What is wrong with it.
        wrong: String,
    },
    /// An archive of something else.
    #[error(
        "is a zip file with {0} data.pkl in it, and torch.save makes files with one; check that it is a checkpoint"
    )]
    DataPkl(&'static str),
    /// The other byte order.
    #[error(
        "has numbers in the byte order {0:?}, and gatefold reads little; save it again with torch.save on a little-endian machine"
    )]
    ByteOrder(String),
    /// A pickle of another version.
    #[error(
        "its data.pkl does not begin as a pickle of protocol 2 to 5 does; save it again with torch.save"
    )]
    Protocol,
    /// An opcode that tensors do not need.
    #[error(
        "its data.pkl has the pickle opcode {name} at byte {at}, which tensors do not need; nothing was run. Save a plain dictionary of tensors with torch.save, or use safetensors"
    )]
    Opcode {
        /// Its name, or its number if it has none.
        name: String,
        /// Where it is.
        at: usize,
    },
    /// A class or function that tensors do not need.
    #[error(
        "its data.pkl asks for {0}, which tensors do not need and gatefold does not know; nothing was run. If you trust the file, load it with PyTorch and save a plain dictionary of tensors; else delete it"
    )]
    Class(String),
    /// A known function, called with arguments that tensors do not need.
    #[error(
        "its data.pkl calls {0} with other arguments than a plain tensor has; save plain tensors with torch.save"
    )]
    Arguments(&'static str),
    /// A pickle that makes no sense.
    #[error("its data.pkl is damaged at byte {at}: {wrong}; download it again")]
    Pickle {
        /// Where.
        at: usize,
        /// What is wrong.
        wrong: String,
    },
    /// A pickle of something else.
    #[error(
        "holds {0}, and a dictionary of tensors was expected; save the model's state_dict() with torch.save"
    )]
    NotTensors(&'static str),
    /// A tensor that is not as it should be.
    #[error("its tensor {tensor} {wrong}")]
    Tensor {
        /// Which tensor.
        tensor: String,
        /// What is wrong with it, and what to do.
        wrong: String,
    },
}
