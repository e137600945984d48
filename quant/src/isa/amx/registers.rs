//! The tile registers, and the instructions on them.
//!
//! The compiler knows neither: they are written in assembly here, and what the registers hold
//! between two instructions is nobody else's business.

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, __m512i};
use std::sync::OnceLock;

/// 32-bit sums: a row per token, an element per row of weights. As they are stored.
pub type Sums = [__m512i; 16];

/// Whether the CPU has tile registers for int8 and this process may use them: asks for both once.
pub fn are_available() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| cpu_has_them() && system_permits_them())
}

fn cpu_has_them() -> bool {
    const AMX_TILE: u32 = 1 << 24;
    const AMX_INT8: u32 = 1 << 25;
    let extended_features = 7;
    __cpuid_count(0, 0).eax >= extended_features
        && __cpuid_count(extended_features, 0).edx & (AMX_TILE | AMX_INT8) == AMX_TILE | AMX_INT8
}

/// Linux saves the registers' eight kilobytes only for processes that have asked for it.
#[cfg(target_os = "linux")]
fn system_permits_them() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const REQUEST_PERMISSION: i64 = 0x1023;
    const TILE_DATA: i64 = 18;
    let answer: i64;
    // SAFETY: the call takes two numbers and touches no memory of this process.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => answer,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

#[cfg(not(target_os = "linux"))]
fn system_permits_them() -> bool {
    false
}

/// The registers of this thread, configured for some tokens; given back when dropped.
pub struct TileRegisters {
    n_tokens: usize,
}

/// What `ldtilecfg` reads: per register, bytes of a row and number of rows.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    n_rows: [u8; 16],
}

/// Bytes of a row of sums, and of weights: sixteen elements.
const ROW_BYTES: usize = 64;

impl TileRegisters {
    /// Not configured yet.
    pub fn new() -> TileRegisters {
        TileRegisters { n_tokens: 0 }
    }

    /// Shapes the registers for products of `n_tokens`, 1..=16, at a depth of `depth` columns,
    /// a multiple of four up to 64: 0 to 3 for sums, 4 for activations, 5 to 7 for weights.
    ///
    /// # Safety
    /// [`are_available`] must have said so. The depth is always the same.
    #[inline(always)]
    pub unsafe fn configure(&mut self, n_tokens: usize, depth: usize) {
        if self.n_tokens == n_tokens {
            return;
        }
        self.n_tokens = n_tokens;
        let (n_tokens, n_fours) = (n_tokens as u8, (depth / 4) as u8);
        let (full, depth) = (ROW_BYTES as u16, depth as u16);
        let mut config = Config {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            n_rows: [0; 16],
        };
        config.row_bytes[..8].copy_from_slice(&[full, full, full, full, depth, full, full, full]);
        config.n_rows[..5].fill(n_tokens);
        config.n_rows[5..8].fill(n_fours);
        // SAFETY: the caller's promise; the configuration is a valid one.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, readonly)) };
    }
}

impl Drop for TileRegisters {
    fn drop(&mut self) {
        if self.n_tokens > 0 {
            // SAFETY: they have been configured, so the CPU has them.
            unsafe { asm!("tilerelease", options(nomem, nostack)) };
        }
    }
}

/// Starts the product of activations, rows of [`TileRegisters::configure`]'s depth every `stride`
/// bytes, with weights, four columns to a row of 64 bytes, in the first (`0`) or the second (`1`)
/// set of registers.
macro_rules! start {
    (0, $x:expr, $stride:expr, $weights:expr) => {
        start!(@ "tmm0", "tmm4", "tmm5", $x, $stride, $weights)
    };
    (1, $x:expr, $stride:expr, $weights:expr) => {
        start!(@ "tmm1", "tmm4", "tmm6", $x, $stride, $weights)
    };
    (@ $sums:literal, $x_tile:literal, $weight_tile:literal, $x:expr, $stride:expr, $weights:expr) => {
        std::arch::asm!(
            concat!("tilezero ", $sums),
            concat!("tileloadd ", $x_tile, ", [{x} + {stride}]"),
            concat!("tileloadd ", $weight_tile, ", [{weights} + {row}]"),
            concat!("tdpbssd ", $sums, ", ", $x_tile, ", ", $weight_tile),
            x = in(reg) $x,
            stride = in(reg) $stride,
            weights = in(reg) $weights,
            row = in(reg) 64usize,
            options(nostack, readonly),
        )
    };
}

/// Stores the sums of the first or the second set.
macro_rules! finish {
    (0, $sums:expr) => { finish!(@ "tmm0", $sums) };
    (1, $sums:expr) => { finish!(@ "tmm1", $sums) };
    (@ $tile:literal, $sums:expr) => {
        std::arch::asm!(
            concat!("tilestored [{sums} + {row}], ", $tile),
            sums = in(reg) $sums,
            row = in(reg) 64usize,
            options(nostack),
        )
    };
}

pub(super) use {finish, start};

/// Adds to the sums in registers 0 to 3 the products of sixteen rows of activations, every `stride`
/// bytes, with four matrices of weights, four columns to a row of 64 bytes, at a depth of 64.
///
/// Four at a time keep the unit busy: a product starts when its sums are there, and takes as long
/// as the three others need to start.
///
/// # Safety
/// The registers must be configured for this depth, and the addresses be of as many bytes.
#[inline(always)]
pub unsafe fn multiply_four(x: *const i8, stride: usize, weights: [*const __m512i; 4]) {
    let [a, b, c, d] = weights;
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "tileloadd tmm4, [{x} + {stride}]",
            "tileloadd tmm5, [{a} + {row}]",
            "tdpbssd tmm0, tmm4, tmm5",
            "tileloadd tmm6, [{b} + {row}]",
            "tdpbssd tmm1, tmm4, tmm6",
            "tileloadd tmm7, [{c} + {row}]",
            "tdpbssd tmm2, tmm4, tmm7",
            "tileloadd tmm5, [{d} + {row}]",
            "tdpbssd tmm3, tmm4, tmm5",
            x = in(reg) x,
            stride = in(reg) stride,
            a = in(reg) a,
            b = in(reg) b,
            c = in(reg) c,
            d = in(reg) d,
            row = in(reg) ROW_BYTES,
            options(nostack, readonly),
        );
    }
}

/// Makes the sums of [`multiply_four`] zero.
///
/// # Safety
/// The registers must be configured.
#[inline(always)]
pub unsafe fn zero_four() {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            options(nomem, nostack),
        );
    }
}

/// Stores the sums of [`multiply_four`].
///
/// # Safety
/// The registers must be configured.
#[inline(always)]
pub unsafe fn store_four(sums: &mut [Sums; 4]) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "tilestored [{sums} + {row}], tmm0",
            "tilestored [{sums} + {row} + 1024], tmm1",
            "tilestored [{sums} + {row} + 2048], tmm2",
            "tilestored [{sums} + {row} + 3072], tmm3",
            sums = in(reg) sums,
            row = in(reg) ROW_BYTES,
            options(nostack),
        );
    }
}
