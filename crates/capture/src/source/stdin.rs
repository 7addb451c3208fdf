use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Set once nobody waits for standard input any more.
static GIVEN_UP: AtomicBool = AtomicBool::new(false);

/// Ends waiting for standard input: a read of it that waits fails within a fifth of a second, and so does each after it.
pub fn give_up_stdin() {
    GIVEN_UP.store(true, Relaxed);
}

/// Standard input, which may keep silent for long: a read that waits can be ended by [`give_up_stdin`].
#[derive(Debug)]
pub(super) struct Stdin(io::Stdin);

impl Stdin {
    const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

    pub(super) fn new() -> Self {
        Stdin(io::stdin())
    }
}

impl Read for Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if GIVEN_UP.load(Relaxed) {
                return Err(io::Error::other("interrupted; what follows was not read"));
            }
            let mut wait = [PollFd::new(&self.0, PollFlags::IN)];
            match poll(&mut wait, Some(&Self::PATIENCE)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                // The lock's own buffer is passed by: what it held, no poll would tell.
                Ok(_) => return Ok(rustix::io::read(&self.0, buf)?),
                Err(e) => return Err(e.into()),
            }
        }
    }
}
