//! The control socket, as a client sees it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use super::*;

fn started() -> Rig {
    let mut rig = Rig::new();
    rig.start("exec sleep 60", &[]);
    rig.until(ServerState::Started);
    rig.server();
    rig
}

/// Whether this process may make a network namespace, as root or in a user namespace of its own.
fn network_namespace(command: &mut Command) {
    // SAFETY: unshare touches no memory of ours; the child has one thread.
    unsafe {
        command.pre_exec(|| {
            if libc::unshare(libc::CLONE_NEWNET) == 0
                || libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) == 0
            {
                return Ok(());
            }
            Err(std::io::Error::last_os_error())
        });
    }
}

#[test]
fn who_asks_from_another_network_namespace_is_answered() {
    let mut may = Command::new("true");
    network_namespace(&mut may);
    if let Err(error) = may.status() {
        println!("no network namespace can be made here ({error}): not tested");
        return;
    }
    let rig = started();
    for (command, state) in [("status", "started"), ("drain", "draining"), ("resume", "started")] {
        let mut asking = this_binary("tests::control_socket::asking_process");
        network_namespace(&mut asking);
        asking.env("STROWGER_TEST_ASK", format!("{command} {}", rig.file("control").display()));
        let output = asking.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&format!("state {state}\n")), "{command}: {output:?}");
    }
}

#[test]
#[ignore = "is the operator that other tests start"]
fn asking_process() {
    let setting = std::env::var("STROWGER_TEST_ASK").expect("the command, from the test that starts this");
    let (word, path) = setting.split_once(' ').unwrap();
    let command = control::Command::ALL.into_iter().find(|command| command.word() == word).unwrap();
    println!("{}", control::tell(path.as_ref(), command).unwrap());
}

#[test]
fn who_connects_and_says_nothing_wrong_or_too_much_hinders_nobody() {
    let rig = started();
    let path = rig.file("control");
    let ask = |bytes: &[u8]| {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    };
    let silent: Vec<UnixStream> = (0..6).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let mut halves = ask(b"sta");
    drop(ask(b""));
    for wrong in [&b"stat\n"[..], b"\n", &[b'x'; 64]] {
        let mut answer = String::new();
        ask(wrong).read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "error: not one of status, drain, resume, stop, detach\n");
    }
    halves.write_all(b"tus\n").unwrap();
    let mut answer = String::new();
    halves.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("state started\n"), "{answer:?}");
    drop(silent);
    assert_eq!(rig.tell(control::Command::Status)["state"], "started");
}
