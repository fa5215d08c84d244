//! Single values beside the partitions: the number of the last engine that started, the secret of a farm.

use std::collections::BTreeMap;

/// The farm has a handful.
const VALUES_MAX: usize = 1024;
/// Of a name or a value.
const BYTES_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Values {
    values: BTreeMap<Box<[u8]>, Box<[u8]>>,
    bytes: usize,
}

/// Why a value was not written; the text of an error.
pub(super) type NotWritten = &'static str;

impl Values {
    pub(super) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.values.get(name).map(|value| &value[..])
    }

    pub(super) fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), NotWritten> {
        if name.len() > BYTES_MAX || value.len() > BYTES_MAX {
            return Err("ERR a name or a value is longer than 1024 bytes");
        }
        if !self.values.contains_key(name) && self.values.len() >= VALUES_MAX {
            return Err("OOM there are 1024 values already");
        }
        self.bytes += name.len() + value.len();
        if let Some(before) = self.values.insert(name.into(), value.into()) {
            self.bytes -= name.len() + before.len();
        }
        Ok(())
    }

    /// Adds one to a number, which is 0 at first.
    pub(super) fn increase(&mut self, name: &[u8]) -> Result<i64, NotWritten> {
        let number = match self.get(name) {
            None => 0,
            Some(value) => {
                let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<i64>().ok());
                number.ok_or("ERR value is not an integer or out of range")?
            }
        };
        let number = number.checked_add(1).ok_or("ERR increment or decrement would overflow")?;
        self.set(name, number.to_string().as_bytes())?;
        Ok(number)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
