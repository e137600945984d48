//! The targets hold over their seeds, and over damaged copies of these: what can be had in seconds and
//! on any machine.

use gatefold_fuzz::targets::ALL;

/// Damaged copies of each seed.
const N_COPIES: u64 = 40;

#[test]
fn no_seed_is_a_finding() {
    for target in &ALL {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for seed in seeds {
            assert!(seed.len() < 1 << 13, "{} has a seed of {} bytes", target.name, seed.len());
            (target.run)(&seed);
            (0..N_COPIES).for_each(|copy| (target.run)(&damaged(&seed, copy)));
        }
        (target.run)(b"");
    }
}

/// A copy that is cut short or has a few other bytes.
fn damaged(seed: &[u8], copy: u64) -> Vec<u8> {
    let mut random = copy;
    let mut below = |end: usize| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) as usize % end
    };
    let mut bytes = seed.to_vec();
    if copy % 4 == 0 {
        bytes.truncate(below(seed.len()));
        return bytes;
    }
    for _ in 0..1 + below(3) {
        let at = below(bytes.len());
        bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'0', b'"', bytes[at] ^ 0x20][below(8)];
    }
    bytes
}
