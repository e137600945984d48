//! Files with the keys and values of a prefix.
//!
//! The first byte of an input says whether the header of a file for this model, and the right
//! checksum, are written around what follows.

use crate::{accepted, scratch};
use gatefold::DynFormat;
use gatefold::engine::{NUMERICS_REVISION, PrefixFile};
use gatefold::gguf::{Bytes, Gguf};
use gatefold::model::{Config, KvCache};
use gatefold_fixtures::tiny_model::Model;
use sha2::{Digest, Sha256};
use std::fs;
use std::sync::OnceLock;

const CONTEXT_LEN: usize = 256;
const FINGERPRINT: [u8; 32] = [7; 32];
/// Of one token: its id, and two rows of 16 numbers in F16.
const TOKEN_BYTES: usize = 4 + 2 * 16 * 2;

const WITH_HEADER: u8 = 1;
const WITH_CHECKSUM: u8 = 2;

/// Loads the file. What was loaded is saved as the same bytes.
pub fn run(bytes: &[u8]) {
    let Some((flags, rest)) = bytes.split_first() else { return };
    let mut file = match flags & WITH_HEADER {
        0 => Vec::new(),
        _ => header((rest.len() / TOKEN_BYTES) as u64),
    };
    file.extend(rest);
    if flags & WITH_CHECKSUM != 0 {
        let checksum = Sha256::digest(&file);
        file.extend(checksum);
    }
    let path = scratch::file("fuzz.prefix", &file);
    let prefix_file = PrefixFile { path, fingerprint: FINGERPRINT };
    if let Some((tokens, cache)) = accepted(prefix_file.load(empty_cache())) {
        assert_eq!(tokens.len(), cache.len());
        prefix_file.save(&tokens, &cache).expect("there is room for files");
        assert!(fs::read(&prefix_file.path).expect("it was saved") == file);
    }
}

fn header(n_tokens: u64) -> Vec<u8> {
    let f16 = DynFormat::by_name("F16").expect("there is F16");
    let numbers = [2, NUMERICS_REVISION, f16.gguf_type, 1, 1, 16].map(u32::to_le_bytes).concat();
    [b"GATEPRFX", &numbers[..], &n_tokens.to_le_bytes(), &FINGERPRINT].concat()
}

fn empty_cache() -> KvCache {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let file = Bytes::from(Model::with_merged_experts().file());
        Config::from_gguf(&Gguf::from_bytes("tiny.gguf", file).expect("it is a file"))
            .expect("it is a model")
    });
    let f16 = DynFormat::by_name("F16").expect("there is F16");
    KvCache::new(config, f16, CONTEXT_LEN).expect("F16 has blocks of one")
}

/// Files of no, one and 65 tokens, as they are and within what is written around.
pub fn seeds() -> Vec<Vec<u8>> {
    let whole = WITH_HEADER | WITH_CHECKSUM;
    let mut seeds: Vec<Vec<u8>> =
        [0, 1, 65].map(|n_tokens| [&[whole][..], &vec![9; n_tokens * TOKEN_BYTES]].concat()).into();
    seeds.push([&[WITH_CHECKSUM][..], &header(1), &[9; TOKEN_BYTES]].concat());
    seeds.push([&[0][..], &header(1), &[9; TOKEN_BYTES + 32]].concat());
    seeds
}
