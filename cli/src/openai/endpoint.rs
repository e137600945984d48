//! Where requests go.

/// An endpoint of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Texts,
}

impl Endpoint {
    /// The endpoint with this path.
    pub fn by_path(path: &str) -> Option<Endpoint> {
        [Endpoint::Chat, Endpoint::Texts].into_iter().find(|endpoint| endpoint.path() == path)
    }

    /// Its path.
    pub fn path(self) -> &'static str {
        match self {
            Endpoint::Chat => "/v1/chat/completions",
            Endpoint::Texts => "/v1/completions",
        }
    }
}
