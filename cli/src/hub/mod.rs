//! Models by name: what a name stands for, where it lies here, and how it comes here from the hub.
//!
//! ```text
//!  -m NAME, pull NAME            settings.rs   folders, token, endpoint, from the environment
//!       |
//!  name.rs, table.rs             a name -> a file, a URL, or a repository with a type
//!       |
//!  cache.rs    what is here: models--user--repo/{blobs,refs,snapshots}, shared with other programs
//!  api.rs      what the hub has: a commit, and a list of its files
//!       |
//!  sets.rs     files -> sets: the parts of one model, with its type
//!  choice.rs   sets -> the one that is meant, or the largest that fits
//!       |
//!  pull.rs     space, locks, links; elsewhere.rs is for servers that are not the hub
//!  fetch.rs    one file, resumed and verified; part.rs is as much of it as is here
//!  client.rs   requests, redirects, who gets the token; url.rs; wire.rs has the sockets and TLS
//!
//!  list.rs, remove.rs            what is here, and its end
//! ```
//!
//! The layout of the cache is that of `huggingface_hub`, with its locks, so that what one program has
//! fetched the others find, and a download that one has begun another goes on with. Who names a model
//! that is here asks nobody.

mod api;
mod cache;
mod choice;
mod client;
mod elsewhere;
mod fetch;
mod list;
mod meter;
mod name;
mod part;
mod patience;
mod pull;
mod remove;
mod sets;
mod settings;
mod table;
mod url;
#[cfg(feature = "hub")]
mod wire;
#[cfg(not(feature = "hub"))]
#[path = "no_wire.rs"]
mod wire;

pub use list::{Listed, list};
pub use name::Name;
pub use pull::{Pulled, model_file, pull};
pub use remove::{Removed, remove};
pub use settings::Settings;
pub use table::table;
