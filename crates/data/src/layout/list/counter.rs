//! Which line of a text a place is in, for readers that only know bytes.

/// Counts the lines of a text up to places that are asked for in ascending order.
pub(super) struct LineCounter<'a> {
    rest: &'a [u8],
    at: usize,
    line: usize,
}

impl<'a> LineCounter<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text.as_bytes(), at: 0, line: 1 }
    }

    /// The line, from 1, of the first byte from `offset` on that does not end a line.
    pub(super) fn line_of(&mut self, offset: usize) -> usize {
        let (passed, rest) =
            self.rest.split_at(offset.saturating_sub(self.at).min(self.rest.len()));
        let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let (ends, rest) = rest.split_at(ends);
        self.line += passed.iter().chain(ends).filter(|byte| **byte == b'\n').count();
        self.at += passed.len() + ends.len();
        self.rest = rest;
        self.line
    }
}
