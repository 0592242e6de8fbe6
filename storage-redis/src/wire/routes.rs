//! Which node serves which slot.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{
    address::Address,
    link::{Link, Manner},
    slots::{SLOTS, Slot},
};

/// A server and the links to it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: Address,
    links: Vec<Link>,
    /// Held by the one call that brings the source of a script along, while others wait that need it too.
    pub(super) teaching: Arc<Semaphore>,
}

impl Node {
    pub(super) fn new(address: Address, manner: &Arc<Manner>) -> Arc<Self> {
        let links = (0..manner.connections).map(|_| Link::new(address.clone(), Arc::clone(manner))).collect();
        Arc::new(Self { address, links, teaching: Arc::new(Semaphore::new(1)) })
    }

    /// The link for `slot`. It is always the same, so that calls for one slot are carried out in their order.
    pub(super) fn link(&self, slot: Slot) -> Option<&Link> {
        self.links.get(usize::from(slot.number()) % self.links.len().max(1))
    }
}

/// All nodes, and the one of each slot. It is replaced as a whole.
#[derive(Debug, Default, Clone)]
pub(super) struct Routes {
    nodes: Vec<Arc<Node>>,
    /// The node of each range of slots, given by its last slot, in order.
    ranges: Vec<(u16, Option<Arc<Node>>)>,
}

impl Routes {
    /// One node for everything.
    pub(super) fn to_one(node: Arc<Node>) -> Self {
        Self { nodes: vec![Arc::clone(&node)], ranges: vec![(SLOTS - 1, Some(node))] }
    }

    /// The nodes of a cluster: `ranges` of first slot, last slot and address.
    pub(super) fn of_cluster(ranges: &[(u16, u16, Address)], known: &Self, manner: &Arc<Manner>) -> Self {
        let mut routes = Self::default();
        let mut sorted: Vec<_> = ranges.iter().collect();
        sorted.sort_by_key(|(first, ..)| *first);
        let mut next = 0;
        for (first, last, address) in sorted {
            if *first > next {
                routes.ranges.push((first - 1, None));
            }
            let node = routes.node_or_new(address, known, manner);
            routes.ranges.push((*last, Some(node)));
            next = last.saturating_add(1);
        }
        routes
    }

    /// The same routes but with `slot` at `address`.
    pub(super) fn with_moved(&self, slot: Slot, address: &Address, manner: &Arc<Manner>) -> Self {
        let mut routes = self.clone();
        let node = routes.node_or_new(address, self, manner);
        let slot = slot.number();
        let at = routes.ranges.partition_point(|(last, _)| *last < slot);
        let rest = routes.ranges.get(at).map(|(last, node)| (*last, node.clone()));
        // The range that held it is cut in up to three parts.
        let before = slot.checked_sub(1).map(|last| (last, rest.as_ref().and_then(|(_, node)| node.clone())));
        let after = rest.filter(|(last, _)| *last > slot);
        let starts_here =
            at.checked_sub(1).and_then(|at| routes.ranges.get(at)).is_some_and(|(last, _)| last + 1 == slot);
        let parts = before.filter(|_| !starts_here).into_iter().chain([(slot, Some(node))]).chain(after);
        let end = (at + 1).min(routes.ranges.len());
        routes.ranges.splice(at.min(end)..end, parts);
        routes
    }

    /// The same routes, and a node that serves no slot yet.
    pub(super) fn with_node(&self, node: &Arc<Node>) -> Self {
        let mut routes = self.clone();
        routes.nodes.push(Arc::clone(node));
        routes
    }

    /// The node at `address`, from here, from `known`, or a new one.
    fn node_or_new(&mut self, address: &Address, known: &Self, manner: &Arc<Manner>) -> Arc<Node> {
        if let Some(node) = self.node_at(address) {
            return Arc::clone(node);
        }
        let node = known.node_at(address).map_or_else(|| Node::new(address.clone(), manner), Arc::clone);
        self.nodes.push(Arc::clone(&node));
        node
    }

    pub(super) fn node_at(&self, address: &Address) -> Option<&Arc<Node>> {
        self.nodes.iter().find(|node| node.address == *address)
    }

    /// The node that serves `slot`, if any does.
    pub(super) fn node(&self, slot: Slot) -> Option<&Arc<Node>> {
        let at = self.ranges.partition_point(|(last, _)| *last < slot.number());
        self.ranges.get(at)?.1.as_ref()
    }

    pub(super) fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        config::ReconnectConfig,
        wire::connection::{Login, Role},
    };

    fn manner() -> Arc<Manner> {
        let login = Login {
            username: None,
            password: None,
            database: 0,
            tls: None,
            role: Role::Any,
            timeout: Duration::from_secs(1),
        };
        Arc::new(Manner {
            login,
            reconnect: ReconnectConfig::default(),
            response_timeout: Duration::from_secs(1),
            connections: 1,
        })
    }

    fn address(port: u16) -> Address {
        Address { host: "h".to_owned(), port }
    }

    /// The port of the node of each of these slots, 0 where there is none.
    fn ports(routes: &Routes, slots: &[u16]) -> Vec<u16> {
        let slots = slots.iter().map(|&slot| Slot::from_number(slot).unwrap());
        slots.map(|slot| routes.node(slot).map_or(0, |node| node.address.port)).collect()
    }

    #[tokio::test]
    async fn ranges_with_holes() {
        let ranges = [(100, 199, address(2)), (0, 49, address(1)), (200, 16_383, address(1))];
        let routes = Routes::of_cluster(&ranges, &Routes::default(), &manner());
        assert_eq!(routes.nodes().len(), 2);
        assert_eq!(ports(&routes, &[0, 49, 50, 99, 100, 199, 200, 16_383]), [1, 1, 0, 0, 2, 2, 1, 1]);
        assert_eq!(ports(&Routes::default(), &[0, 16_383]), [0, 0]);
    }

    #[tokio::test]
    async fn every_slot_can_move_alone() {
        let ranges = [(0, 4, address(1)), (5, 9, address(2)), (12, 16_383, address(1))];
        let manner = manner();
        for slot in [0, 2, 4, 5, 9, 10, 11, 12, 16_383] {
            let routes = Routes::of_cluster(&ranges, &Routes::default(), &manner);
            let all: Vec<u16> = (0..SLOTS).collect();
            let mut expected = ports(&routes, &all);
            expected[usize::from(slot)] = 3;
            let moved = routes.with_moved(Slot::from_number(slot).unwrap(), &address(3), &manner);
            assert_eq!(ports(&moved, &all), expected, "slot {slot}");
        }
        let alone = Routes::default().with_moved(Slot::from_number(7).unwrap(), &address(3), &manner);
        assert_eq!(ports(&alone, &[6, 7, 8]), [0, 3, 0]);
    }
}
