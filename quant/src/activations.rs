//! Activations, the operand that weights are multiplied with.
//!
//! Quantized weights meet activations quantized to int8, so that the sum inside a block is a sum
//! of integers: exact, whatever the order, hence the same on every instruction set.
//!
//! They lie in the order in which kernels read them: groups of up to [`GROUP_LEN`] tokens, in a
//! group block after block, in a block token after token. A kernel that takes some rows of weights
//! through a group reads it from start to end, and a block of several tokens is one stretch of
//! memory ([`Tokens`]). A single token's blocks simply follow each other.

use crate::format::ActivationKind;

/// Tokens of a group; the last of several groups may have fewer.
pub const GROUP_LEN: usize = 16;

/// Rows of activations, one per token, in the form that a format's dot product wants.
///
/// A block of values `x` becomes codes `q` and a scale `s` with `x = s * q`: `s = max|x| / 127`,
/// `q = round(x * (127 / max|x|))`, ties to even. A block with a value that is not finite gets the
/// scale NaN, which then shows in every result; one whose largest magnitude is below 1e-30 is zero.
pub struct Activations {
    kind: ActivationKind,
    n_tokens: usize,
    cols: usize,
    floats: Vec<f32>,
    codes: Vec<CacheLine>,
    scales: Vec<f32>,
    sums: Vec<i16>,
}

/// Codes begin where a cache line does: no load of 64 of them then takes two.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct CacheLine([i8; 64]);

impl Activations {
    /// Rows of zeros. `cols` must be whole blocks of `kind`.
    #[must_use]
    pub fn zeros(kind: ActivationKind, n_tokens: usize, cols: usize) -> Activations {
        let mut activations = Activations {
            kind,
            n_tokens: 0,
            cols,
            floats: Vec::new(),
            codes: Vec::new(),
            scales: Vec::new(),
            sums: Vec::new(),
        };
        activations.reset(kind, n_tokens, cols);
        activations
    }

    /// Quantizes `x`, `[n_tokens, cols]`; see [`GroupMut::fill_with`].
    pub(crate) fn new_with(
        kind: ActivationKind,
        cols: usize,
        x: &[f32],
        quantize_block: impl Fn(&[f32], &mut [i8]) -> f32,
    ) -> Activations {
        let mut activations = Activations::zeros(kind, x.len() / cols, cols);
        for (mut group, rows) in activations.groups_mut().zip(x.chunks(GROUP_LEN * cols)) {
            for (t, x) in rows.chunks_exact(cols).enumerate() {
                group.fill_with(t, x, &quantize_block);
            }
        }
        activations
    }

    /// Changes shape and kind, keeping the memory. The contents are unspecified until filled.
    ///
    /// # Panics
    /// If `cols` is not whole blocks of `kind`.
    pub fn reset(&mut self, kind: ActivationKind, n_tokens: usize, cols: usize) {
        assert!(cols > 0 && cols.is_multiple_of(kind.block_len()), "{cols} columns for {kind:?}");
        (self.kind, self.n_tokens, self.cols) = (kind, n_tokens, cols);
        if kind == ActivationKind::F32 {
            self.floats.resize(n_tokens * cols, 0.0);
        } else {
            let n_lines = (n_tokens * cols).div_ceil(size_of::<CacheLine>());
            self.codes.resize(n_lines, CacheLine([0; 64]));
            self.scales.resize(n_tokens * cols / kind.block_len(), 0.0);
            self.sums.resize(n_tokens * cols / kind.sum_len(), 0);
        }
    }

