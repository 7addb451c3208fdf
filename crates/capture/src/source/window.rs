use std::io::{self, Read};
use std::sync::Arc;

/// Bytes of an input, shared with those that work on packets in them: what is shared is not written to any more.
pub type Block = Arc<Vec<u8>>;

/// A buffered reader that shows its next bytes in one piece, so that packets need no copy of their own.
///
/// Ranges given by [`Window::range`] stay valid until the next [`Window::need`], or as long as [`Window::block`] is held. It reads
/// on in another block where the last one is; those given back are used again.
pub(crate) struct Window {
    inner: Box<dyn Read + Send>,
    block: Block,
    others: Vec<Block>,
    capacity: usize,
    start: usize,
    end: usize,
    consumed: u64,
    at_end: bool,
}

impl Window {
    /// Blocks kept to be used again, at most.
    const OTHERS: usize = 64;

    /// Reads `inner` through blocks of `capacity` bytes (larger ones for a larger record).
    pub(crate) fn new(inner: Box<dyn Read + Send>, capacity: usize) -> Self {
        let block = Arc::new(vec![0; capacity]);
        Window { inner, block, others: Vec::new(), capacity, start: 0, end: 0, consumed: 0, at_end: false }
    }

    /// The bytes that [`Window::range`] shows parts of.
    pub(crate) fn block(&self) -> &Block {
        &self.block
    }

    /// Makes the next `n` bytes visible; false where the input ends before.
    #[inline]
    pub(crate) fn need(&mut self, n: usize) -> io::Result<bool> {
        if self.end - self.start >= n {
            return Ok(true);
        }
        self.read_on(n)
    }

    #[inline(never)]
    fn read_on(&mut self, n: usize) -> io::Result<bool> {
        if self.at_end {
            return Ok(false);
        }
        self.make_room(n);
        while self.end - self.start < n && !self.at_end {
            self.fill()?;
        }
        Ok(self.end - self.start >= n)
    }

    /// Has a block that nobody else holds, with room for `n` bytes from `start`.
    fn make_room(&mut self, n: usize) {
        match Arc::get_mut(&mut self.block) {
            Some(own) => {
                if own.len() - self.start < n || self.start == self.end {
                    own.copy_within(self.start..self.end, 0);
                    self.end -= self.start;
                    self.start = 0;
                }
                if own.len() < n {
                    own.resize(n.next_power_of_two(), 0);
                }
            }
            None => {
                let size = self.capacity.max(n.next_power_of_two());
                let free =
                    self.others.iter_mut().position(|b| Arc::get_mut(b).is_some_and(|b| b.len() >= size));
                let mut next = match free {
                    Some(at) => self.others.swap_remove(at),
                    None => Arc::new(vec![0; size]),
                };
                let rest = self.block.get(self.start..self.end).unwrap_or_default();
                if let Some(to) = Arc::get_mut(&mut next).and_then(|b| b.get_mut(..rest.len())) {
                    to.copy_from_slice(rest);
                }
                self.end -= self.start;
                self.start = 0;
                let last = std::mem::replace(&mut self.block, next);
                if self.others.len() < Self::OTHERS {
                    self.others.push(last);
                }
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let own = Arc::get_mut(&mut self.block);
        let room = own.and_then(|b| b.get_mut(self.end..)).unwrap_or_default();
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
        self.block.get(self.start..self.end).unwrap_or_default()
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
        self.block.get(start..start + len).unwrap_or_default()
    }
}
