//! What came of the rounds of a test.

use super::ceilings::Rates;
use super::workload::{Effort, Test};
use serde::Serialize;

/// One round of a test, and the machine's ceilings around it.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// What the test took.
    pub effort: Effort,
    /// The mean of the ceilings right before and right after it.
    pub ceilings: Rates,
}

/// The figures of a test: medians over its rounds, but where they say otherwise.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// The test's name: `pp512`, `tg32`, `tg32@8`, `tg32@d4096`.
    pub test: String,
    /// Tokens per second, of all sequences together.
    pub tokens_per_second: f64,
    /// The slowest round.
    pub tokens_per_second_min: f64,
    /// The fastest round.
    pub tokens_per_second_max: f64,
    /// Bytes read from the disk itself for each token, where the model is larger than memory.
    pub disk_bytes_per_token: f64,
    /// Which of the ceilings is nearest.
    pub ceiling: Ceiling,
    /// The share of it that the test reaches.
    pub ceiling_share: f64,
    /// Bytes per second.
    pub read_bandwidth: Reached,
    /// Multiply-adds with weights per second.
    pub int8_rate: Reached,
    /// Bytes per second from the disk, where the model is larger than memory.
    pub disk: Option<Reached>,
}

/// A limit of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ceiling {
    /// How fast memory is read.
    ReadBandwidth,
    /// How fast int8 numbers are multiplied and added.
    Int8Rate,
    /// How fast the disk is read.
    Disk,
}

/// How near a test comes to a ceiling.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Reached {
    /// The test's rate.
    pub rate: f64,
    /// The machine's.
    pub ceiling: f64,
    /// The share of the one in the other, round by round.
    pub share: f64,
}

impl Measurement {
    /// The figures of at least one round.
    pub fn new(test: Test, rounds: &[Round]) -> Measurement {
        let per_second = |amount: f64, round: &Round| amount / round.effort.duration.as_secs_f64();
        let speeds: Vec<f64> =
            rounds.iter().map(|round| per_second(test.n_tokens() as f64, round)).collect();
        let reached = |amount: fn(&Effort) -> u64, ceiling: fn(&Rates) -> Option<f64>| {
            let rate = |round: &Round| per_second(amount(&round.effort) as f64, round);
            let rates: Vec<f64> = rounds.iter().map(rate).collect();
            let ceilings = rounds.iter().map(|round| ceiling(&round.ceilings));
            let ceilings: Vec<f64> = ceilings.collect::<Option<_>>()?;
            let shares = rates.iter().zip(&ceilings).map(|(rate, ceiling)| rate / ceiling);
            Some(Reached {
                share: median(shares.collect()),
                rate: median(rates),
                ceiling: median(ceilings),
            })
        };
        let always = "both are always measured";
        let read_bandwidth = reached(|it| it.n_bytes, |rates| Some(rates.bytes)).expect(always);
        let int8_rate =
            reached(|it| it.n_multiply_adds, |rates| Some(rates.multiply_adds)).expect(always);
        let disk = reached(|it| it.disk_bytes, |rates| rates.disk_bytes);
        let mut nearest = (Ceiling::ReadBandwidth, read_bandwidth.share);
        let others = [(Ceiling::Int8Rate, Some(int8_rate)), (Ceiling::Disk, disk)];
        for (ceiling, reached) in others {
            nearest = match reached {
                Some(reached) if reached.share > nearest.1 => (ceiling, reached.share),
                _ => nearest,
            };
        }
        let (ceiling, ceiling_share) = nearest;
        let disk_bytes = rounds.iter().map(|round| round.effort.disk_bytes as f64);
        Measurement {
            disk_bytes_per_token: median(disk_bytes.collect()) / test.n_tokens() as f64,
            test: test.to_string(),
            tokens_per_second_min: speeds.iter().copied().fold(f64::INFINITY, f64::min),
            tokens_per_second_max: speeds.iter().copied().fold(0.0, f64::max),
            tokens_per_second: median(speeds),
            ceiling,
            ceiling_share,
            read_bandwidth,
            int8_rate,
            disk,
        }
    }

    /// How near it comes to the ceiling that is nearest.
    pub fn reached(&self) -> Reached {
        match self.ceiling {
            Ceiling::ReadBandwidth => self.read_bandwidth,
            Ceiling::Int8Rate => self.int8_rate,
            Ceiling::Disk => self.disk.unwrap_or(self.read_bandwidth),
        }
    }
}

/// The middle one; of an even number, the mean of the two in the middle.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    (figures[(figures.len() - 1) / 2] + figures[figures.len() / 2]) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn round(seconds: u64, n_bytes: u64, n_multiply_adds: u64, bytes: f64) -> Round {
        Round {
            effort: Effort {
                duration: Duration::from_secs(seconds),
                n_bytes,
                disk_bytes: 2 * n_bytes,
                n_multiply_adds,
            },
            ceilings: Rates { bytes, multiply_adds: 1000.0, disk_bytes: None },
        }
    }

    #[test]
    fn figures_are_medians_and_the_nearer_ceiling_counts() {
        let test = Test::Prompt { n_tokens: 60 };
        let rounds = [round(1, 80, 300, 100.0), round(2, 80, 300, 50.0), round(3, 80, 300, 40.0)];
        let figures = Measurement::new(test, &rounds);
        assert_eq!(figures.tokens_per_second, 30.0);
        assert_eq!(figures.disk_bytes_per_token, 160.0 / 60.0);
        assert_eq!((figures.tokens_per_second_min, figures.tokens_per_second_max), (20.0, 60.0));
        assert_eq!(figures.ceiling, Ceiling::ReadBandwidth);
        assert_eq!((figures.reached().rate, figures.reached().ceiling), (40.0, 50.0));
        assert_eq!((figures.ceiling_share, figures.int8_rate.share), (0.8, 0.15));

        let figures = Measurement::new(test, &[round(1, 80, 900, 100.0), round(1, 80, 950, 100.0)]);
        assert_eq!((figures.ceiling, figures.ceiling_share), (Ceiling::Int8Rate, 0.925));

        let mut from_disk = round(1, 80, 300, 100.0);
        from_disk.ceilings.disk_bytes = Some(200.0);
        let figures = Measurement::new(test, &[from_disk]);
        assert_eq!((figures.ceiling, figures.ceiling_share), (Ceiling::ReadBandwidth, 0.8));
        from_disk.ceilings.disk_bytes = Some(160.0);
        let figures = Measurement::new(test, &[from_disk]);
        assert_eq!((figures.ceiling, figures.reached().ceiling), (Ceiling::Disk, 160.0));
    }
}
