//! Means and their standard errors.

use serde::Serialize;

/// A figure, and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Its standard error, with the scored tokens taken as independent.
    pub standard_error: f64,
}

impl Estimate {
    /// The mean of some values.
    pub fn mean(values: impl Iterator<Item = f64>) -> Estimate {
        values.collect::<Sums>().mean()
    }

    /// `exp` of the figure, its error to first order.
    pub fn exp(self) -> Estimate {
        let value = libm::exp(self.value);
        Estimate { value, standard_error: value * self.standard_error }
    }

    /// The square root of the figure, its error to first order.
    pub fn sqrt(self) -> Estimate {
        let value = self.value.sqrt();
        let slope = if value > 0.0 { 0.5 / value } else { 0.0 };
        Estimate { value, standard_error: slope * self.standard_error }
    }
}

/// What a mean and its error are computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    /// How many values.
    pub n: usize,
    sum: f64,
    square_sum: f64,
}

impl Sums {
    /// The mean of the values.
    pub fn mean(&self) -> Estimate {
        let n = self.n as f64;
        let value = self.sum / n;
        let variance = (self.square_sum / n - value * value).max(0.0);
        Estimate { value, standard_error: (variance / (n - 1.0).max(1.0)).sqrt() }
    }
}

impl Extend<f64> for Sums {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, values: I) {
        for value in values {
            self.n += 1;
            self.sum += value;
            self.square_sum += value * value;
        }
    }
}

impl FromIterator<f64> for Sums {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Sums {
        let mut sums = Sums::default();
        sums.extend(values);
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::Estimate;

    #[test]
    fn the_error_of_a_mean_is_the_standard_deviation_over_the_root_of_n() {
        let mean = Estimate::mean([1.0, 2.0, 3.0, 6.0].into_iter());
        // Deviations -2, -1, 0, 3: a variance of 14 / 3, over 4 values.
        assert_eq!(mean, Estimate { value: 3.0, standard_error: (14.0f64 / 3.0 / 4.0).sqrt() });
        assert_eq!(Estimate::mean([0.5; 7].into_iter()).standard_error, 0.0);
        let root = Estimate { value: 4.0, standard_error: 0.4 }.sqrt();
        assert_eq!(root, Estimate { value: 2.0, standard_error: 0.1 });
        assert_eq!(Estimate { value: 0.0, standard_error: 0.0 }.sqrt().standard_error, 0.0);
    }
}
