//! Messages that were written and wait to be sent, one after the other in one buffer.

#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// For the client's messages the slot of the call, for the servers' messages the number of the server.
    pub(crate) key: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Post {
    pub(crate) bytes: Vec<u8>,
    pub(crate) messages: Vec<Written>,
}

impl Post {
    /// Adds one message: the text that `text` appends.
    pub(crate) fn write(&mut self, key: u32, text: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len() as u32;
        text(&mut self.bytes);
        self.messages.push(Written { start, end: self.bytes.len() as u32, key });
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.messages.clear();
    }
}
