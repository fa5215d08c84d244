//! Places for connections, each with a generation that distinguishes its present connection from earlier ones.

use sip::ConnectionId;

/// A place and its generation: valid exactly as long as the connection in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) slot: u16,
    pub(crate) generation: u32,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    value: Option<T>,
}

/// Grows as needed up to a bound; freed places are used again.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    places: Vec<Place<T>>,
    free: Vec<u16>,
    max: usize,
    /// Generation of the first value of each place.
    first: u32,
}

impl<T> Slots<T> {
    /// `first` is random, so that a key of another run of the program reaches nobody either.
    pub(crate) fn new(max: usize, first: u32) -> Slots<T> {
        Slots { places: Vec::new(), free: Vec::new(), max: max.min(usize::from(u16::MAX)), first }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.max
    }

    /// Where the next value will be. `None`: full. [`Slots::insert`] puts the value there.
    pub(crate) fn vacant(&mut self) -> Option<Key> {
        if self.free.is_empty() {
            let slot = u16::try_from(self.places.len()).ok().filter(|_| self.places.len() < self.max)?;
            self.places.push(Place { generation: self.first, value: None });
            self.free.push(slot);
        }
        let slot = *self.free.last()?;
        Some(Key { slot, generation: self.places[usize::from(slot)].generation })
    }

    /// Fills the place that [`Slots::vacant`] named.
    pub(crate) fn insert(&mut self, key: Key, value: T) {
        debug_assert_eq!(self.free.last(), Some(&key.slot));
        self.free.pop();
        self.places[usize::from(key.slot)].value = Some(value);
    }

    /// The generation of each place.
    pub(crate) fn generations(&self) -> impl Iterator<Item = u32> {
        self.places.iter().map(|place| place.generation)
    }

    /// As many places as another process had, with their generations, all of them free.
    pub(crate) fn restore(&mut self, generations: impl Iterator<Item = u32>) {
        let places = generations.take(self.max).map(|generation| Place { generation, value: None });
        self.places = places.collect();
        self.free = (0..self.places.len()).rev().filter_map(|slot| u16::try_from(slot).ok()).collect();
    }

    /// Fills the free place with this key. False: there is no such place.
    pub(crate) fn fill(&mut self, key: Key, value: T) -> bool {
        let Some(place) = self.places.get_mut(usize::from(key.slot)) else { return false };
        if place.generation != key.generation || place.value.is_some() {
            return false;
        }
        place.value = Some(value);
        true
    }

    /// After the last [`Slots::fill`].
    pub(crate) fn filled(&mut self) {
        let places = &self.places;
        self.free.retain(|slot| places[usize::from(*slot)].value.is_none());
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let place = self.places.get(usize::from(key.slot))?;
        if place.generation == key.generation { place.value.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(usize::from(key.slot))?;
        if place.generation == key.generation { place.value.as_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(usize::from(key.slot)).filter(|p| p.generation == key.generation)?;
        let value = place.value.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(key.slot);
        Some(value)
    }

    /// The value at a position among all places, used or not, to walk over them in parts.
    pub(crate) fn at(&self, position: usize) -> Option<(Key, &T)> {
        let place = self.places.get(position)?;
        let key = Key { slot: position as u16, generation: place.generation };
        place.value.as_ref().map(|value| (key, value))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        (0..self.places.len()).filter_map(|position| self.at(position))
    }

    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }
}

/// What the core knows the connection by.
pub(super) fn id_of(worker: u8, key: Key) -> ConnectionId {
    ConnectionId { worker, slot: key.slot, generation: key.generation }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_reaches_nobody() {
        let mut slots = Slots::new(2, 0);
        let first = slots.vacant().unwrap();
        slots.insert(first, "first");
        assert_eq!(slots.remove(first), Some("first"));
        let second = slots.vacant().unwrap();
        slots.insert(second, "second");
        assert_eq!(first.slot, second.slot);
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get_mut(second), Some(&mut "second"));
    }

    #[test]
    fn another_process_has_the_same_keys() {
        let mut slots = Slots::new(9, 7);
        let keys: Vec<Key> = (0..4)
            .map(|value| {
                let key = slots.vacant().unwrap();
                slots.insert(key, value);
                key
            })
            .collect();
        slots.remove(keys[1]);
        let mut there = Slots::new(9, 1000);
        there.restore(slots.generations());
        assert!(slots.iter().all(|(key, value)| there.fill(key, *value)));
        assert!(!there.fill(keys[0], 5) && !there.fill(keys[1], 5), "taken, and gone");
        there.filled();
        assert_eq!(there.len(), 3);
        assert_eq!((there.get(keys[0]), there.get(keys[1]), there.get(keys[3])), (Some(&0), None, Some(&3)));
        assert_eq!(there.vacant(), slots.vacant());
        let mut small = Slots::<u8>::new(2, 0);
        small.restore(slots.generations());
        assert!(!small.fill(keys[3], 3), "there is no room");
    }

    #[test]
    fn no_more_than_the_bound() {
        let mut slots = Slots::new(2, 0);
        for value in 0..2 {
            let key = slots.vacant().unwrap();
            slots.insert(key, value);
        }
        assert!(slots.is_full());
        assert_eq!(slots.vacant(), None);
        slots.remove(Key { slot: 0, generation: 0 });
        assert_eq!(slots.vacant(), Some(Key { slot: 0, generation: 1 }));
        assert_eq!(slots.len(), 1);
    }
}
