//! Writes the seeds of every target where `cargo fuzz` looks for them: `cargo run --example seeds`.

use gatefold_fuzz::targets::ALL;
use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    for target in &ALL {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
        fs::create_dir_all(&folder)?;
        for (idx, seed) in (target.seeds)().iter().enumerate() {
            fs::write(folder.join(format!("seed-{idx}")), seed)?;
        }
    }
    Ok(())
}
