//! A table with stable, reusable places. It knows nothing of what it holds.
//!
//! Removal is O(1), iteration is by place and therefore defined. Places are handed out again,
//! newest first; the generation tells tenants of one place apart.

#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free_head: u32,
    len: u32,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    tenant: Tenant<T>,
}

#[derive(Debug)]
enum Tenant<T> {
    Free { next: u32 },
    Held(T),
}

pub(crate) const NONE: u32 = u32::MAX;

impl<T> Slab<T> {
    /// Room for this many more, if it can be had at once.
    pub(crate) fn reserve(&mut self, more: usize) {
        // Without it the table grows step by step, as it does later.
        let _ = self.places.try_reserve_exact(more);
    }

    pub(crate) const fn new() -> Self {
        Self { places: Vec::new(), free_head: NONE, len: 0 }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Number of places, held or free: the bound of an iteration by place.
    pub(crate) fn places(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(NONE)
    }

    /// Puts `value` into a place; returns the place and its generation.
    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> (u32, u32) {
        self.len += 1;
        if let Some(place) = self.places.get_mut(self.free_head as usize) {
            let index = self.free_head;
            if let Tenant::Free { next } = place.tenant {
                self.free_head = next;
            }
            place.generation = place.generation.wrapping_add(1);
            place.tenant = Tenant::Held(value);
            return (index, place.generation);
        }
        let index = self.places();
        assert!(index != NONE, "a table of 2^32 places is full");
        self.places.push(Place { generation: 0, tenant: Tenant::Held(value) });
        (index, 0)
    }

    /// Drops the tenant where it is; [`Slab::remove`] would move it out first.
    pub(crate) fn vacate(&mut self, index: u32) {
        if let Some(place) = self.places.get_mut(index as usize)
            && let Tenant::Held(_) = place.tenant
        {
            place.tenant = Tenant::Free { next: self.free_head };
            self.free_head = index;
            self.len -= 1;
        }
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let place = self.places.get_mut(index as usize)?;
        if let Tenant::Free { .. } = place.tenant {
            return None;
        }
        let tenant = std::mem::replace(&mut place.tenant, Tenant::Free { next: self.free_head });
        self.free_head = index;
        self.len -= 1;
        match tenant {
            Tenant::Held(value) => Some(value),
            Tenant::Free { .. } => None,
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        match self.places.get(index as usize) {
            Some(Place { tenant: Tenant::Held(value), .. }) => Some(value),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.places.get_mut(index as usize) {
            Some(Place { tenant: Tenant::Held(value), .. }) => Some(value),
            _ => None,
        }
    }

    /// The tenant of `index`, if it is still that of `generation`.
    #[inline]
    pub(crate) fn get_exact(&self, index: u32, generation: u32) -> Option<&T> {
        match self.places.get(index as usize) {
            Some(Place { generation: held, tenant: Tenant::Held(value) })
                if *held == generation =>
            {
                Some(value)
            }
            _ => None,
        }
    }

    pub(crate) fn generation(&self, index: u32) -> u32 {
        self.places.get(index as usize).map_or(0, |place| place.generation)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.places.iter().zip(0u32..).filter_map(|(place, index)| match &place.tenant {
            Tenant::Held(value) => Some((index, value)),
            Tenant::Free { .. } => None,
        })
    }
}

/// Access to a place that the caller knows to be held, because an engine table points at it.
///
/// A dangling pointer between the engine's own tables is a defect that must not be papered over: the
/// shard stops, the process ends, and recovery starts from what is durable.
impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;
    #[inline]
    #[track_caller]
    fn index(&self, index: u32) -> &T {
        self.get(index).expect("a link between engine tables points at a free place")
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    #[inline]
    #[track_caller]
    fn index_mut(&mut self, index: u32) -> &mut T {
        self.get_mut(index).expect("a link between engine tables points at a free place")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_reused_under_a_new_generation() {
        let mut slab = Slab::new();
        let (first, old) = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        assert_eq!(slab.remove(first), None);
        let (second, new) = slab.insert('b');
        assert_eq!(first, second);
        assert_eq!(slab.get_exact(first, old), None);
        assert_eq!(slab.get_exact(second, new), Some(&'b'));
        assert_eq!((slab.len(), slab.places()), (1, 1));
    }
}
