//! Sockets and TLS: one request, one answer.

use super::client::{Answer, Trouble};
use super::url::Origin;
use anyhow::{Context, Error, Result, anyhow};
use gatefold::text::printable;
use std::env;
use std::fs;
use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// A client that follows no redirects.
pub struct Wire(Agent);

/// Finds hosts by their names; one that is not found cannot be reached, whatever the system says of it.
#[derive(Debug, Default)]
struct Names(DefaultResolver);

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        self.0.resolve(uri, config, timeout).map_err(|error| match error {
            ureq::Error::Io(_) => ureq::Error::HostNotFound,
            error => error,
        })
    }
}

/// A server that says nothing for so long has gone.
const PATIENCE: Duration = Duration::from_secs(60);

impl Wire {
    /// One that goes through the proxy that the environment names.
    pub fn new() -> Result<Wire> {
        let mut tls = TlsConfig::builder().root_certs(roots()?);
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        if has_tls() {
            tls = tls
                .unversioned_rustls_crypto_provider(Arc::new(rustls_graviola::default_provider()));
        }
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .user_agent(concat!("gatefold/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .timeout_per_write(Some(PATIENCE));
        Ok(Wire(Agent::with_parts(config.build(), DefaultConnector::default(), Names::default())))
    }

    /// Asks for what is at an address.
    ///
    /// # Errors
    /// If no answer comes.
    pub fn exchange(&self, url: &str, headers: &[(&str, String)]) -> Result<Answer, Trouble> {
        let origin = Origin::of(url);
        if origin.as_ref().is_some_and(|origin| origin.is_encrypted) && !has_tls() {
            return Err(Trouble::Final(anyhow!(
                "this CPU lacks instructions that encryption needs here (AVX2, BMI2, ADX, AES and PCLMULQDQ, or on ARM AES, PMULL and SHA2); fetch the model with `curl -L -O ADDRESS`, and name the file with -m"
            )));
        }
        let mut request = self.0.get(url);
        if origin.is_some_and(|origin| origin.is_this_machine()) {
            request = request.config().proxy(None).build();
        }
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        let answer = request.call().map_err(|error| trouble(url, error))?;
        let (parts, body) = answer.into_parts();
        let headers = parts.headers.iter().filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        let body: Box<dyn Read> = Box::new(body.into_with_config().limit(u64::MAX).reader());
        Ok(Answer { status: parts.status.as_u16(), headers: headers.collect(), body })
    }
}

/// Whom we trust: Mozilla's list, or as with other programs those in the file of `SSL_CERT_FILE`.
fn roots() -> Result<RootCerts> {
    let Some(path) = env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) else {
        return Ok(RootCerts::WebPki);
    };
    let text = fs::read(&path).with_context(|| format!("SSL_CERT_FILE: {}", path.display()))?;
    let items = parse_pem(&text).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    Ok(RootCerts::Specific(Arc::new(items.collect())))
}

/// Whether this CPU has what encryption is made of, without which graviola panics.
fn has_tls() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("adx")
        && is_x86_feature_detected!("avx")
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("ssse3");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull")
        && std::arch::is_aarch64_feature_detected!("sha2");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// What became of a request without an answer.
fn trouble(url: &str, error: ureq::Error) -> Trouble {
    let host = Origin::of(url).map_or_else(String::new, |origin| origin.to_string());
    let said = printable(&error);
    match error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::ConnectProxyFailed(_) => {
            Trouble::Unreachable(format!("{host} cannot be reached ({said})"))
        }
        ureq::Error::Io(error)
            if matches!(
                error.kind(),
                ErrorKind::ConnectionRefused
                    | ErrorKind::NetworkUnreachable
                    | ErrorKind::HostUnreachable
            ) =>
        {
            Trouble::Unreachable(format!("{host} cannot be reached ({said})"))
        }
        ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
            Trouble::Unreachable(format!("{host} cannot be reached ({said})"))
        }
        ureq::Error::Io(_) | ureq::Error::Timeout(_) | ureq::Error::Protocol(_) => {
            Trouble::Passing(format!("the connection to {host} was lost ({said})"), None)
        }
        error => Trouble::Final(Error::new(error).context(format!("asking {host}"))),
    }
}
