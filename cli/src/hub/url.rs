//! Addresses: whom a request goes to, and what a redirect leads to.

use std::fmt::{self, Display, Formatter, Write};
use std::net::IpAddr;

/// Whom a request goes to: what a token is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// Whether nobody between can read it.
    pub is_encrypted: bool,
    /// The host, in small letters.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Origin {
    /// Of an address that begins with `http://` or `https://`; none for others, and for those with a
    /// name or a password in them, which have been used to make one host look like another.
    pub fn of(url: &str) -> Option<Origin> {
        let (scheme, rest) = url.split_once("://")?;
        let is_encrypted = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next()?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if !authority.chars().all(is_plain) {
            return None;
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
            _ => (authority, if is_encrypted { 443 } else { 80 }),
        };
        let host = host.to_ascii_lowercase();
        (!host.is_empty()).then_some(Origin { is_encrypted, host, port })
    }
}

impl Origin {
    /// Whether it is this machine itself, which no proxy stands before.
    #[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "sockets alone ask"))]
    pub fn is_this_machine(&self) -> bool {
        let address = self.host.trim_matches(['[', ']']).parse();
        self.host == "localhost" || address.is_ok_and(|address: IpAddr| address.is_loopback())
    }
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)
    }
}

/// The address that `location` names where it was found at `url`.
pub fn joined(url: &str, location: &str) -> String {
    let scheme_len = url.find("://").map_or(0, |at| at + 3);
    let is_end = |c| matches!(c, '/' | '?' | '#');
    let root_len = url[scheme_len..].find(is_end).map_or(url.len(), |at| scheme_len + at);
    let path_len = url[root_len..].find(['?', '#']).map_or(url.len(), |at| root_len + at);
    let folder_len = url[root_len..path_len].rfind('/').map_or(path_len, |at| root_len + at);
    match location {
        _ if location.split(['/', '?', '#']).next().is_some_and(|start| start.ends_with(':')) => {
            location.into()
        }
        _ if location.starts_with("//") => {
            format!("{}{location}", &url[..scheme_len.saturating_sub(2)])
        }
        _ if location.starts_with('/') => format!("{}{location}", &url[..root_len]),
        _ => format!("{}/{location}", &url[..folder_len]),
    }
}

/// A path as it stands in an address: what is neither a letter nor a digit of ASCII, nor one of
/// `-._~/`, is escaped.
pub fn escaped(path: &str) -> String {
    let mut escaped = String::new();
    for byte in path.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' | b'/' => escaped.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => escaped.push(byte.into()),
            _ => {
                // Writing to a text cannot fail.
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

/// What an escaped path says; none if that is no text.
pub fn unescaped(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_tell_hosts_apart() {
        let of = |url| Origin::of(url);
        assert_eq!(of("https://Hub.example/a"), of("HTTPS://hub.example:443?x"));
        for other in ["http://hub.example", "https://hub.example.evil", "https://hub.example:444"] {
            assert_ne!(of("https://hub.example"), of(other), "{other}");
        }
        assert_eq!(of("http://[::1]:80/x"), of("http://[::1]"));
        for none in
            ["ftp://a", "file:///etc", "https://", "https://hub.example@evil", "a", "http://a:b"]
        {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn locations_are_joined() {
        let url = "https://a.b/c/d?e=/f";
        for (location, expected) in [
            ("http://x/y", "http://x/y"),
            ("//x/y", "https://x/y"),
            ("/x?y", "https://a.b/x?y"),
            ("x:1", "https://a.b/c/x:1"),
        ] {
            assert_eq!(joined(url, location), expected);
        }
        assert_eq!(joined("https://a.b", "x"), "https://a.b/x");
        assert_eq!(unescaped(&escaped("a b/ü%.gguf")).unwrap(), "a b/ü%.gguf");
        assert_eq!((unescaped("%"), unescaped("%ff")), (None, None));
    }
}
