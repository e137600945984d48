//! `gatefold serve`.

use crate::args::engine::{EngineArgs, tell_template};
use crate::args::size::size;
use crate::jobs::Key;
use crate::openai::Forms;
use crate::server::{Access, Config, Server, Service};
use crate::store::Store;
use crate::terminal::interrupt::Interrupts;
use crate::terminal::{print_note, progress};
use anyhow::{Context, Result, ensure};
use clap::{Args, value_parser};
use gatefold::engine::Engine;
use gatefold::text::printable;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const EXAMPLES: &str = "\
Examples:
  gatefold serve -m mixtral.gguf
  curl http://127.0.0.1:8080/v1/chat/completions -d '{\"messages\": [{\"role\": \"user\",
    \"content\": \"Name three rivers.\"}], \"max_tokens\": 100, \"stream\": true}'
  gatefold serve -m mixtral.gguf --host 0.0.0.0 --api-key-file keys.txt
  gatefold serve -m mixtral.gguf --data-dir ~/gatefold

A browser finds a page at http://127.0.0.1:8080/ to chat, and to summarize files.
Clients of OpenAI's API use http://127.0.0.1:8080/v1 as base URL, and any key where none is asked for.
There are /v1/chat/completions, /v1/completions (with log probabilities of prompts, for lm-eval),
/v1/responses, /v1/models, /health, /metrics, /openapi.json, /tokenize, /detokenize and
/tokenizer_info; and with --data-dir also /v1/files and /v1/batches. Batches have their turn while
nobody else waits, outlive the server, however it ends, and have the answers of `gatefold batch`.

The answer to a request is the same whatever else is asked at the time; with the same seed it is the
same again. A client that goes away frees its place within one step of the model.

SIGTERM or Ctrl-C ends the server: it refuses new requests, gives the others --grace seconds, and ends
with code 0; a second one ends it at once.";

/// How often it is looked whether the server is to stop.
const GLANCE: Duration = Duration::from_millis(100);

/// Arguments of `gatefold serve`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ServeArgs {
    /// Listen at this address; beyond this machine, --api-key-file or --no-api-key must be given too
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    host: String,

    /// Listen at this port; 0 is one that is free
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    port: u16,

    /// Answer only those who show one of the keys in this file, which has one on each line
    #[arg(long, value_name = "FILE", conflicts_with = "no_api_key")]
    api_key_file: Option<PathBuf>,

    /// Let other machines ask without a key
    #[arg(long)]
    no_api_key: bool,

    /// Let the server be reached by this name too, beside addresses, localhost and --host; may be
    /// repeated
    #[arg(long, value_name = "NAME")]
    allowed_host: Vec<String>,

    /// Let pages of this origin ask, given as scheme://host, or of any, as *; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    cors_origin: Vec<String>,

    /// Answers that may wait, beyond the --parallel that are worked on; who comes then is told to come
    /// again
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = value_parser!(u32).range(..=100_000))]
    max_queue: u32,

    /// Give up a request after this many seconds [default: never]
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u32).range(1..))]
    deadline: Option<u32>,

    /// Seconds in which requests may come to their end, when the server is to stop
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    grace: u32,

    /// Most tokens of an answer in a chat where the request does not say [default: up to the end of
    /// the context]
    #[arg(short, long = "n-predict", value_name = "N", value_parser = value_parser!(u32).range(1..))]
    n_predict: Option<u32>,

    /// Call the model so, answer requests alone that name it or none, and refuse the others [default:
    /// all are answered, under the name that they ask for]
    #[arg(long, value_name = "NAME")]
    model_name: Option<String>,

    /// Keep files and batches in this folder, which is made if there is none: what is sent to
    /// /v1/files, and asked of /v1/batches, outlives the server [default: neither is taken]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Most bytes of a file that is sent to /v1/files: 500M, 2G
    #[arg(long, value_name = "SIZE", default_value = "200M", value_parser = size, requires = "data_dir")]
    max_upload: u64,

    /// Most bytes of all files in --data-dir: beyond it no file and no batch is taken until some are
    /// deleted; results of batches count, but are kept in any case
    #[arg(long, value_name = "SIZE", default_value = "10G", value_parser = size, requires = "data_dir")]
    max_store: u64,

    #[command(flatten)]
    engine: EngineArgs,
}

