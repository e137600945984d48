//! Token ids as text.

use anyhow::{Context, Result, bail};

/// Ids between commas, spaces or the brackets of JSON, each within the vocabulary.
pub fn parse_ids(text: &str, n_vocab: usize) -> Result<Vec<u32>> {
    let text = text.trim();
    let list = match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').context("the array of ids is not closed by `]`")?,
        None => text,
    };
    let ids = list.split(|c: char| c == ',' || c.is_whitespace()).filter(|id| !id.is_empty());
    ids.map(|id| match id.parse::<u32>() {
        Ok(number) if (number as usize) < n_vocab => Ok(number),
        _ if id.bytes().all(|digit| digit.is_ascii_digit()) => {
            bail!("token id {id} is out of range: the vocabulary has {n_vocab} tokens, from 0 on")
        }
        _ => bail!("`{}` is not a token id; expected a number from 0 on", id.escape_debug()),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::parse_ids;

    #[test]
    fn ids_are_read_from_json_and_from_lists() {
        for text in ["[1,2, 31]", "1,2,31", "1 2\n31\n", " [1\n,2,31] \n"] {
            assert_eq!(parse_ids(text, 32).unwrap(), [1, 2, 31], "{text:?}");
        }
        assert!(parse_ids("", 32).unwrap().is_empty());
        assert!(parse_ids("[]", 32).unwrap().is_empty());
    }

    #[test]
    fn ids_that_are_none_are_named() {
        for (text, expected) in [
            ("1,32", "token id 32 is out of range: the vocabulary has 32 tokens"),
            ("99999999999999999999", "token id 99999999999999999999 is out of range"),
            ("1,-2", "`-2` is not a token id"),
            ("[1,x]", "`x` is not a token id"),
            ("[1", "not closed"),
        ] {
            let error = parse_ids(text, 32).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
