//! Where requests go.

use super::fault::{Fault, quoted};
use super::fields::Fields;

/// An endpoint of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Texts,
    /// `/v1/responses`.
    Responses,
}

impl Endpoint {
    /// The endpoint with this path, which the field `name` has.
    ///
    /// # Errors
    /// If there is none.
    pub fn by_path(path: &str, fields: &Fields, name: &str) -> Result<Endpoint, Fault> {
        let all = [Endpoint::Chat, Endpoint::Texts, Endpoint::Responses];
        all.into_iter().find(|endpoint| endpoint.path() == path).ok_or_else(|| {
            let [chat, texts, responses] = all.map(Endpoint::path);
            let expected = format!("\"{chat}\", \"{texts}\" or \"{responses}\"");
            fields.wrong(name, quoted(&path.into()), expected)
        })
    }

    /// Its path.
    pub fn path(self) -> &'static str {
        match self {
            Endpoint::Chat => "/v1/chat/completions",
            Endpoint::Texts => "/v1/completions",
            Endpoint::Responses => "/v1/responses",
        }
    }

    /// The fields that say what an object of the type `kind` is. In chats they have an object of that
    /// name to themselves, beside which `ignored` fields may be; in responses they are beside the type.
    pub(super) fn described(
        self,
        mut object: Fields,
        kind: &str,
        ignored: &[&str],
    ) -> Result<Fields, Fault> {
        if self == Endpoint::Responses {
            return Ok(object);
        }
        let inner = object.object(kind)?;
        let inner = object.required(kind, inner)?;
        object.finish(ignored)?;
        Ok(inner)
    }
}