    /// The groups, in order, each to be filled by any thread.
    pub fn groups_mut(&mut self) -> impl Iterator<Item = GroupMut<'_>> {
        let (kind, n_tokens, cols) = (self.kind, self.n_tokens, self.cols);
        let is_float = kind == ActivationKind::F32;
        let (float_len, code_len) = if is_float { (cols, 0) } else { (0, cols) };
        let mut floats = &mut self.floats[..];
        let mut codes: &mut [i8] = bytemuck::cast_slice_mut(&mut self.codes);
        let (mut scales, mut sums) = (&mut self.scales[..], &mut self.sums[..]);
        (0..n_tokens).step_by(GROUP_LEN).map(move |first| {
            let n = GROUP_LEN.min(n_tokens - first);
            GroupMut {
                kind,
                first_token: first,
                n_tokens: n,
                cols,
                floats: floats.split_off_mut(..n * float_len).expect("rows"),
                codes: codes.split_off_mut(..n * code_len).expect("rows"),
                scales: scales.split_off_mut(..n * code_len / kind.block_len()).expect("rows"),
                sums: sums.split_off_mut(..n * code_len / kind.sum_len()).expect("rows"),
            }
        })
    }

    /// How the rows are stored.
    #[must_use]
    pub fn kind(&self) -> ActivationKind {
        self.kind
    }

    /// Number of rows.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Values per row.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// A token's values, `[cols]`, where the kind is [`ActivationKind::F32`].
    #[must_use]
    pub fn floats(&self, token: usize) -> &[f32] {
        &self.floats[token * self.cols..][..self.cols]
    }

    /// A token's codes of one block, in -127..=127.
    #[must_use]
    pub fn codes(&self, token: usize, block: usize) -> &[i8] {
        let len = self.kind.block_len();
        &bytemuck::cast_slice(&self.codes)[self.place(token, block) * len..][..len]
    }

    /// The scale of a token's block.
    #[must_use]
    pub fn scale(&self, token: usize, block: usize) -> f32 {
        self.scales[self.place(token, block)]
    }

    /// The sums of the codes of a token's block, over each [`ActivationKind::sum_len`] of them.
    #[must_use]
    pub fn sums(&self, token: usize, block: usize) -> &[i16] {
        let n = self.kind.n_sums();
        &self.sums[self.place(token, block) * n..][..n]
    }

    /// Tokens `first..first + N`, which are in one group.
    ///
    /// # Panics
    /// If the tokens are in different groups.
    #[inline(always)]
    pub(crate) fn tokens<const N: usize>(&self, first: usize) -> Tokens<'_, N> {
        self.group(first / GROUP_LEN).tokens(first % GROUP_LEN)
    }

    /// The groups, in order.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub(crate) fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        (0..self.n_tokens.div_ceil(GROUP_LEN)).map(|group_idx| self.group(group_idx))
    }

    /// A group, of an int8 kind.
    #[inline(always)]
    fn group(&self, group_idx: usize) -> Group<'_> {
        let first = group_idx * GROUP_LEN;
        let n_tokens = self.group_len(first);
        let (start, n_places) = (self.place(first, 0), n_tokens * self.blocks_per_row());
        let (len, n_sums) = (self.kind.block_len(), self.kind.n_sums());
        Group {
            n_tokens,
            codes: &bytemuck::cast_slice(&self.codes)[start * len..][..n_places * len],
            scales: &self.scales[start..][..n_places],
            sums: &self.sums[start * n_sums..][..n_places * n_sums],
        }
    }

    /// Tokens in the group of this one.
    #[inline(always)]
    fn group_len(&self, token: usize) -> usize {
        (self.n_tokens - token / GROUP_LEN * GROUP_LEN).min(GROUP_LEN)
    }

    /// Where a token's block lies, counted in blocks.
    #[inline(always)]
    fn place(&self, token: usize, block: usize) -> usize {
        let (t, first) = (token % GROUP_LEN, token / GROUP_LEN * GROUP_LEN);
        first * self.blocks_per_row() + block * self.group_len(token) + t
    }

    fn blocks_per_row(&self) -> usize {
        self.cols / self.kind.block_len()
    }
}

/// Up to [`GROUP_LEN`] neighbouring tokens, of an int8 kind.
#[derive(Clone, Copy)]
pub(crate) struct Group<'a> {
    n_tokens: usize,
    codes: &'a [i8],
    scales: &'a [f32],
    sums: &'a [i16],
}

// NEON's kernels take `Tokens` alone.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
impl<'a> Group<'a> {
    /// Number of tokens.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// The codes of all tokens, `[n_blocks, n_tokens, block_len]`.
    pub fn codes(&self) -> &'a [i8] {
        self.codes
    }

    /// The scales of all tokens, `[n_blocks, n_tokens]`.
    pub fn scales(&self) -> &'a [f32] {
        self.scales
    }

    /// The sums of codes of all tokens, `[n_blocks, n_tokens, n_sums]`.
    pub fn sums(&self) -> &'a [i16] {
        self.sums
    }

    /// Tokens `first..first + N` of the group.
    ///
    /// # Panics
    /// If the group has fewer.
    #[inline(always)]
    pub fn tokens<const N: usize>(self, first: usize) -> Tokens<'a, N> {
        assert!(first + N <= self.n_tokens);
        Tokens { first, group: self }
    }
}

