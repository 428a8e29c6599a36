//! Owns which handle of the engine a script calls by which name.

use std::collections::BTreeMap;

use trine_engine::{Caller, EventSeq, FunctionId, Lease, Millis, RequestId, WorkerId};

/// Names given by the script, both ways.
#[derive(Debug, Default)]
pub(crate) struct Names {
    requests: BTreeMap<RequestId, String>,
    functions: BTreeMap<FunctionId, String>,
    workers: BTreeMap<WorkerId, String>,
    /// `a#2` is the second time that an attempt of `a` was sent.
    leases: BTreeMap<Lease, (String, WorkerId)>,
    callers: Vec<String>,
    pub(crate) seqs: BTreeMap<EventSeq, String>,
    pub(crate) start: Millis,
}

impl Names {
    pub(crate) fn new(start: Millis) -> Self {
        Self { start, ..Self::default() }
    }

    pub(crate) fn new_request(&mut self, name: &str) -> RequestId {
        let known = self.requests.values().any(|known| known == name);
        assert!(!known, "an invocation {name} was made before");
        let count = u128::try_from(self.requests.len()).expect("a small number") + 1;
        let id = RequestId(count.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        self.requests.insert(id, name.to_owned());
        id
    }

    /// The id of `name`; one that the engine never saw if the script made none.
    pub(crate) fn request_id(&self, name: &str) -> RequestId {
        let found = self.requests.iter().find(|(_, known)| *known == name);
        found.map_or(RequestId(u128::MAX), |(id, _)| *id)
    }

    pub(crate) fn request(&self, id: RequestId) -> &str {
        self.requests.get(&id).map_or("?", String::as_str)
    }

    pub(crate) fn requests(&self) -> impl Iterator<Item = RequestId> {
        self.requests.keys().copied()
    }

    pub(crate) fn add_function(&mut self, id: FunctionId, name: &str) {
        self.functions.insert(id, name.to_owned());
    }

    pub(crate) fn function(&self, id: FunctionId) -> &str {
        self.functions.get(&id).map_or("?", String::as_str)
    }

    /// The youngest function of that name.
    pub(crate) fn function_id(&self, name: &str) -> FunctionId {
        let found = self.functions.iter().filter(|(_, known)| *known == name).map(|(id, _)| *id);
        found.max_by_key(|id| id.generation).unwrap_or(FunctionId { index: 999, generation: 999 })
    }

    pub(crate) fn add_worker(&mut self, id: WorkerId, name: &str) {
        self.workers.retain(|_, known| known != name);
        self.workers.insert(id, name.to_owned());
    }

    pub(crate) fn worker(&self, id: WorkerId) -> &str {
        self.workers.get(&id).map_or("?", String::as_str)
    }

    pub(crate) fn worker_id(&self, name: &str) -> WorkerId {
        let found = self.workers.iter().find(|(_, known)| *known == name);
        found.map(|(id, _)| *id).unwrap_or_else(|| panic!("no worker {name} has joined"))
    }

    pub(crate) fn add_lease(&mut self, lease: Lease, worker: WorkerId, request: &str) -> String {
        let before = self.leases.values().filter(|(name, _)| is_attempt_of(name, request)).count();
        let name = format!("{request}#{}", before + 1);
        self.leases.insert(lease, (name.clone(), worker));
        name
    }

    pub(crate) fn lease(&self, lease: Lease) -> &str {
        self.leases.get(&lease).map_or("?", |(name, _)| name.as_str())
    }

    /// `a#2`, or the last attempt if only `a` is given.
    pub(crate) fn lease_of(&self, name: &str) -> (WorkerId, Lease) {
        let fits = |known: &str| known == name || is_attempt_of(known, name);
        let found = self.leases.iter().filter(|(_, (known, _))| fits(known));
        let last = found.max_by_key(|(lease, _)| lease.fence);
        last.map(|(lease, (_, worker))| (*worker, *lease))
            .unwrap_or_else(|| panic!("{name} was never sent"))
    }

    pub(crate) fn new_caller(&mut self, name: &str) -> Caller {
        self.callers.push(name.to_owned());
        Caller { edge: 7, tag: self.callers.len() as u64 - 1 }
    }

    /// The caller that was made last under that name.
    pub(crate) fn caller_of(&self, name: &str) -> Caller {
        let tag = self.callers.iter().rposition(|known| known == name);
        Caller { edge: 7, tag: tag.unwrap_or(usize::MAX) as u64 }
    }

    pub(crate) fn caller(&self, caller: Caller) -> &str {
        let tag = usize::try_from(caller.tag).unwrap_or(usize::MAX);
        self.callers.get(tag).map_or("?", String::as_str)
    }

    pub(crate) fn forget_workers(&mut self) {
        self.workers.clear();
        self.leases.clear();
    }
}

fn is_attempt_of(lease: &str, request: &str) -> bool {
    lease.rsplit_once('#').is_some_and(|(name, _)| name == request)
}
