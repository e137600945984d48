//! Names of our own for models that people look for.

use gatefold::text::count;
use std::fmt::Write;

/// A model with a name of ours.
#[derive(Debug)]
pub struct Known {
    /// The name.
    pub name: &'static str,
    /// Its repository on the hub.
    pub repo: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Sizes of its files by type, in GB, about.
    pub sizes: &'static [(&'static str, f64)],
}

const SIZES_8X7B: &[(&str, f64)] = &[
    ("Q2_K", 15.6),
    ("Q3_K_M", 20.4),
    ("Q4_K_M", 26.4),
    ("Q5_K_M", 32.2),
    ("Q6_K", 38.4),
    ("Q8_0", 49.6),
];

/// All of them.
pub const KNOWN: [Known; 7] = [
    Known {
        name: "mixtral",
        repo: "TheBloke/Mixtral-8x7B-Instruct-v0.1-GGUF",
        about: "Mixtral 8x7B Instruct: answers and summarizes",
        sizes: SIZES_8X7B,
    },
    Known {
        name: "mixtral-instruct",
        repo: "TheBloke/Mixtral-8x7B-Instruct-v0.1-GGUF",
        about: "the same",
        sizes: SIZES_8X7B,
    },
    Known {
        name: "mixtral-base",
        repo: "TheBloke/Mixtral-8x7B-v0.1-GGUF",
        about: "Mixtral 8x7B: continues texts",
        sizes: SIZES_8X7B,
    },
    Known {
        name: "mixtral-8x22b",
        repo: "MaziyarPanahi/Mixtral-8x22B-Instruct-v0.1-GGUF",
        about: "Mixtral 8x22B Instruct",
        sizes: &[
            ("Q2_K", 52.1),
            ("Q3_K_M", 67.8),
            ("Q4_K_M", 85.6),
            ("Q5_K_M", 100.0),
            ("Q6_K", 115.5),
            ("Q8_0", 149.4),
        ],
    },
    Known {
        name: "nous-hermes-mixtral",
        repo: "NousResearch/Nous-Hermes-2-Mixtral-8x7B-DPO-GGUF",
        about: "Nous Hermes 2 Mixtral 8x7B DPO",
        sizes: SIZES_8X7B,
    },
    Known {
        name: "dolphin-mixtral",
        repo: "TheBloke/dolphin-2.7-mixtral-8x7b-GGUF",
        about: "Dolphin 2.7 Mixtral 8x7B",
        sizes: SIZES_8X7B,
    },
    Known {
        name: "mistral",
        repo: "TheBloke/Mistral-7B-Instruct-v0.2-GGUF",
        about: "Mistral 7B Instruct: dense, for small machines",
        sizes: &[
            ("Q2_K", 3.1),
            ("Q3_K_M", 3.5),
            ("Q4_K_M", 4.4),
            ("Q5_K_M", 5.1),
            ("Q6_K", 5.9),
            ("Q8_0", 7.7),
        ],
    },
];

impl Known {
    /// The one with this name, in whatever case.
    pub fn named(name: &str) -> Option<&'static Known> {
        KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(name))
    }
}

/// All of them as a table: names, what they are, where they are from, sizes in GB.
pub fn table() -> String {
    let mut table = format!(
        "{} by name, with about how many GB each type takes:\n",
        count(KNOWN.len(), "model")
    );
    for Known { name, repo, about, sizes } in &KNOWN {
        let sizes: Vec<String> =
            sizes.iter().map(|(quant, size)| format!("{quant} {size}")).collect();
        let _ = writeln!(table, "\n  {name:<20} {about}");
        let _ = writeln!(table, "  {:<20} {repo}", "");
        let _ = writeln!(table, "  {:<20} {}", "", sizes.join(", "));
    }
    table
}
