//! Square windows of patches: which patches each holds, how it is cut out of an image's tokens, and how the
//! scores of windows become scores of patches.

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

use super::WindowMean;

/// Scores under this count as this in harmonic means: a zero makes the mean of its patches zero, and no
/// infinity reaches others.
const SMALLEST_SCORE: f64 = 1e-30;

/// All windows of one side at stride 1, row by row.
#[derive(Debug, Clone)]
pub struct PatchWindows<B: Backend> {
    side: usize,
    count: usize,
    /// `[windows * side * side]`, numbers of tokens: the class token is 0.
    tokens: Tensor<B, 1, Int>,
    /// `[windows, patches]`, 1 where the window holds the patch.
    cover: Tensor<B, 2>,
    /// `[1, patches]`, how many windows hold the patch.
    holders: Tensor<B, 2>,
}

impl<B: Backend> PatchWindows<B> {
    /// The windows of `side` patches a side on a grid; `side` is 1 to `grid`.
    pub fn new(side: usize, grid: usize, device: &B::Device) -> Self {
        let windows = Self::patch_numbers(side, grid);
        let (count, patches) = (windows.len(), grid * grid);
        let mut cover = vec![0.0f32; count * patches];
        for (window, row) in windows.iter().zip(cover.chunks_exact_mut(patches)) {
            window.iter().for_each(|&patch| row[patch] = 1.0);
        }
        let tokens: Vec<i64> = windows.concat().into_iter().map(|patch| patch as i64 + 1).collect();
        let tokens = TensorData::new(tokens, [count * side * side]);
        let cover = Tensor::from_data(TensorData::new(cover, [count, patches]), device);
        let holders = cover.clone().sum_dim(0);
        Self { side, count, tokens: Tensor::from_data(tokens, device), cover, holders }
    }

    /// The patches of each window, numbered from 0, row by row; windows row by row too.
    pub fn patch_numbers(side: usize, grid: usize) -> Vec<Vec<usize>> {
        let corners = (grid + 1).saturating_sub(side);
        let square =
            |edge: usize| (0..edge).flat_map(move |row| (0..edge).map(move |at| row * grid + at));
        square(corners).map(|corner| square(side).map(|inside| corner + inside).collect()).collect()
    }

    /// Every window as a sequence of its own: the class token and the window's patches.
    ///
    /// # Shapes
    ///
    /// - tokens: `[batch, 1 + patches, width]`, with their positions
    /// - output: `[batch * windows, 1 + side * side, width]`
    pub fn cut(&self, tokens: Tensor<B, 3>) -> Tensor<B, 3> {
        let [batch, _, width] = tokens.dims();
        let (count, held) = (self.count, self.side * self.side);
        let class = tokens.clone().narrow(1, 0, 1).unsqueeze_dim::<4>(1);
        let class = class.expand([batch, count, 1, width]);
        let patches = tokens.select(1, self.tokens.clone()).reshape([batch, count, held, width]);
        Tensor::cat(vec![class, patches], 2).reshape([batch * count, 1 + held, width])
    }

    /// The mean score of all windows that hold a patch.
    ///
    /// # Shapes
    ///
    /// - scores: `[batch, windows]`
    /// - output: `[batch, patches]`
    pub fn spread(&self, scores: Tensor<B, 2>, mean: WindowMean) -> Tensor<B, 2> {
        let (cover, holders) = (self.cover.clone(), self.holders.clone());
        match mean {
            WindowMean::Harmonic => holders / reciprocal(scores).matmul(cover),
            WindowMean::Arithmetic => scores.matmul(cover) / holders,
        }
    }
}

/// The harmonic mean of some maps, value by value.
///
/// # Shapes
///
/// - maps: each `[batch, patches]`, at least one
/// - output: `[batch, patches]`
pub(super) fn harmonic_mean<B: Backend>(maps: &[Tensor<B, 2>]) -> Tensor<B, 2> {
    let reciprocals = maps.iter().map(|map| reciprocal(map.clone())).collect();
    Tensor::stack::<3>(reciprocals, 0).mean_dim(0).squeeze_dim::<2>(0).recip()
}

/// `1 / value`, finite for every value from zero on.
pub(super) fn reciprocal<B: Backend>(values: Tensor<B, 2>) -> Tensor<B, 2> {
    values.clamp_min(SMALLEST_SCORE).recip()
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::Tolerance;

    use super::*;

    #[test]
    fn windows_run_row_by_row() {
        let windows = PatchWindows::<Flex>::patch_numbers(2, 3);
        assert_eq!(windows, [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]]);
        assert_eq!(PatchWindows::<Flex>::patch_numbers(3, 3).len(), 1);
    }

    #[test]
    fn a_window_is_cut_with_the_class_token_in_front() {
        let device = Default::default();
        let tokens = Tensor::<Flex, 1, Int>::arange(0..10, &device).float().reshape([1, 10, 1]);
        let cut = PatchWindows::new(2, 3, &device).cut(tokens);
        assert_eq!(cut.dims(), [4, 5, 1]);
        let last: Vec<f32> = cut.into_data().iter::<f32>().skip(15).collect();
        assert_eq!(last, [0.0, 5.0, 6.0, 8.0, 9.0]);
    }

    #[test]
    fn overlapping_windows_are_averaged_and_a_zero_stays_among_its_own() {
        let device = Default::default();
        let windows = PatchWindows::<Flex>::new(2, 3, &device);
        let scores = || Tensor::<Flex, 2>::from_floats([[0.5, 0.25, 1.0, 0.0]], &device);
        let third = 1.0f32 / 3.0;
        let harmonic = [[0.5, third, 0.25, 2.0 * third, 0.0, 0.0, 1.0, 0.0, 0.0]];
        let mean = [[0.5, 0.375, 0.25, 0.75, 0.4375, 0.125, 1.0, 0.5, 0.0]];
        for (how, expected) in [(WindowMean::Harmonic, harmonic), (WindowMean::Arithmetic, mean)] {
            let spread = windows.spread(scores(), how).into_data();
            spread.assert_approx_eq::<f32>(&expected.into(), Tolerance::absolute(1e-6));
        }
    }
}
