//! The program `gatefold`: the library behind a command line.
//!
//! This crate is a library for its own tests alone, and promises nothing to others; what programs
//! embed is the crate [`gatefold`]. The modules, in the order in which data flows:
//!
//! 1. [`flags`]: settings of the library become flags in messages;
//! 2. [`jobs`]: results that outlive the process, shards of work, and the loop that keeps an engine
//!    busy;
//! 3. [`documents`]: files, folders and lines become texts;
//! 4. [`summarize`]: texts become summaries;
//! 5. [`routing`]: texts become counts of where tokens go, and pictures of them;
//! 6. [`openai`]: what OpenAI's API asks for, and what it answers;
//! 7. [`batch`]: requests in OpenAI's batch format become answers;
//! 8. [`store`]: files and batches that outlive the server;
//! 9. [`mod@bench`]: how fast a model runs, against what the machine can do at most;
//! 10. [`terminal`]: notes, progress and interrupts;
//! 11. [`hub`]: names become files, from a folder that other programs share, or from the hub;
//! 12. [`demo`]: the model in the program;
//! 13. [`args`]: the arguments that commands share, and what they resolve to;
//! 14. [`imatrix`]: texts become importance matrices;
//! 15. [`server`]: OpenAI's API over HTTP, on one engine;
//! 16. [`commands`]: one file per subcommand.

pub mod args;
pub mod batch;
pub mod bench;
pub mod commands;
pub mod demo;
pub mod documents;
pub mod flags;
pub mod hub;
pub mod imatrix;
pub mod jobs;
pub mod openai;
pub mod routing;
pub mod server;
pub mod store;
pub mod summarize;
pub mod terminal;
