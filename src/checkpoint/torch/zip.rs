//! The directory of a zip file: which entries it has, and where their bytes lie.
//!
//! PyTorch stores its entries as they are, so that an entry is a range of the file and nothing has
//! to be unpacked. The format, ZIP64 included: <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>,
//! sections 4.3 to 4.5. Nothing in a file makes this read more than its directory and a header per
//! entry, of both of which there is a most.

use super::cursor::Cursor;
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::error::TorchError;
use crate::checkpoint::stored::SourceFile;
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

/// The directory of a zip file.
pub(super) struct Directory {
    start: u64,
    headers: Vec<Header>,
}

impl Directory {
    /// Reads the directory of `file`.
    pub fn read(file: &SourceFile) -> Result<Directory, CheckpointError> {
        let end = EndRecord::find(file)?;
        let mut bytes = vec![0; end.directory_bytes as usize];
        file.read_at(end.directory, &mut bytes)?;
        let mut cursor = Cursor::new(&bytes);
        let headers: Option<_> = (0..end.n_entries).map(|_| Header::read(&mut cursor)).collect();
        Ok(Directory { start: end.directory, headers: headers.ok_or_else(|| damaged(file))? })
    }

    /// The names of the entries.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|header| &*header.name)
    }

    /// Finds the bytes of all entries, which must lie in the file as they are, none upon another.
    pub fn entries(&self, file: &SourceFile) -> Result<BTreeMap<&str, Entry>, CheckpointError> {
        let refused = |header: &Header, wrong: &str| {
            let (entry, wrong) = (header.name.clone(), wrong.into());
            TorchError::Entry { entry, wrong }.at(&file.path)
        };
        let (mut entries, mut extents) = (BTreeMap::new(), Vec::new());
        for header in &self.headers {
            header.check_packing().map_err(|wrong| refused(header, wrong))?;
            let mut local = [0; LOCAL_HEADER_BYTES];
            if header.local.checked_add(local.len() as u64).is_none_or(|end| end > self.start) {
                return Err(refused(header, "is not within the file"));
            }
            file.read_at(header.local, &mut local)?;
            let start = header.start(&local);
            let start = start.ok_or_else(|| refused(header, "is not where the directory says"))?;
            let entry = Entry { start, n_bytes: header.n_bytes };
            match start.checked_add(entry.n_bytes) {
                Some(end) if end <= self.start => extents.push((header.local, end, header)),
                _ => return Err(refused(header, "is not within the file")),
            }
            if entries.insert(&*header.name, entry).is_some() {
                return Err(refused(header, "is in it twice"));
            }
        }
        extents.sort_unstable_by_key(|&(local, end, _)| (local, end));
        match extents.windows(2).find(|pair| pair[1].0 < pair[0].1) {
            Some(pair) => Err(refused(pair[1].2, &format!("overlaps with {}", pair[0].2.name))),
            None => Ok(entries),
        }
    }
}

fn damaged(file: &SourceFile) -> CheckpointError {
    TorchError::Directory.at(&file.path)
}

/// The record at the end of the file, which says where the directory is.
struct EndRecord {
    n_entries: u64,
    directory_bytes: u64,
    directory: u64,
}