/// Serves until it is told to stop.
pub fn run(args: ServeArgs) -> Result<()> {
    let interrupts = Interrupts::watch()?;
    let store = match &args.data_dir {
        Some(folder) => Some(Arc::new(Store::open(folder, args.max_upload, args.max_store)?)),
        None => None,
    };
    let listener = args.listen()?;
    let address = listener.local_addr().context("the address of the socket")?;
    let server = Server::start(
        listener,
        Config {
            access: args.access()?,
            max_running: args.engine.max_running(),
            max_queue: args.max_queue as usize,
            deadline: args.deadline.map(|seconds| Duration::from_secs(seconds.into())),
        },
    )
    .context("cannot start the server")?;
    print_note(format_args!("listening at http://{address}; the model is being loaded"));

    let loaded = args.engine.load()?;
    let options = args.engine.options(&loaded);
    let template = args.engine.chat_template(&loaded)?;
    tell_template(&template);
    let basis = Key::of_model(&loaded.language, &template, &options);
    let name = args.model_name.clone().map_or_else(|| loaded.language.name(), Ok)?;
    let (context_len, memory_bytes) = (options.context_len, options.memory_bytes);
    let config = loaded.language.model.config();
    let top_k = config.top_k.clamp(1, config.n_experts.max(1));
    let mut engine = Engine::new(&loaded.language, Arc::clone(&loaded.compute), options)?;
    let cache = args.engine.prompt_cache.open(&mut engine, &loaded)?;
    let handle = engine.spawn().context("cannot start the engine")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    server.begin(Service {
        handle: handle.clone(),
        tokenizer: Arc::clone(&loaded.language.tokenizer),
        template,
        forms: Forms::new(Arc::clone(&loaded.language.tokenizer)),
        name: name.clone(),
        is_name_required: args.model_name.is_some(),
        basis,
        top_k,
        context_len,
        memory_bytes,
        max_tokens: args.n_predict.map(|n_tokens| n_tokens as usize),
        created: now.as_secs(),
        store,
    })?;
    progress::hide();
    print_note(format_args!("a page for browsers is at http://{address}/"));
    print_note(format_args!("ready: {} at http://{address}/v1", printable(name)));

    let interrupted = interrupts.heed();
    while !interrupted.load(Ordering::Relaxed) {
        thread::sleep(GLANCE);
        ensure!(handle.status().is_some(), "the engine has stopped");
    }
    print_note(format_args!("stopping; what is being answered has {} s", args.grace));
    let prefix = server.stop(Duration::from_secs(args.grace.into()));
    cache.keep(&handle, prefix);
    Ok(())
}

impl ServeArgs {
    /// The socket, which is open to other machines only if that was thought of.
    fn listen(&self) -> Result<TcpListener> {
        let place = || format!("--host {} --port {}", printable(&self.host), self.port);
        let host = self.host.trim_matches(['[', ']']);
        let addresses = (host, self.port).to_socket_addrs().with_context(place)?;
        let addresses: Vec<SocketAddr> = addresses.collect();
        let is_local = addresses.iter().all(|address| address.ip().is_loopback());
        ensure!(
            is_local || self.no_api_key || self.api_key_file.is_some(),
            "--host is {}, where other machines can ask; --api-key-file has the keys that they must show, --no-api-key lets all of them ask",
            printable(&self.host)
        );
        TcpListener::bind(&addresses[..]).with_context(|| format!("cannot listen at {}", place()))
    }

    fn access(&self) -> Result<Access> {
        let mut hosts = self.allowed_host.clone();
        // Addresses are known in any case.
        hosts.extend(Some(self.host.clone()).filter(|host| host.parse::<IpAddr>().is_err()));
        let access = Access::new(hosts, self.cors_origin.clone())?;
        Ok(match &self.api_key_file {
            Some(path) => access.with_keys(path)?,
            None => access,
        })
    }
}
