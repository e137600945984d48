//! Sizes, as people write them.

/// Bytes from `500M` or `4G`: powers of 1000, as disks and other tools for split files count.
pub fn size(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.char_indices().next_back() {
        Some((at, 'M' | 'm')) => (&text[..at], 1_000_000),
        Some((at, 'G' | 'g')) => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    let size = digits.parse().ok().and_then(|count: u64| count.checked_mul(factor));
    size.filter(|&size| size > 0).ok_or_else(|| "expected is a size such as 500M or 4G".into())
}
