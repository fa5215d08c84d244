//! Control sockets: a Unix stream socket at a path. Only this user and root may connect. Question and answer go over the
//! same connection, so a client that reaches the path gets the answer, also from another network namespace.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Listens at the path. Replaces a socket that a dead process left. A socket that a process serves (`AddrInUse`) and a file
/// that is not a socket (`AlreadyExists`) stay as they are.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    remove_if_stale(path)?;
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn remove_if_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file has that name, and it is not a socket"))
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process serves it")),
            // A living socket of another type, as an earlier version had.
            Err(error) if error.raw_os_error() == Some(libc::EPROTOTYPE) => {
                Err(io::Error::new(io::ErrorKind::AddrInUse, "another process uses it"))
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            Err(error) => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixDatagram;
    use std::path::PathBuf;

    use super::*;

    fn temporary(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("strowger-os-{}-{name}", std::process::id()))
    }

    #[test]
    fn only_the_owner_connects_and_the_answer_comes_back() {
        let path = temporary("answer");
        let listener = listen(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut asking = UnixStream::connect(&path).unwrap();
        listener.accept().unwrap().0.write_all(b"answer").unwrap();
        let mut answer = String::new();
        asking.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_socket_that_is_served_stays_and_one_that_is_not_is_replaced() {
        let path = temporary("served");
        let first = listen(&path).unwrap();
        assert_eq!(listen(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        drop(listen(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        let datagrams = UnixDatagram::bind(&path).unwrap();
        assert_eq!(listen(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(datagrams);
        drop(listen(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_not_removed() {
        let path = temporary("file");
        std::fs::write(&path, "precious").unwrap();
        assert_eq!(listen(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        std::fs::remove_file(&path).unwrap();
    }
}
