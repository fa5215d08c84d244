//! Socket options and thread settings that neither `std` nor `socket2` has.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use base::Duration;

fn set<T>(socket: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes from a reference that lives through the call. Only plain
    // structures of the kernel's own layout are passed by the functions of this file.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// ICMP errors are queued with the address they are about (ip(7), IP_RECVERR).
pub fn report_errors(socket: BorrowedFd<'_>, v6: bool) -> io::Result<()> {
    let on: libc::c_int = 1;
    match v6 {
        false => set(socket, libc::IPPROTO_IP, libc::IP_RECVERR, &on),
        true => set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, &on),
    }
}

/// The port of an outgoing connection is chosen at connect, so that one port serves many destinations.
pub fn bind_without_port(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    set(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &on)
}

/// Unacknowledged bytes end the connection after this time (tcp(7), TCP_USER_TIMEOUT).
pub fn give_up_after(socket: BorrowedFd<'_>, time: Duration) -> io::Result<()> {
    let millis = libc::c_uint::try_from(time.as_millis()).unwrap_or(libc::c_uint::MAX);
    set(socket, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, &millis)
}

/// Datagrams that the kernel dropped at this socket since it was opened; the number wraps.
pub fn dropped_datagrams(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut figures = [0u32; libc::SK_MEMINFO_DROPS as usize + 1];
    let mut length = size_of_val(&figures) as libc::socklen_t;
    // SAFETY: `length` is the size of `figures`, which the kernel writes at most that far.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            figures.as_mut_ptr().cast(),
            &mut length,
        )
    };
    if result == 0 { Ok(figures[libc::SK_MEMINFO_DROPS as usize]) } else { Err(io::Error::last_os_error()) }
}

/// Makes the kernel choose a random socket of the reuseport group for each datagram (socket(7), SO_ATTACH_REUSEPORT_CBPF).
/// `sockets`: size of the group, at least 1.
pub fn spread_by_message(socket: BorrowedFd<'_>, sockets: u32) -> io::Result<()> {
    let instruction = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut program = [
        instruction(
            libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
            (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM) as u32,
        ),
        instruction(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, sockets.max(1)),
        instruction(libc::BPF_RET | libc::BPF_A, 0),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, &program)
}

/// Returns to the kernel's own choice: by the hash of addresses and ports.
pub fn spread_by_flow(socket: BorrowedFd<'_>) -> io::Result<()> {
    let unused: libc::c_int = 0;
    set(socket, libc::SOL_SOCKET, libc::SO_DETACH_REUSEPORT_BPF, &unused)
}

/// Keeps the calling thread on one core.
pub fn pin_thread(core: usize) -> io::Result<()> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: a set of cores is an array of bits, for which all zeroes is a value; `core` is within it; the kernel
    // reads the set's own size.
    let result = unsafe {
        let mut cores: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut cores);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &cores)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Processor time that the calling thread has used, user and system, in microseconds.
pub fn thread_cpu_micros() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec to a reference that lives through the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    if result == 0 { time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000 } else { 0 }
}

/// Raises the number of descriptors that the process may open to the allowed maximum, because each connection needs one.
/// Returns that number.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit to a reference that lives through the call, and reads one from another.
    let result = unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit)
        } else {
            -1
        }
    };
    if result == 0 { Ok(limit.rlim_cur) } else { Err(io::Error::last_os_error()) }
}
