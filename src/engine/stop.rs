//! Stop strings in streamed text.

/// Passes text on, but for what could be the beginning of a stop string, until one is complete.
pub struct StopScanner {
    stops: Vec<String>,
    held: String,
}

impl StopScanner {
    /// A scanner for stop strings; empty ones never stop.
    pub fn new(mut stops: Vec<String>) -> StopScanner {
        stops.retain(|stop| !stop.is_empty());
        StopScanner { stops, held: String::new() }
    }

    /// Takes more text. Returns what may be shown, and whether a stop string was completed; what
    /// comes before the first one is shown, it and the rest are not.
    pub fn push(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.held.truncate(at);
            return (self.finish(), true);
        }
        let shown = self.held.len() - self.possible_stop_len();
        let rest = self.held.split_off(shown);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// The text still held back, at the end of the stream.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Length of the longest end of the held text that begins a stop string.
    fn possible_stop_len(&self) -> usize {
        let beginnings =
            self.stops.iter().flat_map(|stop| stop.char_indices().map(move |(at, _)| &stop[..at]));
        let possible = beginnings.filter(|beginning| self.held.ends_with(beginning));
        possible.map(str::len).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(stops: &[&str], parts: &[&str]) -> (Vec<String>, bool) {
        let stops = stops.iter().map(|stop| stop.to_string()).collect();
        let mut scanner = StopScanner::new(stops);
        let mut shown = Vec::new();
        for part in parts {
            let (text, stopped) = scanner.push(part);
            shown.push(text);
            if stopped {
                return (shown, true);
            }
        }
        shown.push(scanner.finish());
        (shown, false)
    }

    #[test]
    fn a_stop_string_across_parts_is_never_shown() {
        assert_eq!(
            stream(&["END"], &["one E", "N", "D two"]),
            (vec!["one ".into(), "".into(), "".into()], true)
        );
    }

    #[test]
    fn what_only_looked_like_one_is_shown() {
        assert_eq!(
            stream(&["END"], &["one EN", "TRY"]),
            (vec!["one ".into(), "ENTRY".into(), "".into()], false)
        );
        assert_eq!(stream(&["END"], &["one E"]), (vec!["one ".into(), "E".into()], false));
    }

    #[test]
    fn the_first_of_several_wins_and_characters_stay_whole() {
        assert_eq!(stream(&["z", "äb"], &["xä", "bz"]), (vec!["x".into(), "".into()], true));
        assert_eq!(stream(&["ö"], &["xä"]), (vec!["xä".into(), "".into()], false));
    }
}
