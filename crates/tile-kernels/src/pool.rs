//! Memory that one call after the other works in, for fresh memory is slow.

use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

use crate::tiles::{Buffer, Plain};

/// What nobody works in at the moment.
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

impl<T: Default> Pool<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// One that is idle, or a new one.
    pub(crate) fn lend(&'static self) -> Lent<T> {
        let idle = self.0.lock().ok().and_then(|mut idle| idle.pop());
        Lent { lent: idle.unwrap_or_default(), pool: self }
    }
}

/// Goes back to its pool when it is dropped.
pub(crate) struct Lent<T: Default + 'static> {
    lent: T,
    pool: &'static Pool<T>,
}

impl<T: Default> Deref for Lent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.lent
    }
}

impl<T: Default> DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.lent
    }
}

impl<T: Default> Drop for Lent<T> {
    fn drop(&mut self) {
        if let Ok(mut idle) = self.pool.0.lock() {
            idle.push(std::mem::take(&mut self.lent));
        }
    }
}

/// A buffer that grows to the most that was asked of it.
pub(crate) struct Grown<T: Plain>(Buffer<T>);

impl<T: Plain> Default for Grown<T> {
    fn default() -> Self {
        Self(Buffer::zeros(0))
    }
}

impl<T: Plain> Grown<T> {
    /// The first `count` values, whatever they were left as.
    pub(crate) fn first(&mut self, count: usize) -> &mut [T] {
        if self.0.len() < count {
            self.0 = Buffer::zeros(count);
        }
        &mut self.0[..count]
    }
}
