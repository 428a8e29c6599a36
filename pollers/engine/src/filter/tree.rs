//! Owns the matching: all conditions in one tree of keys, against which a JSON value is read once. It does
//! not know records, sources or how patterns are written.
//!
//! Up to 64 combinations of conditions share a tree; a set of them is a bit mask, so ten patterns cost
//! little more than one. What a combination means on arrays is EventBridge's rule: each condition picks
//! a value at its key, or its absence; no two of the picked values may stand in different elements of one
//! array; and what is picked as absent is in no element that would go with the picked values. Read from
//! the leaves up, three answers for each combination are enough: fulfilled with a value picked below,
//! fulfilled by absence alone, not fulfilled.

use super::operator::Operator;
use crate::json::{Kind, Malformed, Reader, Scalar};

/// A set of combinations.
pub(super) type Mask = u64;

/// Combinations of a tree.
pub(super) const COMBINATIONS_MAX: usize = 64;

/// Keys of a node whose state fits on the stack.
const FEW_CHILDREN: usize = 16;

/// How a value fulfils the conditions of a node and below. No combination is in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// With at least one value picked.
    pub(super) present: Mask,
    /// With none.
    pub(super) absent: Mask,
}

impl Outcome {
    pub(super) const fn fulfilled(self) -> Mask {
        self.present | self.absent
    }
}

/// Operators of some combinations at one key: one of them has to hold.
#[derive(Debug)]
struct Leaf {
    combinations: Mask,
    operators: Vec<Operator>,
}

/// The conditions at a key and below it.
#[derive(Debug, Default)]
pub(super) struct Node {
    leaves: Vec<Leaf>,
    /// By key.
    children: Vec<(String, Node)>,
    /// Combinations with a condition here or below.
    involved: Mask,
    /// Those with one here.
    at_leaf: Mask,
    /// Those of which one here asks for a value, so that absence does not do.
    leaf_required: Mask,
    /// The same below.
    child_required: Mask,
}

impl Node {
    /// Adds a condition of `combinations` at `path` from here.
    pub(super) fn add(&mut self, path: &[String], operators: &[Operator], combinations: Mask) {
        let required = if operators.contains(&Operator::Absent) { 0 } else { combinations };
        self.involved |= combinations;
        let Some((key, below)) = path.split_first() else {
            self.at_leaf |= combinations;
            self.leaf_required |= required;
            self.leaves.push(Leaf { combinations, operators: operators.to_vec() });
            return;
        };
        self.child_required |= required;
        let at = match self.child(key) {
            Ok(at) => at,
            Err(at) => {
                self.children.insert(at, (key.clone(), Self::default()));
                at
            }
        };
        self.children[at].1.add(below, operators, combinations);
    }

    pub(super) const fn involved(&self) -> Mask {
        self.involved
    }

    /// Combinations that ask for nothing but a plain value here.
    pub(super) fn only_plain(&self) -> Mask {
        self.children.iter().fold(self.at_leaf, |mask, (_, child)| mask & !child.involved)
    }

    /// Combinations that ask for nothing but keys of an object here.
    pub(super) const fn only_keys(&self) -> Mask {
        self.involved & !self.at_leaf
    }

    /// There is nothing here.
    pub(super) const fn missing(&self) -> Outcome {
        let absent = self.involved & !self.leaf_required & !self.child_required;
        Outcome { present: 0, absent }
    }

    /// Reads the next value.
    pub(super) fn read(&self, reader: &mut Reader<'_>) -> Result<Outcome, Malformed> {
        match reader.kind()? {
            Kind::Object => self.read_object(reader),
            Kind::Array => self.read_array(reader),
            Kind::Scalar if self.leaves.is_empty() => {
                reader.skip()?;
                Ok(self.missing())
            }
            Kind::Scalar => Ok(self.scalar(&reader.scalar()?)),
        }
    }

    /// A value without keys: what asks for keys finds none.
    pub(super) fn scalar(&self, value: &Scalar<'_>) -> Outcome {
        let mut holds = self.at_leaf;
        for leaf in &self.leaves {
            let asked = holds & leaf.combinations != 0;
            if asked && !leaf.operators.iter().any(|operator| operator.holds(value)) {
                holds &= !leaf.combinations;
            }
        }
        let possible = self.involved & !self.child_required;
        Outcome { present: holds & possible, absent: possible & !self.at_leaf }
    }

    /// Any element can be the one from which values are picked; absence has to be so in all of them.
    fn read_array(&self, reader: &mut Reader<'_>) -> Result<Outcome, Malformed> {
        let mut all = self.missing();
        reader.array(|reader| {
            let one = self.read(reader)?;
            all.present |= one.present;
            all.absent &= one.absent;
            Ok::<_, Malformed>(())
        })?;
        Ok(all)
    }

    /// An object is no value itself: `exists` is about leaves only (LS 4.4).
    fn read_object(&self, reader: &mut Reader<'_>) -> Result<Outcome, Malformed> {
        let mut few = [Outcome::default(); FEW_CHILDREN];
        let mut many = Vec::new();
        let states = match few.get_mut(..self.children.len()) {
            Some(states) => states,
            None => {
                many.resize(self.children.len(), Outcome::default());
                many.as_mut_slice()
            }
        };
        for (state, (_, child)) in states.iter_mut().zip(&self.children) {
            *state = child.missing();
        }
        reader.object(|reader, key| {
            match self.child(&key) {
                // A key that is there twice counts as most readers of JSON take it: the last.
                Ok(at) => states[at] = self.children[at].1.read(reader)?,
                Err(_) => reader.skip()?,
            }
            Ok::<_, Malformed>(())
        })?;
        let mut holds = self.involved & !self.leaf_required;
        let mut present = 0;
        for (state, (_, child)) in states.iter().zip(&self.children) {
            holds &= !child.involved | state.fulfilled();
            present |= state.present;
        }
        Ok(Outcome { present: holds & present, absent: holds & !present })
    }

    fn child(&self, key: &str) -> Result<usize, usize> {
        self.children.binary_search_by(|(known, _)| known.as_str().cmp(key))
    }
}
