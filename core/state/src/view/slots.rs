//! Slots of a cluster, and the partitions in them. A key with `{…}` in it lies in the slot of the text between the braces.

/// Number of slots of a cluster.
const SLOTS: u16 = 16_384;

/// A set of partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Partitions([u64; 4]);

impl Partitions {
    pub const ALL: Partitions = Partitions([u64::MAX; 4]);

    pub const fn holds(&self, partition: u8) -> bool {
        self.0[partition as usize / 64] >> (partition % 64) & 1 == 1
    }

    pub const fn add(&mut self, partition: u8) {
        self.0[partition as usize / 64] |= 1 << (partition % 64);
    }

    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|partition| self.holds(*partition))
    }

    /// Those in the slots from `first` to `last`.
    pub(super) fn add_slots(&mut self, first: u16, last: u16) {
        (0..=u8::MAX).filter(|one| (first..=last).contains(&slot(*one))).for_each(|one| self.add(one));
    }
}

/// The slot of a partition: that of the text `p00` to `pff`.
pub const fn slot(partition: u8) -> u16 {
    const LETTERS: &[u8; 16] = b"0123456789abcdef";
    let text = [b'p', LETTERS[partition as usize >> 4], LETTERS[partition as usize & 15]];
    let mut crc = 0;
    let mut at = 0;
    while at < text.len() {
        crc = crc16(crc, text[at]);
        at += 1;
    }
    crc % SLOTS
}

/// CRC16 with the polynomial 0x1021, highest bit first, from zero (XMODEM).
const fn crc16(mut crc: u16, byte: u8) -> u16 {
    crc ^= (byte as u16) << 8;
    let mut bit = 0;
    while bit < 8 {
        crc = if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 };
        bit += 1;
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_polynomial() {
        assert_eq!(b"123456789".iter().fold(0, |crc, byte| crc16(crc, *byte)), 0x31C3);
    }

    #[test]
    fn each_partition_has_a_slot_and_all_slots_have_all_partitions() {
        let mut all = Partitions::default();
        all.add_slots(0, SLOTS - 1);
        assert_eq!(all, Partitions::ALL);
        assert_eq!(all.iter().count(), 256);
        let (mut low, mut high) = (Partitions::default(), Partitions::default());
        low.add_slots(0, 8191);
        high.add_slots(8192, SLOTS - 1);
        for partition in 0..=255 {
            assert!(low.holds(partition) != high.holds(partition), "{partition}");
        }
    }
}
