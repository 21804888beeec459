//! Bytes of a pickle, taken in order and never past their end.

use super::PickleError;

/// A position in a pickle.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// Bytes taken so far.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], PickleError> {
        let end = self.at.checked_add(length).ok_or(PickleError::Truncated { at: self.at })?;
        let taken =
            self.bytes.get(self.at..end).ok_or(PickleError::Truncated { at: self.bytes.len() })?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let at = self.at;
        self.take(N)?.first_chunk().copied().ok_or(PickleError::Truncated { at })
    }

    pub(super) fn byte(&mut self) -> Result<u8, PickleError> {
        self.array().map(|[byte]| byte)
    }

    /// A length or index of one byte.
    pub(super) fn size8(&mut self) -> Result<usize, PickleError> {
        self.byte().map(usize::from)
    }

    /// A length or index of four bytes.
    pub(super) fn size32(&mut self) -> Result<usize, PickleError> {
        let at = self.at;
        let size = u32::from_le_bytes(self.array()?);
        usize::try_from(size).map_err(|_| PickleError::Truncated { at })
    }

    /// A length of eight bytes.
    pub(super) fn size64(&mut self) -> Result<usize, PickleError> {
        let at = self.at;
        let size = u64::from_le_bytes(self.array()?);
        usize::try_from(size).map_err(|_| PickleError::Truncated { at })
    }

    pub(super) fn text(&mut self, length: usize) -> Result<&'a str, PickleError> {
        let at = self.at;
        let taken = self.take(length)?;
        std::str::from_utf8(taken)
            .map_err(|_| PickleError::Malformed { at, what: "its text is not UTF-8" })
    }

    /// Text up to a newline, which is taken but not given.
    pub(super) fn line(&mut self) -> Result<&'a str, PickleError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or(PickleError::Truncated { at: self.bytes.len() })?;
        let line = self.text(length)?;
        self.take(1)?;
        Ok(line)
    }
}