impl EndRecord {
    fn find(file: &SourceFile) -> Result<EndRecord, CheckpointError> {
        let most = END_64_LOCATOR_BYTES + END_BYTES + MOST_COMMENT_BYTES;
        let mut tail = vec![0; file.n_bytes.min(most as u64) as usize];
        let tail_start = file.n_bytes - tail.len() as u64;
        file.read_at(tail_start, &mut tail)?;

        let last = tail.len().checked_sub(END_BYTES);
        let at = last.and_then(|last| (0..=last).rev().find(|&at| ends_file(&tail[at..])));
        let at = at.ok_or_else(|| TorchError::CutShort.at(&file.path))?;
        let locator = at.checked_sub(END_64_LOCATOR_BYTES).map(|start| &tail[start..at]);
        let (record, record_start) = match locator {
            Some(locator) if locator.starts_with(&END_64_LOCATOR) => {
                let start = Cursor::new(&locator[8..]).u64().unwrap_or(u64::MAX);
                if start.checked_add(END_64_BYTES as u64).is_none_or(|end| end > file.n_bytes) {
                    return Err(damaged(file));
                }
                let mut record = [0; END_64_BYTES];
                file.read_at(start, &mut record)?;
                (EndRecord::wide(&record), start)
            }
            _ => (EndRecord::narrow(&tail[at..]), tail_start + at as u64),
        };
        let record = record.ok_or_else(|| damaged(file))?;
        for (item, found, most) in [
            ("entries", record.n_entries, MOST_ENTRIES),
            ("bytes in its directory", record.directory_bytes, MOST_DIRECTORY_BYTES),
        ] {
            if found > most {
                return Err(TorchError::TooMany { item, found, most }.at(&file.path));
            }
        }
        match record.directory.checked_add(record.directory_bytes) {
            Some(end) if end <= record_start => Ok(record),
            _ => Err(damaged(file)),
        }
    }

    fn narrow(record: &[u8]) -> Option<EndRecord> {
        let mut record = Cursor::new(record);
        record.take(10)?;
        let n_entries = record.u16()?.into();
        let directory_bytes = record.u32()?.into();
        Some(EndRecord { n_entries, directory_bytes, directory: record.u32()?.into() })
    }

    /// That of ZIP64.
    fn wide(record: &[u8]) -> Option<EndRecord> {
        let mut record = Cursor::new(record);
        (record.array()? == END_64).then_some(())?;
        record.take(28)?;
        let n_entries = record.u64()?;
        let directory_bytes = record.u64()?;
        Some(EndRecord { n_entries, directory_bytes, directory: record.u64()? })
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
struct Header {
    name: String,
    flags: u16,
    method: u16,
    n_bytes: u64,
    /// Where the entry's local header is, after which its bytes come.
    local: u64,
}

impl Header {
    /// Reads the next one; `None` if it is damaged.
    fn read(directory: &mut Cursor<'_>) -> Option<Header> {
        (directory.array()? == DIRECTORY_HEADER).then_some(())?;
        directory.take(4)?;
        let (flags, method) = (directory.u16()?, directory.u16()?);
        directory.take(8)?;
        let (packed_bytes, n_bytes) = (directory.u32()?, directory.u32()?);
        let (name, extra, comment) = (directory.u16()?, directory.u16()?, directory.u16()?);
        directory.take(8)?;
        let local = directory.u32()?;
        let name = String::from_utf8_lossy(directory.take(name.into())?).into_owned();
        let mut wide = zip64_field(directory.take(extra.into())?);
        directory.take(comment.into())?;

        // The ZIP64 field has, in this order, those of the numbers that did not fit.
        let mut widen = |number: u32| match number {
            u32::MAX => wide.u64(),
            _ => Some(number.into()),
        };
        let n_bytes = widen(n_bytes)?;
        widen(packed_bytes)?;
        Some(Header { name, flags, method, n_bytes, local: widen(local)? })
    }

    /// The error is what is wrong.
    fn check_packing(&self) -> Result<(), &'static str> {
        const ENCRYPTED: u16 = 1;
        const STORED: u16 = 0;
        match (self.flags & ENCRYPTED, self.method) {
            (0, STORED) => Ok(()),
            (0, _) => Err("is compressed, which PyTorch's own files never are"),
            _ => Err("is encrypted"),
        }
    }

    /// Where the bytes begin, as the local header says, whose name and extra fields may be longer.
    fn start(&self, local: &[u8]) -> Option<u64> {
        let mut cursor = Cursor::new(local);
        (cursor.array()? == LOCAL_HEADER).then_some(())?;
        cursor.take(22)?;
        let (name, extra) = (cursor.u16()?, cursor.u16()?);
        self.local.checked_add(local.len() as u64 + u64::from(name) + u64::from(extra))
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
