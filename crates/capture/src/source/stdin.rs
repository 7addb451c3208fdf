use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};

/// Set once nobody waits for standard input, or for a named pipe, any more.
static GIVEN_UP: AtomicBool = AtomicBool::new(false);

/// Ends waiting for standard input and for named pipes: a read that waits fails within a fifth of a second, and so does each after it.
pub fn give_up_stdin() {
    GIVEN_UP.store(true, Relaxed);
}

/// An input that may keep silent for long: a read that waits can be ended by [`give_up_stdin`].
#[derive(Debug)]
pub(super) struct Patient(OwnedFd);

impl Patient {
    const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

    /// Standard input; its own buffer is passed by: what that held, no poll would tell.
    pub(super) fn stdin() -> io::Result<Self> {
        Ok(Patient(io::stdin().as_fd().try_clone_to_owned()?))
    }

    /// A named pipe, which need not have a writer yet.
    pub(super) fn fifo(path: &Path) -> io::Result<Self> {
        Ok(Patient(open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?))
    }
}

impl Read for Patient {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if GIVEN_UP.load(Relaxed) {
                return Err(io::Error::other("interrupted; what follows was not read"));
            }
            let mut wait = [PollFd::new(&self.0, PollFlags::IN)];
            match poll(&mut wait, Some(&Self::PATIENCE)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => match rustix::io::read(&self.0, &mut *buf) {
                    Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                    read => return Ok(read?),
                },
                Err(e) => return Err(e.into()),
            }
        }
    }
}
