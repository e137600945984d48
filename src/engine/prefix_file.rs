//! Keys and values of a prefix in a file, for the next run.
//!
//! Little-endian, one after the other:
//!
//! | what | type |
//! | --- | --- |
//! | `GATEPRFX` | 8 bytes |
//! | version, 2 | u32 |
//! | [`NUMERICS_REVISION`] | u32 |
//! | GGUF's number of the cache's format | u32 |
//! | number of layers | u32 |
//! | number of key and value heads | u32 |
//! | width of a head | u32 |
//! | number of tokens | u64 |
//! | the model's fingerprint | 32 bytes |
//! | the tokens | u32 each |
//! | keys and values, as they lie in pages ([`PageLayout`]), of the last page only the positions that are filled | |
//! | SHA-256 of all that | 32 bytes |

use super::NUMERICS_REVISION;
use super::scheduler::Engine;
use crate::files::{Hashed, Replacement, array};
use crate::model::{KvCache, PageLayout};
use gatefold_quant::DynFormat;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

const MAGIC: [u8; 8] = *b"GATEPRFX";
const VERSION: u32 = 2;
const DIGEST_BYTES: u64 = 32;

/// Why a prefix cannot be saved, or a saved one not be used.
#[derive(Debug, Error)]
#[error("{}: {problem}", path.display())]
pub struct PrefixFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: PrefixProblem,
}

/// What is wrong with the file of a prefix.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PrefixProblem {
    /// It cannot be read or written.
    #[error(transparent)]
    Io(io::Error),
    /// Its folder does not exist.
    #[error("there is no such folder; make it, or name a file elsewhere")]
    NoFolder,
    /// It is something else, which is neither read nor replaced.
    #[error("there is something else than a saved prefix; name another file")]
    NotSaved,
    /// It was saved by another version.
    #[error(
        "the prefix was saved in version {found} of the format, and this program reads {VERSION}"
    )]
    Version {
        /// The version.
        found: u32,
    },
    /// It was saved by a program whose arithmetic was another.
    #[error(
        "the prefix was computed by revision {found} of the arithmetic, and this program has {NUMERICS_REVISION}"
    )]
    Revision {
        /// The revision.
        found: u32,
    },
    /// It is of another model.
    #[error("the prefix was saved with another model")]
    Model,
    /// It is in another format.
    #[error("the prefix was saved in {found}, and the cache is in {expected} (`cache_format`)")]
    Format {
        /// The file's format.
        found: String,
        /// The cache's.
        expected: &'static str,
    },
    /// It has not even a header.
    #[error("the file ends too soon: it is damaged")]
    Cut,
    /// It does not end where it should.
    #[error(
        "the file has {found} bytes, and a prefix of {n_tokens} tokens takes {expected}: it is damaged"
    )]
    Length {
        /// Its length.
        found: u64,
        /// What it should be.
        expected: u128,
        /// Tokens that it says it has.
        n_tokens: u64,
    },
    /// Its contents are not what was saved.
    #[error("the checksum does not match: the file is damaged")]
    Checksum,
    /// There is no memory for it.
    #[error(
        "the prefix of {n_tokens} tokens does not fit into the memory for keys and values (`memory_bytes`)"
    )]
    Memory {
        /// Its tokens.
        n_tokens: u64,
    },
}

impl PrefixProblem {
    /// Whether it is a file of ours, though of no use for this run or for none.
    pub fn is_of_ours(&self) -> bool {
        !matches!(self, PrefixProblem::Io(_) | PrefixProblem::NoFolder | PrefixProblem::NotSaved)
    }
}

impl From<io::Error> for PrefixProblem {
    fn from(error: io::Error) -> PrefixProblem {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => PrefixProblem::Cut,
            _ => PrefixProblem::Io(error),
        }
    }
}

/// What comes before the tokens.
#[derive(PartialEq)]
struct Header {
    format: u32,
    shape: [u32; 3],
    n_tokens: u64,
    model: [u8; 32],
}

impl Header {
    fn new(layout: PageLayout, fingerprint: [u8; 32], n_tokens: u64) -> Header {
        let PageLayout { format, n_layers, n_kv_heads, head_dim } = layout;
        Header {
            format: format.gguf_type,
            // Sizes of models are far below 2^32.
            shape: [n_layers, n_kv_heads, head_dim].map(|size| size as u32),
            n_tokens,
            model: fingerprint,
        }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&MAGIC)?;
        for number in [VERSION, NUMERICS_REVISION, self.format].into_iter().chain(self.shape) {
            out.write_all(&number.to_le_bytes())?;
        }
        out.write_all(&self.n_tokens.to_le_bytes())?;
        out.write_all(&self.model)
    }

    fn read(input: &mut impl Read) -> Result<Header, PrefixProblem> {
        if array(input)? != MAGIC {
            return Err(PrefixProblem::NotSaved);
        }
        let mut number = || array(input).map(u32::from_le_bytes);
        let found = number()?;
        if found != VERSION {
            return Err(PrefixProblem::Version { found });
        }
        let found = number()?;
        if found != NUMERICS_REVISION {
            return Err(PrefixProblem::Revision { found });
        }
        let (format, shape) = (number()?, [number()?, number()?, number()?]);
        let n_tokens = u64::from_le_bytes(array(input)?);
        Ok(Header { format, shape, n_tokens, model: array(input)? })
    }

    /// Checks that a file of `found` bytes is of this model, with this layout, and whole.
    fn check(
        &self,
        layout: PageLayout,
        fingerprint: [u8; 32],
        found: u64,
    ) -> Result<(), PrefixProblem> {
        let n_tokens = self.n_tokens;
        let expected = Header::new(layout, fingerprint, n_tokens);
        if (self.model, self.shape) != (expected.model, expected.shape) {
            return Err(PrefixProblem::Model);
        }
        if self.format != expected.format {
            let format = DynFormat::by_gguf_type(self.format);
            let found = format.map_or(format!("format {}", self.format), |it| it.name.to_owned());
            return Err(PrefixProblem::Format { found, expected: layout.format.name });
        }
        let header_bytes = MAGIC.len() + 6 * size_of::<u32>() + size_of::<u64>() + 32;
        let token_bytes = size_of::<u32>() + layout.position_bytes();
        let expected = u128::from(n_tokens) * token_bytes as u128
            + header_bytes as u128
            + u128::from(DIGEST_BYTES);
        if u128::from(found) != expected {
            return Err(PrefixProblem::Length { found, expected, n_tokens });
        }
        Ok(())
    }
}

