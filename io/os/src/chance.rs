//! Chance from the kernel. A part draws a key at its start and makes its numbers from the key. If the system gives no random
//! bytes, the start fails: numbers made without chance can be guessed.

use std::io;

use base::Chance;

/// A generator with a key of its own.
pub fn chance() -> io::Result<Chance> {
    Ok(Chance::keyed(bytes()?))
}

/// Random bytes. Early in the life of a machine, this waits until the kernel has some.
pub fn bytes<const LENGTH: usize>() -> io::Result<[u8; LENGTH]> {
    filled(|rest| {
        // SAFETY: the kernel writes at most the length of the slice.
        unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) }
    })
}

/// Calls `give` for the rest of the slice until all of it is full. `give` returns how many bytes it wrote, as getrandom(2)
/// does.
fn filled<const LENGTH: usize>(mut give: impl FnMut(&mut [u8]) -> isize) -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    let mut at = 0;
    while at < LENGTH {
        match give(&mut bytes[at..]) {
            given if given > 0 => at += given as usize,
            0 => return Err(refused(&io::ErrorKind::UnexpectedEof.into())),
            _ => {
                let error = io::Error::last_os_error();
                // A signal came before the first byte.
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(refused(&error));
                }
            }
        }
    }
    Ok(bytes)
}

fn refused(error: &io::Error) -> io::Error {
    let remedy = "getrandom(2) must be allowed: check the sandbox (seccomp) of this process";
    io::Error::new(error.kind(), format!("no random bytes from the system: {error}\n  remedy: {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        assert_ne!(bytes::<16>().unwrap(), bytes::<16>().unwrap());
        assert_ne!(chance().unwrap().next_u64(), chance().unwrap().next_u64());
    }

    #[test]
    fn bytes_that_come_in_pieces_are_put_together() {
        let mut next = 0;
        let bytes = filled::<5>(|rest| {
            let given = rest.len().min(2);
            for byte in &mut rest[..given] {
                next += 1;
                *byte = next;
            }
            given as isize
        });
        assert_eq!(bytes.unwrap(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_system_without_chance_is_an_error_and_never_zeroes() {
        let error = filled::<8>(|_| 0).unwrap_err().to_string();
        assert!(error.contains("getrandom(2) must be allowed"), "{error}");
        // Like the kernel with a buffer outside the process.
        let error = filled::<8>(|rest| {
            // SAFETY: the kernel refuses the address, and writes nothing.
            unsafe { libc::getrandom(std::ptr::without_provenance_mut(1), rest.len(), 0) }
        });
        assert!(error.is_err());
    }
}
