//! Mails, which are no documents yet: what they say is in parts, encoded in ways of their own.

/// How the names of files with mails end.
pub(super) const EXTENSIONS: [&str; 4] = ["eml", "emlx", "mbox", "msg"];

/// Headers that programs write, and people do not who begin a letter with `From:` and `To:`.
const TECHNICAL: [&str; 8] = [
    "content-transfer-encoding",
    "content-type",
    "delivered-to",
    "dkim-signature",
    "message-id",
    "mime-version",
    "received",
    "return-path",
];

/// Whether a text begins with the headers of a mail (RFC 5322), a technical one among them.
pub(super) fn begins(text: &str) -> bool {
    let mut lines = text.lines().peekable();
    // A box of mails has this before each. The first of Apple's lines is a count of bytes.
    let is_before = |line: &str| {
        line.starts_with("From ") || line.trim().bytes().all(|byte| byte.is_ascii_digit())
    };
    lines.next_if(|line| !line.is_empty() && is_before(line));
    let (mut has_technical, mut n_headers) = (false, 0);
    for line in lines {
        if line.starts_with([' ', '\t']) && n_headers > 0 {
            continue;
        }
        let Some((name, _)) = line.split_once(':').filter(|(name, _)| is_name(name)) else {
            return line.trim().is_empty() && has_technical && n_headers > 1;
        };
        n_headers += 1;
        has_technical |= TECHNICAL.iter().any(|technical| technical.eq_ignore_ascii_case(name));
    }
    has_technical && n_headers > 1
}

/// Whether a word can be the name of a header.
fn is_name(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mails_begin_with_headers() {
        for mail in [
            "Return-Path: <a@b.c>\nReceived: from b\n\tby c\nSubject: x\n\nHello",
            "From a@b.c Mon Jan  1\nFrom: a@b.c\nContent-Type: text/plain\n\nHello",
            "MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary=x\r\n\r\n--x",
            "1203\nDelivered-To: a@b.c\nSubject: x",
        ] {
            assert!(begins(mail), "{mail}");
        }
    }

    #[test]
    fn letters_and_lists_are_none() {
        for text in [
            "",
            "From: Ann\nTo: Bob\nSubject: The boat\n\nDear Bob",
            "Received: three letters.\n\nThey lay on the mat.",
            "Subject: x\nMIME-Version: 1.0 is a header\nand this is none",
            "Dear Ann: hello\nMessage-ID: none\n\n",
        ] {
            assert!(!begins(text), "{text}");
        }
    }
}
