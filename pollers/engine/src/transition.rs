//! Marks where a machine changes its state, so that a test can tell whether every line of every
//! transition table ran. Outside tests a mark is nothing.

/// Notes that a transition happened: the text is the line of the table at the top of the file.
macro_rules! transition {
    ($line:literal) => {{
        #[cfg(test)]
        crate::transition::note(file!(), $line);
        #[cfg(not(test))]
        let _ = $line;
    }};
}

#[cfg(test)]
thread_local! {
    static SEEN: std::cell::RefCell<std::collections::BTreeSet<(&'static str, &'static str)>> =
        const { std::cell::RefCell::new(std::collections::BTreeSet::new()) };
}

#[cfg(test)]
pub(crate) fn note(file: &'static str, line: &'static str) {
    SEEN.with_borrow_mut(|seen| seen.insert((file, line)));
}

/// What happened on this thread so far: file and line of its table.
#[cfg(test)]
pub(crate) fn seen() -> Vec<(&'static str, &'static str)> {
    SEEN.with_borrow(|seen| seen.iter().copied().collect())
}
