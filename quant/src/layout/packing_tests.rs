//! Layouts: packing and unpacking are inverses, and a layout covers its bytes once.

use super::{Codes, Layout};
use crate::format::{Flat, Super};
use crate::formats::*;
use proptest::prelude::*;

/// A format's layout, its weights and bytes per block.
struct Case {
    name: &'static str,
    layout: Layout,
    block_len: usize,
    block_bytes: usize,
}

fn flat<F: Flat>() -> Case {
    let (name, block_bytes) = (F::NAME, size_of::<F::Block>());
    Case { name, layout: F::LAYOUT, block_len: F::BLOCK_LEN, block_bytes }
}

fn super_block<F: Super>() -> Case {
    let (name, block_bytes) = (F::NAME, size_of::<F::Block>());
    Case { name, layout: F::LAYOUT, block_len: F::BLOCK_LEN, block_bytes }
}

fn cases() -> [Case; 12] {
    [
        flat::<Q4_0>(),
        flat::<Q4_1>(),
        flat::<Q5_0>(),
        flat::<Q5_1>(),
        flat::<Q8_0>(),
        flat::<Iq4Nl>(),
        super_block::<Q2K>(),
        super_block::<Q3K>(),
        super_block::<Q4K>(),
        super_block::<Q5K>(),
        super_block::<Q6K>(),
        super_block::<Iq4Xs>(),
    ]
}

impl Case {
    fn bits(&self) -> usize {
        self.layout.planes.iter().map(|plane| plane.bits).sum()
    }

    /// What [`Layout::unpack`] makes of a code.
    fn unsigned(&self, code: u8) -> u8 {
        match self.layout.codes {
            Codes::Offset(_) => code,
            Codes::Signed => code.wrapping_add(128),
            Codes::Table(table) => (i16::from(table[usize::from(code)]) + 128) as u8,
        }
    }

    fn pack(&self, codes: &[u8]) -> Vec<u8> {
        let mut block = vec![0; self.block_bytes];
        self.layout.pack(codes, &mut block);
        block
    }
}

#[test]
fn every_bit_of_the_planes_belongs_to_one_code() {
    for case in cases() {
        let most = (0xffu16 >> (8 - case.bits())) as u8;
        let full = case.pack(&vec![most; case.block_len]);
        let n_ones: usize = full.iter().map(|byte| byte.count_ones() as usize).sum();
        assert_eq!(n_ones, case.block_len * case.bits(), "{}", case.name);
        assert!(full.iter().all(|byte| [0, 0xff].contains(byte)), "{}", case.name);
    }
}

#[test]
fn tables_are_in_increasing_order() {
    for case in cases() {
        if let Codes::Table(table) = case.layout.codes {
            assert!(table.is_sorted_by(|a, b| a < b), "{}", case.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn unpacking_inverts_packing(bytes in prop::collection::vec(any::<u8>(), 256)) {
        for case in cases() {
            let codes: Vec<u8> =
                bytes[..case.block_len].iter().map(|byte| byte >> (8 - case.bits())).collect();
            let mut unsigned = vec![0; case.block_len];
            case.layout.unpack(&case.pack(&codes), &mut unsigned);
            let expected: Vec<u8> = codes.iter().map(|&code| case.unsigned(code)).collect();
            prop_assert_eq!(unsigned, expected, "{}", case.name);
        }
    }
}
