use std::io::{self, Read};

/// A buffered reader that shows its next bytes in one piece, so that packets need no copy of their own.
///
/// Ranges given by [`Window::range`] stay valid until the next [`Window::need`].
pub(crate) struct Window {
    inner: Box<dyn Read + Send>,
    buf: Vec<u8>,
    start: usize,
    end: usize,
    consumed: u64,
    at_end: bool,
}

impl Window {
    /// Reads `inner` through a buffer of `capacity` bytes (it grows for a larger record).
    pub(crate) fn new(inner: Box<dyn Read + Send>, capacity: usize) -> Self {
        Window { inner, buf: vec![0; capacity], start: 0, end: 0, consumed: 0, at_end: false }
    }

    /// Makes the next `n` bytes visible; false where the input ends before.
    pub(crate) fn need(&mut self, n: usize) -> io::Result<bool> {
        if self.end - self.start >= n {
            return Ok(true);
        }
        if self.buf.len() - self.start < n || self.start == self.end {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buf.len() < n {
            self.buf.resize(n.next_power_of_two(), 0);
        }
        while self.end - self.start < n && !self.at_end {
            self.fill()?;
        }
        Ok(self.end - self.start >= n)
    }

    fn fill(&mut self) -> io::Result<()> {
        let room = self.buf.get_mut(self.end..).unwrap_or_default();
        match self.inner.read(room) {
            Ok(0) => self.at_end = true,
            Ok(n) => self.end += n.min(room.len()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                self.at_end = true;
                return Err(e);
            }
        }
        Ok(())
    }

    /// The bytes that are visible.
    pub(crate) fn visible(&self) -> &[u8] {
        self.buf.get(self.start..self.end).unwrap_or_default()
    }

    /// Goes on by `n` bytes, at most by those visible.
    pub(crate) fn advance(&mut self, n: usize) {
        let n = n.min(self.end - self.start);
        self.start += n;
        self.consumed += n as u64;
    }

    /// Goes on by `n` bytes, reading as it goes; false where the input ends before.
    pub(crate) fn skip(&mut self, mut n: u64) -> io::Result<bool> {
        while n > 0 {
            if !self.need(1)? {
                return Ok(false);
            }
            let step = usize::try_from(n).unwrap_or(usize::MAX).min(self.end - self.start);
            self.advance(step);
            n -= step as u64;
        }
        Ok(true)
    }

    /// Position in the (decompressed) input.
    pub(crate) fn position(&self) -> u64 {
        self.consumed
    }

    /// Where in the buffer the visible bytes begin.
    pub(crate) fn mark(&self) -> usize {
        self.start
    }

    /// Bytes of the buffer, by a mark taken since the last [`Window::need`].
    pub(crate) fn range(&self, start: usize, len: usize) -> &[u8] {
        self.buf.get(start..start + len).unwrap_or_default()
    }
}
