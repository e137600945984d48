//! Numbers whose multiples are told by automata, which have a state for each remainder.

use serde_json::Value;

/// The largest of them, without its point: remainders of a larger one are more than are worth counting.
const MOST: u128 = 10_000;

/// Digits behind the point.
const MOST_DIGITS: u32 = 6;

/// A number as digits and a point: `digits` times a power of ten.
#[derive(Clone, Copy)]
pub(super) struct Multiple {
    digits: u128,
    n_behind_point: u32,
}

impl Multiple {
    /// The value of `multipleOf`, or what is wrong with it.
    pub fn of(value: &Value) -> Result<Multiple, String> {
        let found = value.as_f64().filter(|&number| number > 0.0);
        let mut number = found.ok_or("is no number above 0")?;
        // As llguidance does it, so that both see the same digits.
        let mut n_behind_point = 0;
        while number.fract() != 0.0 {
            number *= 10.0;
            n_behind_point += 1;
            if n_behind_point > MOST_DIGITS {
                return Err(format!("has more than {MOST_DIGITS} digits behind the point"));
            }
        }
        Multiple { digits: number as u128, n_behind_point }.checked()
    }

    /// The smallest number that is a multiple of both, or what is wrong with it.
    pub fn with(self, other: Multiple) -> Result<Multiple, String> {
        let n_behind_point = self.n_behind_point.max(other.n_behind_point);
        let scaled = |one: Multiple| one.digits * 10u128.pow(n_behind_point - one.n_behind_point);
        let (a, b) = (scaled(self), scaled(other));
        let (mut gcd, mut rest) = (a, b);
        while rest != 0 {
            (gcd, rest) = (rest, gcd % rest);
        }
        let both = Multiple { digits: a / gcd * b, n_behind_point }.checked();
        both.map_err(|problem| format!("{problem}, together with others that it may meet"))
    }

    fn checked(self) -> Result<Multiple, String> {
        match self.digits {
            ..=MOST => Ok(self),
            digits => Err(format!(
                "comes to {digits} without its point, which is not enforced; expected {MOST} at most"
            )),
        }
    }
}
