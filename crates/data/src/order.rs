//! Where chance comes from: every random number of the pipeline is a function of seed, epoch and
//! sample index alone.
//!
//! So the order and the augmentation depend neither on the number of threads nor on where an epoch
//! was taken up again.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// What a stream of random numbers is for; keeps the streams apart.
#[derive(Clone, Copy)]
enum Purpose {
    Order,
    Augmentation,
    HeldOut,
    Mosaic,
}

/// The indices 0 to `len` in the order in which this epoch visits them.
pub fn epoch_order(seed: u64, epoch: u64, len: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.shuffle(&mut rng(Purpose::Order, seed, epoch, 0));
    order
}

/// The random numbers that augment sample `index` in this epoch.
pub fn augmentation_rng(seed: u64, epoch: u64, index: usize) -> ChaCha8Rng {
    rng(Purpose::Augmentation, seed, epoch, index as u64)
}

/// The random numbers that decide the mosaic in place of sample `index` in this epoch.
pub(crate) fn mosaic_rng(seed: u64, epoch: u64, index: usize) -> ChaCha8Rng {
    rng(Purpose::Mosaic, seed, epoch, index as u64)
}

/// The random numbers that hold samples out of stratum `index`.
pub(crate) fn held_out_rng(seed: u64, index: usize) -> ChaCha8Rng {
    rng(Purpose::HeldOut, seed, 0, index as u64)
}

/// The four numbers fill the 32 bytes of the generator's key, so no two streams share one.
fn rng(purpose: Purpose, seed: u64, epoch: u64, index: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    let words = [seed, epoch, index, purpose as u64];
    for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn an_order_visits_everything_once() {
        let mut order = epoch_order(7, 3, 100);
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn order_and_numbers_follow_from_seed_epoch_and_index() {
        assert_eq!(epoch_order(7, 3, 100), epoch_order(7, 3, 100));
        assert_ne!(epoch_order(7, 3, 100), epoch_order(7, 4, 100));
        assert_ne!(epoch_order(7, 3, 100), epoch_order(8, 3, 100));
        let first = |seed, epoch, index| augmentation_rng(seed, epoch, index).next_u64();
        assert_eq!(first(1, 2, 3), first(1, 2, 3));
        assert_ne!(first(1, 2, 3), first(1, 2, 4));
        assert_ne!(first(1, 2, 3), first(1, 3, 2));
    }

    /// A checkpoint resumes with this order: a library update that changes it must be noticed.
    #[test]
    fn the_order_is_the_same_in_every_build() {
        assert_eq!(epoch_order(1, 0, 8), [5, 2, 7, 6, 1, 4, 3, 0]);
    }
}
