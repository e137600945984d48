//! `bcryptprimitives.dll` for a wine that has none (Debian 12's, 8.0): Rust's standard library asks it for
//! the seeds of hash maps. `.ci/run` compiles it, and puts it into the wine that tests run in.

#![no_std]

#[link(name = "advapi32")]
unsafe extern "system" {
    /// `RtlGenRandom`.
    fn SystemFunction036(bytes: *mut u8, n_bytes: u32) -> u8;
}

/// Fills `n_bytes` with random bits.
///
/// # Safety
/// So many bytes must be there to be written.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn ProcessPrng(bytes: *mut u8, n_bytes: usize) -> i32 {
    let Ok(n_bytes) = u32::try_from(n_bytes) else { return 0 };
    // SAFETY: the caller says that they are there.
    unsafe { SystemFunction036(bytes, n_bytes) }.into()
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
