//! `gatefold health`.

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{Args, value_parser};
use gatefold::text::printable;
use serde_json::Value as Json;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  gatefold health
  gatefold health --port 9000 && echo ready

The exit code is 0 where `gatefold serve` is ready to answer, and 1 where it is not: it is not there,
its model is still being loaded, or its engine has stopped. No key is needed. In a container file:
  HEALTHCHECK CMD [\"/gatefold\", \"health\"]";

/// What the answer of a server may have: far more than that to this question has.
const MOST_BYTES: u64 = 64 << 10;

/// Arguments of `gatefold health`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct HealthArgs {
    /// Ask the server at this address; for all addresses, such as 0.0.0.0, it is this machine's own
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    host: String,

    /// Ask the server at this port
    #[arg(long, value_name = "PORT", default_value_t = 8080, value_parser = value_parser!(u16).range(1..))]
    port: u16,

    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = value_parser!(u32).range(1..))]
    timeout: u32,
}

/// Asks a server whether it is ready.
pub fn run(args: HealthArgs) -> Result<()> {
    let host = args.host.trim_matches(['[', ']']);
    let place = format!("{} port {}", printable(host), args.port);
    let addresses = (host, args.port).to_socket_addrs().with_context(|| place.clone())?;
    let deadline = Instant::now() + Duration::from_secs(args.timeout.into());
    let mut answer = Err(anyhow!("the name has no address"));
    for address in addresses {
        answer = ask(reachable(address), deadline).map_err(Into::into);
        if answer.is_ok() {
            break;
        }
    }
    let answer = answer.with_context(|| format!("the server at {place} does not answer"))?;
    let (code, body) = understood(&answer)
        .with_context(|| format!("what answers at {place} is no server of HTTP"))?;
    ensure!(code == 200, "the server at {place} is not ready: {code}{}", reason(body));
    Ok(writeln!(io::stdout(), "ready")?)
}

/// Where a server can be asked that listens at an address: one for all addresses also at its own machine's.
fn reachable(address: SocketAddr) -> SocketAddr {
    let own = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(own, address.port())
}

/// The answer of the server at an address, head and body.
fn ask(address: SocketAddr, deadline: Instant) -> io::Result<Vec<u8>> {
    let left = || match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::Error::from(ErrorKind::TimedOut)),
        left => Ok(left),
    };
    let mut stream = TcpStream::connect_timeout(&address, left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    // The address as name: servers know themselves by it, whatever else they are called.
    let head = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let (mut answer, mut stream) = (Vec::new(), stream.take(MOST_BYTES));
    loop {
        stream.get_ref().set_read_timeout(Some(left()?))?;
        let mut piece = [0; 4096];
        match stream.read(&mut piece) {
            Ok(0) => return Ok(answer),
            Ok(n_bytes) => answer.extend(&piece[..n_bytes]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // What systems say where the time is over differs.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
    }
}

/// The status of an answer, and its body.
fn understood(answer: &[u8]) -> Result<(u16, &[u8])> {
    let text = |bytes| String::from_utf8_lossy(bytes);
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        bail!("its answer has no head");
    };
    let head = text(&answer[..end]);
    let line = head.lines().next().unwrap_or_default();
    let code = line.strip_prefix("HTTP/1.").and_then(|line| line.split(' ').nth(1));
    let code = code.and_then(|code| code.parse().ok());
    let code = code.with_context(|| format!("it says {}", printable(line)))?;
    Ok((code, &answer[end + 4..]))
}

/// What a body says of an error, behind a comma; nothing where it is another server's.
fn reason(body: &[u8]) -> String {
    let body: Json = serde_json::from_slice(body).unwrap_or_default();
    let message = body["error"]["message"].as_str();
    message.map_or_else(String::new, |message| format!(", {}", printable(message)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// What is said of a server that answers so.
    fn said_of(answer: &'static [u8], waits: bool) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 1024];
            let n_bytes = stream.read(&mut head).unwrap();
            assert!(head[..n_bytes].starts_with(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:"));
            stream.write_all(answer).unwrap();
            if waits {
                // Until the other side is gone.
                let _ = stream.read(&mut head);
            }
        });
        let result = run(HealthArgs { host: "0.0.0.0".into(), port, timeout: 1 });
        server.join().unwrap();
        result.map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_server_is_ready_or_it_is_said_why_not() {
        assert_eq!(said_of(b"HTTP/1.1 200 OK\r\n\r\n{\"status\":\"ok\"}", false), Ok(()));
        let loading = b"HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\n{\"error\":{\"message\":\"the model is being\\u001b loaded\"}}";
        let said = said_of(loading, false).unwrap_err();
        assert!(said.contains("is not ready: 503, the model is being"), "{said}");
        assert!(!said.contains('\x1b'), "{said:?}");
        let said = said_of(b"HTTP/1.0 404 Not Found\r\n\r\n<html>", false).unwrap_err();
        assert!(said.ends_with("is not ready: 404"), "{said}");
        for other in [&b""[..], b"220 mail.example ready\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"\xff"] {
            assert!(said_of(other, false).unwrap_err().contains("no server of HTTP"), "{other:?}");
        }
        let said = said_of(b"HTTP/1.1 200 OK\r\n", true).unwrap_err();
        assert!(said.contains("does not answer: timed out"), "{said}");
    }

    #[test]
    fn where_nobody_listens_that_is_said() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let asked = run(HealthArgs { host: "[::1]".into(), port, timeout: 1 });
        assert!(format!("{:#}", asked.unwrap_err()).contains("does not answer"));
    }

    #[test]
    fn all_addresses_are_this_machines_own() {
        let own = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(own("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(own("[::]:80"), "[::1]:80");
        assert_eq!(own("10.1.2.3:80"), "10.1.2.3:80");
    }
}
