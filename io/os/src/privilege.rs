//! The powers of the process, and who may look into its memory. A load manager that root starts needs few of root's powers:
//! to listen below port 1024, and to read certificates and keys again for a reload. Any other power would help an intruder.

use std::io;

/// Powers of capabilities(7) that can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Power {
    /// Write logs and sockets in folders of other users.
    WriteAnyFile = 1,
    /// Read certificates and keys of other users.
    ReadAnyFile = 2,
    /// Listen below port 1024.
    BindAnyPort = 10,
}

/// As capset(2) wants it: version 3, of the calling thread.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

const VERSION: u32 = 0x2008_0522;

/// One half of 64 powers.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Keeps these of the calling thread's powers, and gives up the others for good. Threads that it starts later have no more
/// powers. True: there was something to give up.
pub fn keep(powers: &[Power]) -> io::Result<bool> {
    let wanted: u64 = powers.iter().fold(0, |mask, power| mask | 1 << *power as u32);
    let has = powers_of_this_thread()?;
    if has & !wanted == 0 {
        return Ok(false);
    }
    for power in (0..64).filter(|power| wanted & 1 << power == 0) {
        // SAFETY: only numbers. This drops what an executed program could get back. The kernel refuses if this thread lacks
        // the power to do so, or lacks the dropped power, which is as good.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, power as libc::c_ulong, 0, 0, 0) };
    }
    let keeps = has & wanted;
    let half =
        |at: u32| Half { effective: (keeps >> at) as u32, permitted: (keeps >> at) as u32, inheritable: 0 };
    let halves = [half(0), half(32)];
    let header = Header { version: VERSION, pid: 0 };
    // SAFETY: both are of the form that version 3 asks for, and live through the call, which reads them.
    match unsafe { libc::syscall(libc::SYS_capset, &raw const header, halves.as_ptr()) } {
        0 => Ok(true),
        _ => Err(io::Error::last_os_error()),
    }
}

fn powers_of_this_thread() -> io::Result<u64> {
    let (mut header, mut halves) = (Header { version: VERSION, pid: 0 }, [Half::default(); 2]);
    // SAFETY: both are of the form that version 3 asks for, and live through the call, which writes them.
    match unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) } {
        0 => Ok(u64::from(halves[0].permitted) | u64::from(halves[1].permitted) << 32),
        _ => Err(io::Error::last_os_error()),
    }
}

/// From now on the process leaves no core dump, and only root can read its memory, because keys are in it.
pub fn hide_memory() {
    // SAFETY: numbers alone; Linux refuses none of these.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_what_it_asks_for_and_no_more() {
        let after = std::thread::spawn(|| {
            let had = powers_of_this_thread().unwrap();
            assert_eq!(keep(&[Power::BindAnyPort]).unwrap(), had & !(1 << 10) != 0);
            let kept = powers_of_this_thread().unwrap();
            assert!(!keep(&[Power::BindAnyPort]).unwrap(), "nothing is left to give up");
            (had, kept, keep(&[]).map(|_| powers_of_this_thread().unwrap()).unwrap())
        });
        let (had, kept, none) = after.join().unwrap();
        assert_eq!((kept, none), (had & 1 << 10, 0));
    }

    #[test]
    fn memory_is_hidden() {
        hide_memory();
        // SAFETY: numbers alone.
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) }, 0);
    }
}
