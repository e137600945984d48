//! Experts that nobody needs.

use serde::Serialize;

/// An expert that gets few tokens of its layer, or none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Unused {
    /// Its layer.
    pub layer: usize,
    /// Its index there.
    pub expert: usize,
    /// Its part of the layer's load, of which an even part is one by the number of experts.
    pub share: f64,
}

/// Of an even share: what gets less is starved.
const STARVED: f64 = 0.25;

/// Tokens that an even share must be, before a small one says anything.
const MIN_EVEN: f64 = 50.0;

/// The experts that get less than a quarter of an even share, by how many tokens each has evaluated,
/// `[n_layers][n_experts]`; dead ones have a share of 0. None, where there are too few tokens to tell
/// (fewer than 50 for each expert), or no experts to choose from.
pub fn unused(expert_tokens: &[Vec<u64>]) -> Vec<Unused> {
    let layers = expert_tokens.iter().enumerate();
    let unused = layers.flat_map(|(layer, tokens)| {
        let sum = tokens.iter().sum::<u64>() as f64;
        let even = sum / tokens.len() as f64;
        let starved = tokens
            .iter()
            .enumerate()
            .filter(move |&(_, &n_tokens)| even >= MIN_EVEN && (n_tokens as f64) < STARVED * even);
        starved.map(move |(expert, &n_tokens)| Unused {
            layer,
            expert,
            share: n_tokens as f64 / sum,
        })
    });
    unused.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experts_with_less_than_a_quarter_of_an_even_share_are_starved() {
        let of = |tokens: &[u64]| unused(&[vec![100; 4], tokens.to_vec()]);
        assert!(of(&[25, 100, 100, 175]).is_empty());
        let found = of(&[24, 0, 100, 276]);
        let share = 24.0 / 400.0;
        assert_eq!(
            found,
            [Unused { layer: 1, expert: 0, share }, Unused { layer: 1, expert: 1, share: 0.0 }]
        );
        assert!(of(&[0, 0, 0, 199]).is_empty(), "too few to tell");
        assert!(of(&[1000]).is_empty() && of(&[]).is_empty());
    }
}
