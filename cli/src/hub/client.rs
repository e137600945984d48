//! Requests: where redirects lead, and who gets the token.

use super::settings::Settings;
use super::url::{Origin, joined};
use super::wire::Wire;
use anyhow::{Error, anyhow};
use gatefold::text::{printable, shortened};
use std::io::Read;
use std::time::Duration;

/// Asks the hub, and whom it sends us to.
pub struct Client {
    wire: Wire,
    hub: Option<Origin>,
    token: Option<String>,
}

/// What a server answers.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, with their names in small letters.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Box<dyn Read>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble {
    /// Nobody is there to answer.
    #[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "sockets alone tell"))]
    Unreachable(String),
    /// It may be otherwise soon; at least after so long, where the server says so.
    Passing(String, Option<Duration>),
    /// It will not be otherwise.
    Final(Error),
}

/// Redirects that are followed at most.
const MOST_REDIRECTS: usize = 8;

/// A server that wants to be asked again after longer than that is not waited for.
const MOST_WAIT: Duration = Duration::from_secs(600);

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_str())
    }

    /// How long the server wants to be left alone.
    fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
    }
}

impl Client {
    /// One with the token of these settings, which goes to their endpoint alone.
    pub fn new(settings: &Settings) -> Result<Client, Error> {
        Ok(Client {
            wire: Wire::new()?,
            hub: Origin::of(&settings.endpoint),
            token: settings.token()?,
        })
    }

    /// Whether a token is sent where this address leads.
    pub fn has_token_for(&self, url: &str) -> bool {
        self.token.is_some() && self.hub.is_some() && self.hub == Origin::of(url)
    }

    /// Asks for what is at an address, and follows redirects. The headers are those of the last answer,
    /// and what the ones before it say of the file that they send us to.
    ///
    /// # Errors
    /// If there is no answer, or one that says no.
    pub fn get(&self, url: &str, headers: &[(&str, String)]) -> Result<Answer, Trouble> {
        let mut url = url.to_owned();
        let mut on_the_way = Vec::new();
        for _ in 0..=MOST_REDIRECTS {
            let mut sent = headers.to_vec();
            if let Some(token) = self.token.as_ref().filter(|_| self.has_token_for(&url)) {
                sent.push(("authorization", format!("Bearer {token}")));
            }
            let mut answer = self.wire.exchange(&url, &sent)?;
            if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
                let answer = self.judged(&url, answer)?;
                return Ok(Answer { headers: [answer.headers, on_the_way].concat(), ..answer });
            }
            url = self.redirected(&url, answer.header("location"))?;
            answer.headers.retain(|(name, _)| name.starts_with("x-linked-"));
            on_the_way.append(&mut answer.headers);
        }
        Err(Trouble::Final(anyhow!("{} sends us on without an end", self.host(&url))))
    }

    /// Where a redirect leads.
    fn redirected(&self, url: &str, location: Option<&str>) -> Result<String, Trouble> {
        let host = self.host(url);
        let location = location
            .ok_or_else(|| Trouble::Final(anyhow!("{host} sends us on, and does not say where")))?;
        let next = joined(url, location);
        let shown = printable(shortened(&next));
        match (Origin::of(url), Origin::of(&next)) {
            (Some(from), Some(to)) if from.is_encrypted && !to.is_encrypted => {
                Err(Trouble::Final(anyhow!(
                    "{host} sends us on to {shown}, which everybody on the way could change; nothing is fetched from there"
                )))
            }
            (_, Some(_)) => Ok(next),
            (_, None) => Err(Trouble::Final(anyhow!(
                "{host} sends us on to {shown}, which is no address to fetch from"
            ))),
        }
    }

    /// The answer, if it is none that says no.
    fn judged(&self, url: &str, answer: Answer) -> Result<Answer, Trouble> {
        let (host, status) = (self.host(url), answer.status);
        match status {
            // What has not been found out of a range is for whoever asked for it.
            200 | 206 | 416 => Ok(answer),
            408 | 425 | 429 | 500..=599 => {
                let wait = answer.retry_after();
                let what = match status {
                    429 => format!("{host} says that it is asked too often (429)"),
                    _ => format!("{host} says that it cannot answer now ({status})"),
                };
                match wait.filter(|wait| *wait > MOST_WAIT) {
                    Some(wait) => Err(Trouble::Final(anyhow!(
                        "{what}, and to ask again in {} minutes; do so then",
                        wait.as_secs().div_ceil(60)
                    ))),
                    None => Err(Trouble::Passing(what, wait)),
                }
            }
            // Addresses that the hub signs run out.
            403 if Origin::of(url) != self.hub => {
                Err(Trouble::Passing(format!("{host} does not let us in (403)"), None))
            }
            401 | 403 if self.has_token_for(url) => Err(Trouble::Final(anyhow!(
                "{host} does not let us in with the token of HF_TOKEN or its file ({status}): look whether the name is right, whether the token is, and whether its account has accepted the model's terms on its page"
            ))),
            401 | 403 => Err(Trouble::Final(anyhow!(
                "{host} does not let us in ({status}): look whether the name is right; where the model is private or has terms to accept on its page, set HF_TOKEN to a token of your account"
            ))),
            404 | 410 => Err(Trouble::Final(anyhow!(
                "{host} has nothing of this name ({status}); look whether it is right"
            ))),
            _ => Err(Trouble::Final(anyhow!(
                "{host} answers with status {status}, which is not expected; try again later"
            ))),
        }
    }

    /// The host of an address, to be named in a message.
    fn host(&self, url: &str) -> String {
        Origin::of(url).map_or_else(String::new, |origin| origin.to_string())
    }
}
