use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

/// Calls that a process that reads packets and writes files never makes: other programs, other processes' memory, mounts,
/// namespaces, modules, keys, the kernel's own virtual machines.
const REFUSED: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fsconfig,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_personality,
    libc::SYS_mknodat,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
];

/// Ways to a new process that other architectures do not have: there all go through `clone`.
#[cfg(target_arch = "x86_64")]
const OLD: &[i64] = &[libc::SYS_fork, libc::SYS_vfork, libc::SYS_mknod, libc::SYS_kexec_file_load];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[i64] = &[];

/// Address families of the sockets that may still be made.
const FAMILIES: &[i32] = &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];

/// Refuses those calls to this thread and all that it starts: they fail as not permitted.
///
/// New processes are refused too, new threads are not. `clone3`, whose flags no filter can see, is answered as not known: the C
/// library then uses `clone`.
pub(crate) fn apply() -> Result<(), Error> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        return Err(Error::Backend(seccompiler::BackendError::InvalidTargetArch(
            std::env::consts::ARCH.into(),
        )));
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().chain(OLD).map(|call| (*call, Vec::new())).collect();
    let thread = libc::CLONE_THREAD as u64;
    let no_thread = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(thread), 0)?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![no_thread])?]);
    let other_family = FAMILIES
        .iter()
        .map(|f| SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, *f as u64))
        .collect::<Result<Vec<_>, _>>()?;
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(other_family)?]);
    install(rules, libc::EPERM, arch)?;
    install(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS, arch)?;
    if cfg!(target_arch = "x86_64") { apply_filter(&no_x32()) } else { Ok(()) }
}

/// Refuses the second set of numbers that the architecture has for the same calls (x32, from 2^30 on): the rules name those of the first.
fn no_x32() -> BpfProgram {
    const FIRST: u32 = 0x4000_0000;
    const REFUSE: u32 = 0x0005_0000 | libc::EPERM as u32;
    const ALLOW: u32 = 0x7fff_0000;
    let step = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    vec![
        // The number of the call is the first word of what a filter sees.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, FIRST),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, REFUSE),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, ALLOW),
    ]
}

fn install(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32, arch: TargetArch) -> Result<(), Error> {
    let refuse = SeccompAction::Errno(errno as u32);
    let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()?;
    apply_filter(&program)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, unsafe_code)]
mod tests {
    use std::io::Error;

    use super::*;

    /// The error of a call without arguments that is refused; 0 where it is not.
    fn tried(call: i64) -> i32 {
        // SAFETY: the calls that tests name take no pointer, or fail before they look at one.
        match unsafe { libc::syscall(call, 0, 0, 0, 0, 0, 0) } {
            -1 => Error::last_os_error().raw_os_error().unwrap(),
            _ => 0,
        }
    }

    #[test]
    fn calls_are_refused_by_all_their_numbers() {
        // A filter holds for the thread that asks for it, and for those that it starts.
        let filtered = std::thread::spawn(|| {
            rustix::thread::set_no_new_privs(true).unwrap();
            apply().unwrap();
            assert_eq!(std::thread::spawn(|| tried(libc::SYS_getppid)).join().unwrap(), 0);
            let x32 = |call: i64| tried(call | 0x4000_0000);
            [
                tried(libc::SYS_getppid),
                tried(libc::SYS_unshare),
                tried(libc::SYS_clone3),
                if cfg!(target_arch = "x86_64") { x32(libc::SYS_getppid) } else { libc::EPERM },
                if cfg!(target_arch = "x86_64") { x32(libc::SYS_unshare) } else { libc::EPERM },
            ]
        });
        let told = filtered.join().unwrap();
        assert_eq!(told, [0, libc::EPERM, libc::ENOSYS, libc::EPERM, libc::EPERM]);
    }
}
