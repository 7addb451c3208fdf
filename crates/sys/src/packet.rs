//! Options of packet sockets that libpcap opened.
#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

/// Where a socket stands in a fan-out group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group(u16);

/// Fan-out by a program of ours, see `fanout`; fragments of IPv4 are put together before.
const MODE: u32 = libc::PACKET_FANOUT_CBPF | libc::PACKET_FANOUT_FLAG_DEFRAG;

/// Makes a fan-out group of `socket` alone, under a number that the kernel chooses: no other process has it.
pub fn new_group(socket: impl AsFd) -> io::Result<Group> {
    let flags = MODE | libc::PACKET_FANOUT_FLAG_UNIQUEID;
    set(&socket, libc::PACKET_FANOUT, &(flags << 16))?;
    let mut program = crate::fanout::program();
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // The kernel copies the program, which lives until the end of this function.
    set(&socket, libc::PACKET_FANOUT_DATA, &filter)?;
    let mut value = 0u32;
    let mut len = size_of::<u32>() as libc::socklen_t;
    // SAFETY: the pointers are to a u32 and to its length, both on the stack and alive for the call.
    let done = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_FANOUT,
            (&raw mut value).cast(),
            &raw mut len,
        )
    };
    checked(done)?;
    Ok(Group((value & 0xffff) as u16))
}

/// Puts `socket` into a group: from now on each packet goes to one of its sockets.
pub fn join_group(socket: impl AsFd, group: Group) -> io::Result<()> {
    set(&socket, libc::PACKET_FANOUT, &(u32::from(group.0) | MODE << 16))
}

/// Binds an open packet socket to the interface of this index, keeping its ring and filter. Needs no right; refused (`EINVAL`)
/// where the socket is in a fan-out group.
pub fn rebind(socket: impl AsFd, index: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: index as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the address is a whole sockaddr_ll on the stack, and its length is given.
    let done = unsafe {
        libc::bind(
            socket.as_fd().as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    checked(done)
}

/// Keeps the interface of this index in promiscuous mode for as long as the socket is open.
pub fn promiscuous(socket: impl AsFd, index: u32) -> io::Result<()> {
    let request = libc::packet_mreq {
        mr_ifindex: index as i32,
        mr_type: libc::PACKET_MR_PROMISC as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set(&socket, libc::PACKET_ADD_MEMBERSHIP, &request)
}

/// The index of the interface of this name, as it is now.
pub fn index_of(socket: impl AsFd, name: &str) -> io::Result<u32> {
    Ok(rustix::net::netdevice::name_to_index(socket, name)?)
}

/// The name that the interface of this index has now; nothing where there is none of it any more.
pub fn name_of(socket: impl AsFd, index: u32) -> Option<String> {
    rustix::net::netdevice::index_to_name(socket, index).ok()
}

fn set<T: Copy>(socket: impl AsFd, option: i32, value: &T) -> io::Result<()> {
    // SAFETY: the pointer is to a value that lives for the call, and its own size is given.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_PACKET,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    checked(done)
}

fn checked(done: i32) -> io::Result<()> {
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