/// The activations of `N` neighbouring tokens of a group: those of a block are next to each other.
#[derive(Clone, Copy)]
pub(crate) struct Tokens<'a, const N: usize> {
    first: usize,
    group: Group<'a>,
}

impl<'a, const N: usize> Tokens<'a, N> {
    /// The codes of a block, whose length is `LEN`.
    #[inline(always)]
    pub fn codes<const LEN: usize>(&self, block: usize) -> &'a [[i8; LEN]; N] {
        of_block(self.group.codes.as_chunks().0, self.place(block))
    }

    /// The scales of a block.
    #[inline(always)]
    pub fn scales(&self, block: usize) -> &'a [f32; N] {
        of_block(self.group.scales, self.place(block))
    }

    /// The sums of a block, of which there are `LEN` per token.
    #[inline(always)]
    pub fn sums<const LEN: usize>(&self, block: usize) -> &'a [[i16; LEN]; N] {
        of_block(self.group.sums.as_chunks().0, self.place(block))
    }

    #[inline(always)]
    fn place(&self, block: usize) -> usize {
        block * self.group.n_tokens + self.first
    }
}

#[inline(always)]
fn of_block<T, const N: usize>(places: &[T], first: usize) -> &[T; N] {
    places[first..][..N].try_into().expect("N tokens")
}

/// A group of rows, to be filled.
pub struct GroupMut<'a> {
    kind: ActivationKind,
    first_token: usize,
    n_tokens: usize,
    cols: usize,
    floats: &'a mut [f32],
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [i16],
}

impl GroupMut<'_> {
    /// The row that is the group's first.
    pub fn first_token(&self) -> usize {
        self.first_token
    }

    /// Rows of the group.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Stores `x`, `[cols]`, as row `t` of the group. `quantize_block` writes the codes of a block and
    /// returns its scale.
    ///
    /// # Panics
    /// If there is no such row or `x` has another length.
    pub(crate) fn fill_with(
        &mut self,
        t: usize,
        x: &[f32],
        quantize_block: impl Fn(&[f32], &mut [i8]) -> f32,
    ) {
        assert!(t < self.n_tokens && x.len() == self.cols);
        if self.kind == ActivationKind::F32 {
            self.floats[t * self.cols..][..self.cols].copy_from_slice(x);
            return;
        }
        let (len, n_sums) = (self.kind.block_len(), self.kind.n_sums());
        for (block, x) in x.chunks_exact(len).enumerate() {
            let place = block * self.n_tokens + t;
            let codes = &mut self.codes[place * len..][..len];
            self.scales[place] = quantize_block(x, codes);
            let sums = &mut self.sums[place * n_sums..][..n_sums];
            for (sum, codes) in sums.iter_mut().zip(codes.chunks_exact(self.kind.sum_len())) {
                *sum = codes.iter().map(|&code| i16::from(code)).sum();
            }
        }
    }

    /// Stores a row of `from`, which is of this kind and length, as row `t` of the group.
    ///
    /// # Panics
    /// If there is no such row, or `from` is of another kind or length.
    pub fn copy(&mut self, t: usize, from: &Activations, token: usize) {
        assert!(t < self.n_tokens && from.kind == self.kind && from.cols == self.cols);
        if self.kind == ActivationKind::F32 {
            self.floats[t * self.cols..][..self.cols].copy_from_slice(from.floats(token));
            return;
        }
        let (len, n_sums) = (self.kind.block_len(), self.kind.n_sums());
        for block in 0..self.cols / len {
            let place = block * self.n_tokens + t;
            self.codes[place * len..][..len].copy_from_slice(from.codes(token, block));
            self.scales[place] = from.scale(token, block);
            self.sums[place * n_sums..][..n_sums].copy_from_slice(from.sums(token, block));
        }
    }
}
