//! NumPy's array file format, version 1.0, as far as a matrix of f32 needs it
//! (numpy.lib.format's documentation).

use std::io::{self, Write};

/// How such a file begins: its name and version.
pub const MAGIC: [u8; 8] = *b"\x93NUMPY\x01\x00";

/// Writes an array `[n_rows, n_cols]` of f32, row after row.
pub struct NpyWriter<W: Write> {
    out: W,
}

impl<W: Write> NpyWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// If `out` refuses it.
    pub fn new(mut out: W, n_rows: usize, n_cols: usize) -> io::Result<NpyWriter<W>> {
        const FIXED_LEN: usize = 10;
        const ALIGNMENT: usize = 64;
        let header =
            format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n_rows}, {n_cols}), }}");
        let padded_len = (FIXED_LEN + header.len() + 1).next_multiple_of(ALIGNMENT) - FIXED_LEN;
        out.write_all(&MAGIC)?;
        out.write_all(&(padded_len as u16).to_le_bytes())?;
        writeln!(out, "{header:<width$}", width = padded_len - 1)?;
        Ok(NpyWriter { out })
    }

    /// Writes a row, or several.
    ///
    /// # Errors
    /// If the output refuses it.
    pub fn write(&mut self, values: &[f32]) -> io::Result<()> {
        for value in values {
            self.out.write_all(&value.to_le_bytes())?;
        }
        Ok(())
    }

    /// Flushes and returns the output.
    ///
    /// # Errors
    /// If the output refuses it.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_aligned_and_data_follows() {
        let mut writer = NpyWriter::new(Vec::new(), 2, 3).unwrap();
        writer.write(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        let bytes = writer.finish().unwrap();
        let header_len = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!(header_len % 64, 0);
        assert_eq!(bytes[header_len - 1], b'\n');
        assert!(bytes[..header_len].starts_with(b"\x93NUMPY\x01\x00"));
        let header = std::str::from_utf8(&bytes[10..header_len]).unwrap();
        assert_eq!(
            header.trim_end(),
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
        );
        assert_eq!(bytes.len(), header_len + 24);
        assert_eq!(bytes[header_len + 20..], 6f32.to_le_bytes());
    }
}
