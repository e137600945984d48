//! The formats, and the handle through which other crates see them.
//!
//! The handle is the only way to the kernels from outside, and it checks what they rely on.

use crate::activations::Activations;
use crate::family::{Family, FlatFamily, FloatFamily, SuperFamily};
use crate::format::{ActivationKind, Flat, Float, FloatKind, Format, Super};
use crate::formats::for_each_format;
use crate::isa::Isa;
use crate::product::Product;

/// Counts the changes of what quantizing makes of the same weights: work that one revision left
/// half done is not for another to finish.
pub const QUANTIZERS_REVISION: u32 = 1;

/// Every format there is.
pub static FORMATS: &[DynFormat] = &for_each_format!(float, flat, super_block);

const fn float<F: Float>() -> DynFormat {
    DynFormat::of::<F, FloatFamily>()
}

const fn flat<F: Flat>() -> DynFormat {
    DynFormat::of::<F, FlatFamily>()
}

const fn super_block<F: Super>() -> DynFormat {
    DynFormat::of::<F, SuperFamily>()
}

/// A format with its type erased: what a tensor carries.
pub struct DynFormat {
    /// Its name: `Q4_K`.
    pub name: &'static str,
    /// Its number in a GGUF tensor table.
    pub gguf_type: u32,
    /// Weights per block; the columns of a matrix must be a multiple.
    pub block_len: usize,
    /// Bytes per block.
    pub block_bytes: usize,
    /// The kind of activations that it is multiplied with.
    pub activations: ActivationKind,
    /// Its encoding, if it is plain floats.
    pub float_kind: Option<FloatKind>,
    has_codebook: bool,
    dequantize: fn(Isa, &[u8], &mut [f32]),
    quantize: Quantize,
    multiply: fn(Isa, DynProduct<'_>),
}

/// Makes blocks of weights, whose errors count as much as the second numbers say.
type Quantize = fn(Isa, &[f32], Option<&[f32]>, &mut [u8]);

struct DynProduct<'a> {
    weights: &'a [u8],
    x: &'a Activations,
    out: &'a mut [f32],
}

impl DynFormat {
    const fn of<F: Format, A: Family<F>>() -> DynFormat {
        let () = A::CHECK;
        DynFormat {
            name: F::NAME,
            gguf_type: F::GGUF_TYPE,
            block_len: F::BLOCK_LEN,
            block_bytes: size_of::<F::Block>(),
            activations: A::ACTIVATIONS,
            float_kind: A::FLOAT_KIND,
            has_codebook: A::HAS_CODEBOOK,
            dequantize: |isa, bytes, weights| {
                A::dequantize(isa, bytemuck::cast_slice(bytes), weights);
            },
            quantize: |isa, weights, importance, bytes| {
                A::quantize(isa, weights, importance, bytemuck::cast_slice_mut(bytes));
            },
            multiply: |isa, DynProduct { weights, x, out }| {
                let weights = bytemuck::cast_slice(weights);
                A::multiply(isa, Product::<F> { weights, x, out });
            },
        }
    }

    /// The format with this name, in any case.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static DynFormat> {
        FORMATS.iter().find(|format| format.name.eq_ignore_ascii_case(name))
    }

    /// The format with this number in a GGUF tensor table.
    #[must_use]
    pub fn by_gguf_type(gguf_type: u32) -> Option<&'static DynFormat> {
        FORMATS.iter().find(|format| format.gguf_type == gguf_type)
    }

    /// Bytes of a row of `cols` weights; `None` where `cols` is not whole blocks or too large.
    #[must_use]
    pub fn row_bytes(&self, cols: usize) -> Option<usize> {
        let blocks = cols.is_multiple_of(self.block_len).then_some(cols / self.block_len)?;
        blocks.checked_mul(self.block_bytes)
    }

    /// Reads the weights back. `bytes` are whole blocks; `weights` has their number of weights.
    ///
    /// # Panics
    /// If the lengths do not agree.
    pub fn dequantize(&self, isa: Isa, bytes: &[u8], weights: &mut [f32]) {
        assert_eq!(self.row_bytes(weights.len()), Some(bytes.len()), "{} blocks", self.name);
        (self.dequantize)(isa, bytes, weights);
    }

    /// Whether blocks are worth making only where it is known how much each error counts
    /// ([`Self::quantize_weighted`]): with a codebook, in fewer than three bits a weight.
    #[must_use]
    pub fn needs_importance(&self) -> bool {
        self.has_codebook && 8 * self.block_bytes < 3 * self.block_len
    }

    /// Makes blocks. `weights` are finite, and whole blocks of them; `bytes` has the blocks' size.
    ///
    /// # Panics
    /// If the lengths do not agree.
    pub fn quantize(&self, isa: Isa, weights: &[f32], bytes: &mut [u8]) {
        self.make(isa, weights, None, bytes);
    }

    /// As [`Self::quantize`], where the squared error of each weight counts as much as `importance`
    /// says, which has a positive number for each, of about the same magnitude on average as 1:
    /// ones give the bytes of [`Self::quantize`].
    ///
    /// # Panics
    /// If the lengths do not agree.
    pub fn quantize_weighted(
        &self,
        isa: Isa,
        weights: &[f32],
        importance: &[f32],
        bytes: &mut [u8],
    ) {
        assert_eq!(weights.len(), importance.len(), "a number for each weight");
        self.make(isa, weights, Some(importance), bytes);
    }

    fn make(&self, isa: Isa, weights: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
        assert_eq!(self.row_bytes(weights.len()), Some(bytes.len()), "{} blocks", self.name);
        (self.quantize)(isa, weights, importance, bytes);
    }

    /// Multiplies rows of weights with rows of activations:
    /// `out[t, r] = sum over k of weights[r, k] * x[t, k]`, `out` being `[x.n_tokens(), n_rows]`
    /// and `weights` `[n_rows, x.cols()]` in this format.
    ///
    /// # Panics
    /// If the lengths do not agree or `x` is of another kind than [`Self::activations`].
    pub fn multiply(&self, isa: Isa, weights: &[u8], x: &Activations, out: &mut [f32]) {
        assert_eq!(x.kind(), self.activations, "activations for {}", self.name);
        let row_bytes = self.row_bytes(x.cols()).expect("whole blocks");
        let n_rows = weights.len() / row_bytes;
        assert_eq!(weights.len(), n_rows * row_bytes, "rows of {} blocks", self.name);
        assert_eq!(Some(out.len()), n_rows.checked_mul(x.n_tokens()), "{n_rows} rows");
        (self.multiply)(isa, DynProduct { weights, x, out });
    }
}

impl PartialEq for DynFormat {
    fn eq(&self, other: &DynFormat) -> bool {
        self.gguf_type == other.gguf_type
    }
}

impl std::fmt::Debug for DynFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl std::fmt::Display for DynFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name)
    }
}
