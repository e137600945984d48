//! The directory of a zip file: which entries it has, and where their bytes lie.
//!
//! PyTorch stores its entries as they are, so that an entry is a range of the file and nothing has
//! to be unpacked. The format, ZIP64 included: <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>,
//! sections 4.3 to 4.5. Nothing in it makes this read more than its directory and one header per
//! entry, or keep more than [`MOST_DIRECTORY_BYTES`].

use super::super::error::CheckpointError;
use super::super::stored::SourceFile;
use super::cursor::Cursor;
use super::error::TorchError;
use std::collections::BTreeMap;

/// What every zip file with an entry begins with: the header of that entry.
pub(super) const LOCAL_HEADER: [u8; 4] = *b"PK\x03\x04";
const DIRECTORY_HEADER: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const END_64_LOCATOR: [u8; 4] = *b"PK\x06\x07";

const LOCAL_HEADER_BYTES: usize = 30;
const END_BYTES: usize = 22;
const END_64_BYTES: usize = 56;
const END_64_LOCATOR_BYTES: usize = 20;
const MOST_COMMENT_BYTES: usize = u16::MAX as usize;

/// Mixtral 8x7B has about 1,000 entries of 100 bytes each.
const MOST_ENTRIES: u64 = 1 << 16;
const MOST_DIRECTORY_BYTES: u64 = 1 << 24;

/// The bytes of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Where in the file they begin.
    pub start: u64,
    /// How many there are.
    pub n_bytes: u64,
}

/// The entries of the zip file `file`, by their names.
pub(super) fn entries(file: &SourceFile) -> Result<BTreeMap<String, Entry>, CheckpointError> {
    let directory = Directory::find(file)?;
    let mut bytes = vec![0; directory.n_bytes as usize];
    file.read_at(directory.start, &mut bytes)?;

    let (mut entries, mut extents) = (BTreeMap::new(), Vec::new());
    let mut cursor = Cursor::new(&bytes);
    for _ in 0..directory.n_entries {
        let header = DirectoryHeader::read(&mut cursor).ok_or_else(|| damaged(file))?;
        let entry = header.entry(file, directory.start)?;
        extents.push((header.local_header, entry.start + entry.n_bytes, header.name.clone()));
        if entries.insert(header.name.clone(), entry).is_some() {
            return Err(header.refused(file, "is in it twice"));
        }
    }
    extents.sort_unstable();
    match extents.windows(2).find(|pair| pair[1].0 < pair[0].1) {
        Some(pair) => {
            let wrong = format!("overlaps with {}", pair[0].2);
            Err(TorchError::Entry { entry: pair[1].2.clone(), wrong }.at(&file.path))
        }
        None => Ok(entries),
    }
}

fn damaged(file: &SourceFile) -> CheckpointError {
    TorchError::Directory.at(&file.path)
}

/// Where the directory is.
struct Directory {
    start: u64,
    n_bytes: u64,
    n_entries: u64,
}

impl Directory {
    /// Looks for the record at the end of the file that says where the directory is.
    fn find(file: &SourceFile) -> Result<Directory, CheckpointError> {
        let most = END_64_LOCATOR_BYTES + END_BYTES + MOST_COMMENT_BYTES;
        let mut tail = vec![0; file.n_bytes.min(most as u64) as usize];
        let tail_start = file.n_bytes - tail.len() as u64;
        file.read_at(tail_start, &mut tail)?;

        let last = tail.len().checked_sub(END_BYTES);
        let end = last.and_then(|last| (0..=last).rev().find(|&at| ends_file(&tail[at..])));
        let end = end.ok_or_else(|| TorchError::CutShort.at(&file.path))?;
        let locator = end.checked_sub(END_64_LOCATOR_BYTES).map(|at| &tail[at..end]);
        let (directory, directory_end) = match locator {
            Some(locator) if locator.starts_with(&END_64_LOCATOR) => {
                let record = Cursor::new(&locator[8..]).u64().ok_or_else(|| damaged(file))?;
                (Directory::from_end_64(file, record)?, record)
            }
            _ => {
                let directory = Directory::from_end(&tail[end..]).ok_or_else(|| damaged(file))?;
                (directory, tail_start + end as u64)
            }
        };
        for (item, found, most) in [
            ("entries", directory.n_entries, MOST_ENTRIES),
            ("bytes in its directory", directory.n_bytes, MOST_DIRECTORY_BYTES),
        ] {
            if found > most {
                return Err(TorchError::TooMany { item, found, most }.at(&file.path));
            }
        }
        match directory.start.checked_add(directory.n_bytes) {
            Some(end) if end <= directory_end => Ok(directory),
            _ => Err(damaged(file)),
        }
    }

    fn from_end(record: &[u8]) -> Option<Directory> {
        let mut record = Cursor::new(record);
        record.take(10)?;
        let n_entries = record.u16()?.into();
        let n_bytes = record.u32()?.into();
        Some(Directory { n_entries, n_bytes, start: record.u32()?.into() })
    }

