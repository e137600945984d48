//! Recipes: which format a tensor gets, by its role. They are data, in `recipes.txt`, which says
//! what its columns mean; here it is read.

use crate::architecture::Role;
use gatefold_quant::DynFormat;
use std::sync::LazyLock;

/// A named choice of formats.
#[derive(Debug)]
pub struct Recipe {
    /// Its name: `Q4_K_M`.
    pub name: &'static str,
    /// Its number in `general.file_type`.
    pub file_type: u32,
    weights: Cell,
    embedding: Cell,
    output: Cell,
    down: Cell,
    dense: Attention,
    moe: Attention,
}

/// The formats of attention.
#[derive(Debug)]
struct Attention {
    query: Cell,
    key: Cell,
    value: Cell,
    output: Cell,
}

/// What a recipe says about a role.
#[derive(Clone, Copy, Debug)]
struct Cell {
    /// The format in some of the layers.
    special: Option<(Layers, &'static DynFormat)>,
    /// The format in all others.
    format: &'static DynFormat,
}

/// Some of the layers of a model.
#[derive(Clone, Copy, Debug)]
enum Layers {
    Eighth,
    Sixteenth,
    Spread,
    Ends,
}

/// Where a tensor stands, as far as recipes care.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its role, where that is known.
    pub role: Option<Role>,
    /// Whether it is a vector, such as a norm or a bias.
    pub is_vector: bool,
    /// The layer it is in; 0 outside of the layers.
    pub layer_idx: usize,
    /// Layers of the model.
    pub n_layers: usize,
    /// Whether the model is a mixture of experts.
    pub is_moe: bool,
}

/// Reading the table stops the program where the table is wrong: it is part of the program, and a
/// test reads it.
static TABLE: LazyLock<(Vec<Recipe>, Vec<[&'static DynFormat; 2]>)> = LazyLock::new(|| {
    let (mut recipes, mut fallbacks) = (Vec::new(), Vec::new());
    let lines = include_str!("recipes.txt").lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let words: Vec<&'static str> = line.split_whitespace().collect();
        match words[..] {
            [] | ["type", "id", ..] => {}
            ["instead", "of", from, to] => fallbacks.push([format(from), format(to)]),
            [name, file_type, ref cells @ ..] => {
                recipes.push(Recipe::of(name, file_type, cells));
            }
            _ => panic!("recipes.txt: {line}"),
        }
    }
    (recipes, fallbacks)
});

/// All recipes, as the table lists them.
pub fn all() -> &'static [Recipe] {
    &TABLE.0
}

/// The recipe of this name, in any case.
pub fn by_name(name: &str) -> Option<&'static Recipe> {
    all().iter().find(|recipe| recipe.name.eq_ignore_ascii_case(name))
}

/// `format`, or what the table puts in its place, so that rows of `cols` weights are whole blocks.
pub fn fitting(format: &'static DynFormat, cols: usize) -> &'static DynFormat {
    let mut fitting = format;
    while !cols.is_multiple_of(fitting.block_len) {
        let fallback = TABLE.1.iter().find(|[instead_of, _]| *instead_of == fitting);
        fitting = fallback.expect("a fallback for every format with blocks")[1];
    }
    fitting
}

impl Recipe {
    fn of(name: &'static str, file_type: &str, cells: &[&'static str]) -> Recipe {
        let [weights, embedding, output, down, query, value, attn_out, moe @ ..] = cells else {
            panic!("recipes.txt: {name} has {} cells", cells.len());
        };
        let [moe_query, moe_key, moe_value, moe_attn_out] = moe else {
            panic!("recipes.txt: {name} has {} cells", cells.len());
        };
        let attention = |query: &'static str, key, value, output| Attention {
            query: Cell::of(query),
            key: Cell::of(key),
            value: Cell::of(value),
            output: Cell::of(output),
        };
        Recipe {
            name,
            file_type: file_type.parse().expect("recipes.txt: the number of a file type"),
            weights: Cell::of(weights),
            embedding: Cell::of(embedding),
            output: Cell::of(output),
            down: Cell::of(down),
            dense: attention(query, query, value, attn_out),
            moe: attention(moe_query, moe_key, moe_value, moe_attn_out),
        }
    }

    /// The format for a tensor in this place; `None` where the tensor is to stay as it is.
    pub fn format(&self, place: Place) -> Option<&'static DynFormat> {
        let f32 = Some(format("F32"));
        if place.is_vector {
            return f32;
        }
        let attention = if place.is_moe { &self.moe } else { &self.dense };
        let cell = match place.role? {
            Role::Gate | Role::Up => &self.weights,
            Role::Embedding => &self.embedding,
            Role::Output => &self.output,
            Role::Down => &self.down,
            Role::Query => &attention.query,
            Role::Key => &attention.key,
            Role::Value => &attention.value,
            Role::AttentionOutput => &attention.output,
            // The router, norms and biases: few weights that matter.
            _ => return f32,
        };
        Some(cell.format(place))
    }
}

