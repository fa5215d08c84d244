//! Which nodes there are, and which of them is asked for a partition.
//!
//! Only what a node claims for itself counts, while it can be reached. Of two that claim a partition, the one with the higher epoch
//! is asked; with equal epochs, the one that was asked before. A partition that nobody claims is left to the node that had it: it
//! may come back, and questions wait meanwhile.

use base::Time;

use super::Links;
use super::node::Node;
use crate::view::Sight;

/// More nodes than a state tier has. What names further ones is not believed.
const NODES_MAX: usize = 64;

impl Links {
    /// A node that was named. Known ones and what is no address are passed over.
    pub(super) fn add_node(&mut self, address: &str, is_given: bool) {
        let is_known = self.nodes.values().any(|node| &*node.address == address);
        // A node that does not know its own address writes a colon and a port.
        if is_known || address.is_empty() || address.starts_with(':') || self.nodes.len() >= NODES_MAX {
            return;
        }
        self.nodes.insert(self.next_node, Node::new(address.into(), is_given));
        self.next_node += 1;
    }

    /// A node said what it sees; it was asked when its connections had changed so often.
    pub(super) fn sighted(&mut self, number: u32, changes: u64, sight: Sight) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        node.says(changes, sight);
        let names = node.names.clone();
        names.iter().for_each(|name| self.add_node(name, false));
        self.forget_nodes();
        self.settle_owners();
    }

    /// Forgets nodes that nobody names and nobody reaches. One that is heard of before its connections are closed stays.
    fn forget_nodes(&mut self) {
        let named: Vec<Box<str>> = self
            .nodes
            .values()
            .filter(|node| node.may_own())
            .flat_map(|node| node.names.iter().cloned())
            .collect();
        for node in self.nodes.values_mut() {
            node.is_forgotten =
                !node.is_given && node.owned == 0 && !node.may_own() && !named.contains(&node.address);
        }
    }

    /// Asks each partition where it is claimed best.
    pub(super) fn settle_owners(&mut self) {
        let (mut is_changed, mut has_moved) = (false, false);
        for partition in 0..=u8::MAX {
            let before = self.owners[usize::from(partition)];
            let claims =
                self.nodes.iter().filter(|(_, node)| node.may_own() && node.claim.0.holds(partition));
            let best = claims.max_by_key(|(number, node)| (node.claim.1, before == Some(**number)));
            let Some((number, _)) = best else { continue };
            is_changed |= before != Some(*number);
            has_moved |= before.is_some_and(|before| before != *number);
            self.owners[usize::from(partition)] = Some(*number);
        }
        if !is_changed {
            return;
        }
        self.counters.failovers += u64::from(has_moved);
        self.unowned = self.owners.iter().filter(|owner| owner.is_none()).count();
        for (number, node) in &mut self.nodes {
            node.owned = self.owners.iter().filter(|owner| **owner == Some(*number)).count();
        }
        let mut waiting: Vec<_> = self.homeless.drain(..).collect();
        for node in self.nodes.values_mut() {
            waiting.extend(node.commits.drain(..));
            waiting.extend(node.others.drain(..));
        }
        waiting.into_iter().for_each(|id| self.route(id));
    }

    /// Something is wrong: all nodes are asked what they see.
    pub(super) fn look_around(&mut self) {
        self.nodes.values_mut().for_each(|node| node.look_at = Time::ZERO);
    }

    /// Some partition cannot be committed to.
    pub(super) fn is_troubled(&self) -> bool {
        self.unowned > 0 || self.nodes.values().any(|node| node.owned > 0 && !node.is_ready())
    }
}
