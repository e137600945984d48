//! The colours of experts and domains: those that M. Okabe and K. Ito chose for all kinds of colour
//! vision, with grey in the place of black, which a dark background swallows.

/// How many there are.
pub(super) const N_COLOURS: usize = 8;

/// Red, green and blue.
const COLOURS: [[u8; 3]; N_COLOURS] = [
    [0xE6, 0x9F, 0x00],
    [0x56, 0xB4, 0xE9],
    [0x00, 0x9E, 0x73],
    [0xF0, 0xE4, 0x42],
    [0x00, 0x72, 0xB2],
    [0xD5, 0x5E, 0x00],
    [0xCC, 0x79, 0xA7],
    [0x99, 0x99, 0x99],
];

/// The colour of an expert or a domain; from the ninth on they are used again.
fn of(idx: usize) -> [u8; 3] {
    COLOURS[idx % COLOURS.len()]
}

/// As CSS has it.
pub(super) fn css(idx: usize) -> String {
    let [r, g, b] = of(idx);
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// A text on the colour of an expert, for a terminal of 24-bit colours. Line ends stay outside: a
/// colour would run to the end of the terminal's line.
pub fn paint(text: &str, expert: usize) -> String {
    let [r, g, b] = of(expert);
    let on = format!("\u{1b}[30;48;2;{r};{g};{b}m");
    let parts: Vec<String> = text
        .split('\n')
        .map(|part| if part.is_empty() { String::new() } else { format!("{on}{part}\u{1b}[0m") })
        .collect();
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::paint;

    #[test]
    fn line_ends_are_not_coloured() {
        assert_eq!(paint("a\n", 1), "\u{1b}[30;48;2;86;180;233ma\u{1b}[0m\n");
        assert_eq!(paint("\n", 9), "\n");
        assert_eq!(paint("a", 1), paint("a", 9));
    }
}
