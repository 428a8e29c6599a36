//! Owns wildcards: `*` stands for any run of characters, `\*` and `\\` for themselves.

/// Text between asterisks. The first piece is anchored at the start, the last at the end.
///
/// Pieces are looked for from left to right, each where it first occurs. That is enough, because a later
/// place of one piece leaves less room to the next; and it is why no pattern, however many asterisks it
/// has, goes back and takes more than one pass. A regular expression was the alternative, and more than
/// what is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wildcard {
    first: String,
    /// Between the first and the last asterisk.
    middle: Vec<String>,
    /// None: there is no asterisk.
    last: Option<String>,
}

impl Wildcard {
    /// Says what is expected instead, if `pattern` is none.
    pub(super) fn parse(pattern: &str) -> Result<Self, &'static str> {
        let mut pieces = vec![String::new()];
        let mut after_asterisk = false;
        let mut chars = pattern.chars();
        while let Some(char) = chars.next() {
            let literal = match char {
                '*' if after_asterisk => return Err("no two asterisks in a row"),
                '*' => None,
                '\\' => match chars.next() {
                    Some(escaped @ ('*' | '\\')) => Some(escaped),
                    _ => return Err("* or \\ after a backslash"),
                },
                other => Some(other),
            };
            after_asterisk = literal.is_none();
            match (literal, pieces.last_mut()) {
                (Some(char), Some(piece)) => piece.push(char),
                _ => pieces.push(String::new()),
            }
        }
        let last = if pieces.len() > 1 { pieces.pop() } else { None };
        let mut pieces = pieces.into_iter();
        let first = pieces.next().unwrap_or_default();
        Ok(Self { first, middle: pieces.collect(), last })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let Some(last) = &self.last else { return text == self.first };
        let inner = text.strip_prefix(self.first.as_str());
        let Some(mut rest) = inner.and_then(|inner| inner.strip_suffix(last.as_str())) else {
            return false;
        };
        for piece in &self.middle {
            match rest.split_once(piece.as_str()) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Wildcard::parse(pattern).unwrap().matches(text)
    }

    #[test]
    fn asterisks_stand_for_anything() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*.png", ".png", true),
            ("*/lib/*", "/usr/lib/x", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*a", "aba", true),
            ("a*ab*b", "aabb", true),
            ("a*ab*b", "aab", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            (r"a\*c", "a*c", true),
            (r"a\*c", "abc", false),
            (r"\\*", r"\x", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        for wrong in ["a**b", r"a\b", "a\\"] {
            assert!(Wildcard::parse(wrong).is_err(), "{wrong}");
        }
    }

    /// With backtracking this would not end.
    #[test]
    fn hostile_patterns_take_one_pass() {
        let pattern = format!("{}b", "*a".repeat(2_000));
        let text = "a".repeat(1_000_000);
        assert!(!matches(&pattern, &text));
        assert!(matches(&pattern, &format!("{text}b")));
    }
}