    /// ZIP64: the record stands at `record`.
    fn from_end_64(file: &SourceFile, record: u64) -> Result<Directory, CheckpointError> {
        let mut bytes = [0; END_64_BYTES];
        if record.checked_add(END_64_BYTES as u64).is_none_or(|end| end > file.n_bytes) {
            return Err(damaged(file));
        }
        file.read_at(record, &mut bytes)?;
        let read = || {
            let mut record = Cursor::new(&bytes);
            (record.array()? == END_64).then_some(())?;
            record.take(28)?;
            let n_entries = record.u64()?;
            let n_bytes = record.u64()?;
            Some(Directory { n_entries, n_bytes, start: record.u64()? })
        };
        read().ok_or_else(|| damaged(file))
    }
}

/// Whether `bytes`, the rest of a file, are an end record and its comment.
fn ends_file(bytes: &[u8]) -> bool {
    let mut cursor = Cursor::new(bytes);
    cursor.array() == Some(END)
        && cursor.take(16).is_some()
        && cursor.u16().is_some_and(|comment| bytes.len() == END_BYTES + usize::from(comment))
}

/// What the directory says of an entry.
struct DirectoryHeader {
    name: String,
    flags: u16,
    method: u16,
    n_bytes: u64,
    /// Where the entry's own header is, after which its bytes come.
    local_header: u64,
}

impl DirectoryHeader {
    /// Reads the next one; `None` if it is damaged.
    fn read(directory: &mut Cursor<'_>) -> Option<DirectoryHeader> {
        (directory.array()? == DIRECTORY_HEADER).then_some(())?;
        directory.take(4)?;
        let (flags, method) = (directory.u16()?, directory.u16()?);
        directory.take(8)?;
        let (packed_bytes, n_bytes) = (directory.u32()?, directory.u32()?);
        let (name, extra, comment) = (directory.u16()?, directory.u16()?, directory.u16()?);
        directory.take(8)?;
        let local_header = directory.u32()?;
        let name = directory.take(name.into())?;
        let mut wide = zip64_field(directory.take(extra.into())?);
        directory.take(comment.into())?;

        // The ZIP64 field has, in this order, those of the numbers that did not fit.
        let mut widen = |number: u32| match number {
            u32::MAX => wide.u64(),
            _ => Some(number.into()),
        };
        let n_bytes = widen(n_bytes)?;
        widen(packed_bytes)?;
        let local_header = widen(local_header)?;
        let name = String::from_utf8_lossy(name).into_owned();
        Some(DirectoryHeader { name, flags, method, n_bytes, local_header })
    }

    /// Finds the entry's bytes, which end before the directory begins.
    fn entry(&self, file: &SourceFile, directory: u64) -> Result<Entry, CheckpointError> {
        const ENCRYPTED: u16 = 1;
        const STORED: u16 = 0;
        if self.flags & ENCRYPTED != 0 {
            return Err(self.refused(file, "is encrypted"));
        }
        if self.method != STORED {
            return Err(self.refused(file, "is compressed, which PyTorch's own files never are"));
        }
        let outside = || self.refused(file, "is not within the file");
        let header_end = self.local_header.checked_add(LOCAL_HEADER_BYTES as u64);
        if header_end.is_none_or(|end| end > directory) {
            return Err(outside());
        }
        let mut header = [0; LOCAL_HEADER_BYTES];
        file.read_at(self.local_header, &mut header)?;
        let mut cursor = Cursor::new(&header);
        if cursor.array() != Some(LOCAL_HEADER) {
            return Err(self.refused(file, "does not begin where the directory says"));
        }
        let lengths = cursor.take(22).and_then(|_| Some((cursor.u16()?, cursor.u16()?)));
        let (name, extra) = lengths.ok_or_else(outside)?;
        let start = header_end.and_then(|end| end.checked_add(u64::from(name) + u64::from(extra)));
        let start = start.ok_or_else(outside)?;
        match start.checked_add(self.n_bytes) {
            Some(end) if end <= directory => Ok(Entry { start, n_bytes: self.n_bytes }),
            _ => Err(outside()),
        }
    }

    fn refused(&self, file: &SourceFile, wrong: &str) -> CheckpointError {
        TorchError::Entry { entry: self.name.clone(), wrong: wrong.into() }.at(&file.path)
    }
}

/// The contents of the ZIP64 field among the extra fields of an entry; nothing if there is none.
fn zip64_field(extra: &[u8]) -> Cursor<'_> {
    const ZIP64: u16 = 1;
    let mut fields = Cursor::new(extra);
    let mut next = || Some((fields.u16()?, fields.u16().and_then(|n| fields.take(n.into()))?));
    while let Some((id, contents)) = next() {
        if id == ZIP64 {
            return Cursor::new(contents);
        }
    }
    Cursor::new(&[])
}
