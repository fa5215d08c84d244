//! A key or a password in memory: it is wiped when it is dropped, and no log and no failed test prints it.
//!
//! What the operating system does with memory is not its matter: `os::privilege` keeps it out of core dumps.

use std::fmt;
use std::ops::Deref;

use zeroize::Zeroize;

/// The bytes of a key, or the text of one as it was read.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Key<T: Zeroize = Vec<u8>>(T);

impl<T: Zeroize> Key<T> {
    pub fn get(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> From<T> for Key<T> {
    fn from(key: T) -> Key<T> {
        Key(key)
    }
}

impl<T: Zeroize + AsRef<[u8]>> Deref for Key<T> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl<T: Zeroize + AsRef<[u8]>> AsRef<[u8]> for Key<T> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<T: Zeroize> Drop for Key<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    /// Tells whether it was wiped.
    struct Told(Rc<Cell<bool>>);

    impl Zeroize for Told {
        fn zeroize(&mut self) {
            self.0.set(true);
        }
    }

    #[test]
    fn a_key_is_wiped_when_it_is_dropped_and_not_before() {
        let wiped = Rc::new(Cell::new(false));
        let key = Key::from(Told(Rc::clone(&wiped)));
        assert!(!wiped.get());
        drop(key);
        assert!(wiped.get());
    }

    #[test]
    fn no_key_is_printed() {
        let text = Key::from("secret".to_owned());
        let bytes = Some(Key::from(b"secret".to_vec()));
        assert_eq!(format!("{text:?} {bytes:?} {:?}", Key::from([115; 6])), "Key Some(Key) Key");
        assert_eq!((&*text, text.get().as_str()), (&b"secret"[..], "secret"));
    }
}
