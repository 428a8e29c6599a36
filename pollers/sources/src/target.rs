//! The function that a poller invokes, checked once. It does not know whether the function exists.

use crate::InvalidOption;

/// A function and, perhaps, a version or alias of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) function: String,
    /// Empty: `$LATEST`.
    pub(crate) qualifier: String,
}

impl Target {
    /// Both parts with all that is wrong with them (LS 1.1).
    pub(crate) fn new(function: &str, qualifier: Option<&str>) -> Result<Self, Vec<InvalidOption>> {
        let mut wrong = Vec::new();
        if !is_function(function) {
            let expected = "a name of 1 to 64 characters [a-zA-Z0-9-_]";
            wrong.push(InvalidOption::new("function", function, expected));
        }
        if let Some(qualifier) = qualifier
            && !is_qualifier(qualifier)
        {
            let expected =
                "$LATEST, a version number or an alias of 1 to 128 characters [a-zA-Z0-9-_]";
            wrong.push(InvalidOption::new("qualifier", qualifier, expected));
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let qualifier = qualifier.unwrap_or_default().to_owned();
        Ok(Self { function: function.to_owned(), qualifier })
    }
}

fn is_function(name: &str) -> bool {
    is_word(name, 64)
}

fn is_qualifier(qualifier: &str) -> bool {
    qualifier == "$LATEST" || is_word(qualifier, 128)
}

/// 1 to `length_max` of the characters that names of Trine are made of.
pub(crate) fn is_word(text: &str, length_max: usize) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=length_max).contains(&text.len()) && text.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_qualifiers_are_lambdas() {
        for (function, qualifier) in [
            ("f", None),
            ("A-b_9", Some("$LATEST")),
            (&"x".repeat(64), Some("12")),
            ("f", Some("live")),
        ] {
            Target::new(function, qualifier).unwrap();
        }
        for (function, qualifier) in [
            ("", None),
            (&*"x".repeat(65), None),
            ("f:live", None),
            ("f", Some("")),
            ("f", Some("$latest")),
            ("f", Some(&*"q".repeat(129))),
        ] {
            assert_eq!(Target::new(function, qualifier).unwrap_err().len(), 1, "{function}");
        }
        assert_eq!(Target::new("a b", Some("c d")).unwrap_err().len(), 2);
    }
}
