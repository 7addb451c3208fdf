//! What only the operating system's own calls can do, Linux only: options of packet sockets, giving up rights, names of files that outlast
//! a power failure.
//!
//! This is the one crate with `unsafe` code, and only in its module `packet` (and where a test asks for refused calls): libpcap has no call for fan-out groups, for binding an
//! open socket to an interface again or for its promiscuous mode then, and no safe crate offers these options of
//! `AF_PACKET`. Each is one call of `setsockopt`, `getsockopt` or `bind` with a value on the stack (of which one points to a program, alive for the call). Everything else goes through the
//! safe interfaces of `rustix`, `landlock` and `seccompiler`.

mod confine;
mod fanout;
mod filter;
pub mod packet;
mod place;
mod time;
mod user;

pub use confine::{ConfineError, Confined, Confinement, confine, hand_over, may_use};
pub use place::{keep_name, put_in_place};
pub use time::thread_time;
pub use user::User;
