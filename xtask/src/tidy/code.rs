//! Owns the little reading of Rust that rules need: code without comments and string contents, and
//! whether a line is test code. It is no parser; it only has to be right about rustfmt's output.

/// One line of a Rust file as rules want to see it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    /// The code, with comments dropped and string literals emptied.
    pub(super) code: String,
    /// What was written in comments on this line.
    pub(super) comment: String,
    /// Under `#[cfg(test)]`.
    pub(super) in_test: bool,
}

impl Line {
    /// Whether `word` stands in the code, not as a part of a longer name.
    pub(super) fn names(&self, word: &str) -> bool {
        self.code.match_indices(word).any(|(at, _)| {
            let before = self.code[..at].chars().next_back();
            let after = self.code[at + word.len()..].chars().next();
            let goes_on = word.ends_with(is_name) && after.is_some_and(is_name);
            !before.is_some_and(is_name) && !goes_on
        })
    }
}

/// Whether a comment on line `at` or the one above it reads `tidy: allow RULE: reason`.
pub(super) fn allowed(lines: &[Line], at: usize, rule: &str) -> bool {
    let mark = format!("tidy: allow {rule}: ");
    let says = |line: &Line| {
        line.comment.split_once(&mark).is_some_and(|(_, reason)| !reason.trim().is_empty())
    };
    says(&lines[at]) || at.checked_sub(1).is_some_and(|above| says(&lines[above]))
}

pub(super) fn lines(text: &str) -> Vec<Line> {
    let mut lines = Scanner::new(text).lines();
    mark_tests(&mut lines);
    lines
}

struct Scanner<'a> {
    rest: &'a str,
    lines: Vec<Line>,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text, lines: vec![Line { number: 1, ..Line::default() }] }
    }

    fn lines(mut self) -> Vec<Line> {
        while let Some(next) = self.rest.chars().next() {
            if self.rest.starts_with("//") {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.comment(end);
            } else if self.rest.starts_with("/*") {
                self.comment(block_comment(self.rest));
            } else if let Some(length) = literal(self.rest) {
                // A name before the quote (`b`, `r#`) does not matter to any rule.
                self.skip_literal(length);
            } else {
                self.code(next);
                // A name is taken whole, so that the `r` of `for"` is not read as a raw string.
                if is_name(next) {
                    while let Some(more) = self.rest.chars().next().filter(|&c| is_name(c)) {
                        self.code(more);
                    }
                }
            }
        }
        self.lines
    }

    fn code(&mut self, next: char) {
        self.rest = &self.rest[next.len_utf8()..];
        match next {
            '\n' => self.new_line(),
            _ => self.line().code.push(next),
        }
    }

    fn comment(&mut self, length: usize) {
        let (comment, rest) = self.rest.split_at(length);
        self.rest = rest;
        for (at, part) in comment.split('\n').enumerate() {
            if at > 0 {
                self.new_line();
            }
            self.line().comment.push_str(part);
        }
    }

    fn skip_literal(&mut self, length: usize) {
        let (literal, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.line().code.push('"');
        for _ in literal.matches('\n') {
            self.new_line();
        }
        self.line().code.push('"');
    }

    fn new_line(&mut self) {
        self.lines.push(Line { number: self.lines.len() + 1, ..Line::default() });
    }

    fn line(&mut self) -> &mut Line {
        let last = self.lines.len() - 1; // `new` puts the first one in and none is ever taken out
        &mut self.lines[last]
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Length of the (nested) block comment at the start of `text`.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Length of the string or character literal at the start of `text`, prefix included.
fn literal(text: &str) -> Option<usize> {
    let body = text.trim_start_matches(['b', 'c']);
    let prefix = text.len() - body.len();
    if prefix > 1 {
        return None;
    }
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let inner = raw[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let end = inner.find(&close).map_or(inner.len(), |end| end + close.len());
        return Some(prefix + 1 + hashes + 1 + end);
    }
    if let Some(inner) = body.strip_prefix('"') {
        return Some(prefix + 1 + quoted(inner, '"'));
    }
    let inner = body.strip_prefix('\'')?;
    // A lifetime has no closing quote right after its first character.
    let mut chars = inner.chars();
    let first = chars.next()?;
    (first == '\\' || chars.next() == Some('\'')).then(|| prefix + 1 + quoted(inner, '\''))
}

/// Length up to and including the closing `quote`, stepping over escapes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Marks the lines of every item under `#[cfg(test)]`: up to its closing brace, or its semicolon.
fn mark_tests(lines: &mut [Line]) {
    let mut depth: usize = 0;
    let mut test_item: Option<usize> = None;
    for line in lines {
        if test_item.is_none() && line.code.contains("#[cfg(test)]") {
            test_item = Some(depth);
        }
        line.in_test = test_item.is_some();
        for c in line.code.replace("#[cfg(test)]", "").chars() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if (c == '}' || c == ';') && test_item == Some(depth) {
                test_item = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Vec<String> {
        lines(text).into_iter().map(|line| line.code).collect()
    }

    #[test]
    fn comments_and_strings_are_no_code() {
        assert_eq!(code("a // sleep(\nb /* x\n y */ c"), ["a ", "b ", " c"]);
        assert_eq!(code("f(\"sleep(\\\"\", 'x', '\\'', b\"q\")"), ["f(\"\", \"\", \"\", \"\")"]);
        assert_eq!(code("r#\"a \" b\"# + x"), ["\"\" + x"]);
        assert_eq!(code("\"one\ntwo\" + x"), ["\"", "\" + x"]);
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), ["fn f<'a>(x: &'a str) {}"]);
    }

    #[test]
    fn words_are_whole() {
        let line = |code: &str| Line { code: code.to_owned(), ..Line::default() };
        assert!(line("use rand::Rng;").names("rand"));
        assert!(!line("let operand = random;").names("rand"));
        assert!(line("tokio::time::sleep(x)").names("sleep("));
        assert!(!line("asleep(x)").names("sleep("));
    }

    #[test]
    fn a_test_module_ends_with_its_brace() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n\
                    #[cfg(test)]\nuse x::[1; 2];\nfn d() {}";
        let in_test: Vec<_> = lines(text).iter().map(|line| line.in_test).collect();
        assert_eq!(in_test, [false, true, true, true, true, false, true, true, false]);
    }

    #[test]
    fn an_exception_needs_a_reason() {
        let lines =
            lines("// tidy: allow sleeps: paces the load\na();\n// tidy: allow sleeps: \nb();");
        assert!(allowed(&lines, 1, "sleeps"));
        assert!(!allowed(&lines, 3, "sleeps"));
    }
}