/// A file for a prefix.
#[derive(Clone, Debug)]
pub struct PrefixFile {
    /// Where it is, or will be.
    pub path: PathBuf,
    /// Identifies the model, and how it rotates keys.
    pub fingerprint: [u8; 32],
}

impl PrefixFile {
    /// Finds out whether a prefix can be saved, and leaves nothing behind.
    ///
    /// # Errors
    /// If it cannot.
    pub fn check(&self) -> Result<(), PrefixFileError> {
        self.begin().map(drop).map_err(|problem| self.error(problem))
    }

    fn error(&self, problem: PrefixProblem) -> PrefixFileError {
        PrefixFileError { path: self.path.clone(), problem }
    }

    /// Begins the file.
    fn begin(&self) -> Result<Replacement, PrefixProblem> {
        match is_of_another_kind(&self.path)? {
            true => Err(PrefixProblem::NotSaved),
            false => Ok(Replacement::part_of(&self.path, &MAGIC)?),
        }
    }

    /// Writes a prefix, `tokens` and their keys and values, to `PATH.part`, and puts it there once it
    /// is whole.
    ///
    /// # Errors
    /// If it cannot be written; a file that was there before is as it was then.
    pub fn save(&self, tokens: &[u32], cache: &KvCache) -> Result<(), PrefixFileError> {
        let save = || {
            let mut out = Hashed::new(BufWriter::new(self.begin()?));
            Header::new(cache.layout(), self.fingerprint, tokens.len() as u64).write(&mut out)?;
            for token in tokens {
                out.write_all(&token.to_le_bytes())?;
            }
            cache.write_to(&mut out)?;
            let (mut inner, hash) = out.finish();
            inner.write_all(&hash)?;
            let file = inner.into_inner().map_err(io::IntoInnerError::into_error)?;
            Ok(file.put_in_place()?)
        };
        save().map_err(|problem| self.error(problem))
    }

    /// Reads a prefix: its tokens, and their keys and values into an empty cache.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, was made with another model or format, or does not
    /// fit into the memory.
    pub fn load(&self, mut cache: KvCache) -> Result<(Vec<u32>, KvCache), PrefixFileError> {
        let load = || {
            if is_of_another_kind(&self.path)? {
                return Err(PrefixProblem::NotSaved);
            }
            let file = File::open(&self.path)?;
            let n_bytes = file.metadata()?.len();
            let mut input = Hashed::new(BufReader::new(file));
            let header = Header::read(&mut input)?;
            header.check(cache.layout(), self.fingerprint, n_bytes)?;
            // The file has as many bytes and more.
            let n_tokens = header.n_tokens as usize;
            let no_memory = |_| PrefixProblem::Memory { n_tokens: header.n_tokens };
            cache.reserve(n_tokens).map_err(no_memory)?;
            let tokens = (0..n_tokens).map(|_| array(&mut input).map(u32::from_le_bytes));
            let tokens = tokens.collect::<io::Result<Vec<u32>>>()?;
            cache.read_from(n_tokens, &mut input)?;
            let (mut inner, hash) = input.finish();
            if array(&mut inner)? != hash {
                return Err(PrefixProblem::Checksum);
            }
            Ok((tokens, cache))
        };
        load().map_err(|problem| self.error(problem))
    }
}

impl Engine {
    /// Saves the keys and values that the engine has of a prefix, and returns how many tokens that
    /// is. With none, no file is written.
    ///
    /// # Errors
    /// If the file cannot be written; one that was there before is as it was then.
    pub fn save_prefix(&self, file: &PrefixFile, tokens: &[u32]) -> Result<usize, PrefixFileError> {
        let Some(cache) = self.export_prefix(tokens) else { return Ok(0) };
        file.save(&tokens[..cache.len()], &cache)?;
        Ok(cache.len())
    }

    /// Puts what [`Self::save_prefix`] saved into the prefix cache, and returns its tokens.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, was made with another model or format, or does not fit
    /// into the memory. The engine is as it was then, and works without.
    pub fn load_prefix(&mut self, file: &PrefixFile) -> Result<Vec<u32>, PrefixFileError> {
        let (tokens, cache) = file.load(self.empty_cache())?;
        self.import_prefix(tokens.clone(), cache);
        Ok(tokens)
    }
}

/// Whether there is something else than a saved prefix, which is not to be opened or replaced.
fn is_of_another_kind(path: &Path) -> io::Result<bool> {
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => there?,
    };
    // Opening a pipe would wait for who writes to it. Files that are shorter are not torn ones: these
    // are never in their place.
    Ok(!there.is_file() || array(&mut File::open(path)?).map_or(true, |magic| magic != MAGIC))
}