impl Cell {
    fn of(text: &'static str) -> Cell {
        let Some((special, rest)) = text.split_once('/') else {
            return Cell { special: None, format: format(text) };
        };
        let (special, layers) = special.split_once('@').expect("recipes.txt: FORMAT@LAYERS");
        let layers = match layers {
            "eighth" => Layers::Eighth,
            "sixteenth" => Layers::Sixteenth,
            "spread" => Layers::Spread,
            "ends" => Layers::Ends,
            _ => panic!("recipes.txt: layers {layers}"),
        };
        Cell { special: Some((layers, format(special))), format: format(rest) }
    }

    fn format(&self, place: Place) -> &'static DynFormat {
        match self.special {
            Some((layers, format)) if layers.contain(place.layer_idx, place.n_layers) => format,
            _ => self.format,
        }
    }
}

impl Layers {
    fn contain(self, layer_idx: usize, n_layers: usize) -> bool {
        let eighth = n_layers / 8;
        let last_eighth = n_layers - n_layers.div_ceil(8);
        match self {
            Layers::Eighth => layer_idx < eighth,
            Layers::Sixteenth => layer_idx < n_layers / 16,
            Layers::Spread => {
                layer_idx < eighth || layer_idx >= last_eighth || (layer_idx - eighth) % 3 == 2
            }
            Layers::Ends => layer_idx < eighth || layer_idx >= last_eighth,
        }
    }
}

fn format(name: &str) -> &'static DynFormat {
    DynFormat::by_name(name).unwrap_or_else(|| panic!("recipes.txt: format {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatefold_quant::FORMATS;

    fn place(role: Role, layer_idx: usize) -> Place {
        Place { role: Some(role), is_vector: false, layer_idx, n_layers: 32, is_moe: true }
    }

    #[test]
    fn every_type_of_the_table_is_read() {
        let names: Vec<_> = all().iter().map(|recipe| recipe.name).collect();
        assert_eq!(names.len(), 29);
        assert_eq!(by_name("q4_k_m").map(|recipe| recipe.file_type), Some(15));
        assert!(by_name("Q9_K").is_none());
    }

    #[test]
    fn attention_is_protected_in_a_mixture_of_experts() {
        let recipe = by_name("Q4_K_M").unwrap();
        let name = |role| recipe.format(place(role, 9)).unwrap().name;
        assert_eq!(name(Role::Key), "Q8_0");
        assert_eq!(name(Role::Value), "Q8_0");
        assert_eq!(name(Role::AttentionOutput), "Q5_K");
        assert_eq!(name(Role::Router), "F32");
        assert_eq!(name(Role::Output), "Q6_K");
        let dense = Place { is_moe: false, ..place(Role::Key, 9) };
        assert_eq!(recipe.format(dense).unwrap().name, "Q4_K");
    }

    #[test]
    fn some_layers_get_more_bits() {
        let recipe = by_name("Q4_K_M").unwrap();
        let better = (0..32).filter(|&layer_idx| {
            recipe.format(place(Role::Down, layer_idx)).unwrap().name == "Q6_K"
        });
        let expected = [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31];
        assert_eq!(better.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_layer_of_any_number_has_a_format() {
        let recipe = by_name("Q4_K_M").unwrap();
        for layer_idx in [0, 7, usize::MAX - 1, usize::MAX] {
            let place = Place { n_layers: usize::MAX, ..place(Role::Down, layer_idx) };
            assert!(recipe.format(place).is_some());
        }
    }

    #[test]
    fn there_is_a_format_for_rows_of_any_length() {
        for format in FORMATS {
            assert_eq!(fitting(format, 256), format);
            for cols in [1, 33, 96, 1000] {
                assert!(cols % fitting(format, cols).block_len == 0);
            }
        }
        assert_eq!(fitting(DynFormat::by_name("Q2_K").unwrap(), 96).name, "IQ4_NL");
        assert_eq!(fitting(DynFormat::by_name("Q2_K").unwrap(), 100).name, "F16");
    }
}
