//! Owns the reading of JSON text: one pass, nothing built but what is asked for. It does not know what
//! is looked for.
//!
//! Why not `serde_json`: a number has to be seen as it was written (LS 4.4: 300 is not 300.0). There
//! this is the feature `arbitrary_precision`, which changes numbers in every crate of the build; and a
//! filter would build a tree for each record to throw it away. It is the measure in the tests.

use std::borrow::Cow;
use std::fmt;

/// Objects and arrays that may stand in each other. Text that nests deeper counts as malformed.
pub(crate) const NESTING_MAX: u32 = 128;

/// A value that holds no others. A number is its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scalar<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(Cow<'a, str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    Scalar,
}

/// The text is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    expected: &'static str,
    at_byte: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no valid JSON: expected {} at byte {}", self.expected, self.at_byte)
    }
}

/// Reads one value after the other from the front of a text.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    nesting: u32,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, nesting: 0 }
    }

    /// What the next value is. Only a look: nothing is read but white space.
    pub(crate) fn kind(&mut self) -> Result<Kind, Malformed> {
        match self.next_byte() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(_) => Ok(Kind::Scalar),
            None => Err(self.malformed("a value")),
        }
    }

    /// Reads an object; `each` reads the value of each key.
    pub(crate) fn object<E: From<Malformed>>(
        &mut self,
        mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'{', "an object")?;
        if self.closes(b'}') {
            return Ok(());
        }
        loop {
            let key = self.string("a key in quotes")?;
            self.take(b':', "a colon")?;
            each(self, key)?;
            if self.closes(b'}') {
                return Ok(());
            }
            self.take(b',', "a comma or }")?;
        }
    }

    /// Reads an array; `each` reads each element.
    pub(crate) fn array<E: From<Malformed>>(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'[', "an array")?;
        if self.closes(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            if self.closes(b']') {
                return Ok(());
            }
            self.take(b',', "a comma or ]")?;
        }
    }

    /// Reads a value that is neither object nor array.
    pub(crate) fn scalar(&mut self) -> Result<Scalar<'a>, Malformed> {
        match self.next_byte() {
            Some(b'"') => Ok(Scalar::Text(self.string("a string")?)),
            Some(b'n') => self.word("null").map(|()| Scalar::Null),
            Some(b't') => self.word("true").map(|()| Scalar::Bool(true)),
            Some(b'f') => self.word("false").map(|()| Scalar::Bool(false)),
            _ => self.number().map(Scalar::Number),
        }
    }

    /// Reads any value and forgets it.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        match self.kind()? {
            Kind::Object => self.object(|reader, _| reader.skip()),
            Kind::Array => self.array(Self::skip),
            Kind::Scalar if self.byte() == Some(b'"') => self.span("a string").map(|_| ()),
            Kind::Scalar => self.scalar().map(|_| ()),
        }
    }

    /// Reads any value and gives its text.
    pub(crate) fn raw(&mut self) -> Result<&'a str, Malformed> {
        self.kind()?;
        let start = self.at;
        self.skip()?;
        Ok(&self.text[start..self.at])
    }

    /// Nothing is left but white space.
    pub(crate) fn end(&mut self) -> Result<(), Malformed> {
        match self.next_byte() {
            None => Ok(()),
            Some(_) => Err(self.malformed("the end")),
        }
    }

    fn open(&mut self, bracket: u8, expected: &'static str) -> Result<(), Malformed> {
        self.take(bracket, expected)?;
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(self.malformed("at most 128 objects and arrays in each other"));
        }
        Ok(())
    }

    fn closes(&mut self, bracket: u8) -> bool {
        let closes = self.next_byte() == Some(bracket);
        if closes {
            self.at += 1;
            self.nesting -= 1;
        }
        closes
    }

    fn string(&mut self, expected: &'static str) -> Result<Cow<'a, str>, Malformed> {
        let (raw, escaped) = self.span(expected)?;
        Ok(if escaped { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) })
    }

    /// What stands between the quotes, and whether something in it is escaped.
    fn span(&mut self, expected: &'static str) -> Result<(&'a str, bool), Malformed> {
        self.take(b'"', expected)?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let plain = rest.iter().position(|byte| MEANS_SOMETHING[usize::from(*byte)]);
            self.at += plain.unwrap_or(rest.len());
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                Some(_) => return Err(self.malformed("control characters to be escaped")),
                None => return Err(self.malformed("a closing quote")),
            }
        }
        let raw = &self.text[start..self.at];
        self.at += 1;
        Ok((raw, escaped))
    }

    /// Steps over what follows a backslash.
    fn escape(&mut self) -> Result<(), Malformed> {
        match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.malformed("four hexadecimal digits"));
                }
                self.at += 5;
            }
            _ => return Err(self.malformed("one of \"\\/bfnrtu")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str, Malformed> {
        let start = self.at;
        self.at += usize::from(self.byte() == Some(b'-'));
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits("a value")?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits("a digit")?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits("a digit")?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self, expected: &'static str) -> Result<(), Malformed> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.malformed(expected)) } else { Ok(()) }
    }

    fn word(&mut self, word: &'static str) -> Result<(), Malformed> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.malformed(word));
        }
        self.at += word.len();
        Ok(())
    }

    fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), Malformed> {
        if self.next_byte() != Some(byte) {
            return Err(self.malformed(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// The next byte that is no white space.
    fn next_byte(&mut self) -> Option<u8> {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.byte()
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    const fn malformed(&self, expected: &'static str) -> Malformed {
        Malformed { expected, at_byte: self.at }
    }
}

/// Bytes that mean something in a string.
const MEANS_SOMETHING: [bool; 256] = {
    let mut table = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = true;
        control += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// `raw` without its escapes, which were checked. Half of a surrogate pair, which the grammar allows and
/// text cannot hold, becomes U+FFFD.
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let (char, used) = match after.as_bytes().first() {
            Some(b'b') => ('\u{8}', 1),
            Some(b'f') => ('\u{c}', 1),
            Some(b'n') => ('\n', 1),
            Some(b'r') => ('\r', 1),
            Some(b't') => ('\t', 1),
            Some(b'u') => unescape_unicode(after),
            Some(other) => (char::from(*other), 1),
            None => break,
        };
        text.push(char);
        rest = &after[used..];
    }
    text.push_str(rest);
    text
}

/// The character of `u` and four digits at the front of `after`, and the bytes that it takes.
fn unescape_unicode(after: &str) -> (char, usize) {
    let unit = |at: usize| {
        let digits = after.get(at..at + 4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(1);
    let second = after.get(5..7).filter(|mark| *mark == "\\u").and_then(|_| unit(7));
    let pair = char::decode_utf16(first.into_iter().chain(second)).next();
    match pair {
        Some(Ok(char)) => (char, if char.len_utf16() == 2 { 11 } else { 5 }),
        _ => (char::REPLACEMENT_CHARACTER, 5),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_json(text: &str) -> bool {
        let mut reader = Reader::new(text);
        reader.skip().and_then(|()| reader.end()).is_ok()
    }

    fn text_of(json: &str) -> String {
        match Reader::new(json).scalar() {
            Ok(Scalar::Text(text)) => text.into_owned(),
            other => panic!("{json}: {other:?}"),
        }
    }

    #[test]
    fn nesting_has_a_bound() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_json(&nested(128)));
        assert!(!is_json(&nested(129)));
        assert!(!is_json(&"[".repeat(1_000_000)));
        assert!(is_json(&format!("[{}[]]", "[],".repeat(1000))), "only open ones count");
    }

    #[test]
    fn half_a_surrogate_pair_is_a_character_all_the_same() {
        assert_eq!(
            text_of(r#""\ud83d\ude00 \ud83d. \ude00\u0041""#),
            "\u{1f600} \u{fffd}. \u{fffd}A"
        );
    }

    #[test]
    fn numbers_and_texts_come_as_they_were_written() {
        assert_eq!(Reader::new(" 3.0e2 ").scalar(), Ok(Scalar::Number("3.0e2")));
        assert_eq!(Reader::new(" [1, {\"a\" : 2}] ").raw(), Ok("[1, {\"a\" : 2}]"));
        let says = Reader::new("{\"a\" 1}").skip().unwrap_err().to_string();
        assert_eq!(says, "no valid JSON: expected a colon at byte 5");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Near JSON, so that both answers are common.
        #[test]
        fn what_is_json_is_what_serde_json_says(
            text in r#"[\[\]{},: ]{0,4}(-?[0-9.e+]{1,4}|"[a\\"nu0é]{0,6}"|null|true|fals)?[\[\]{},:" 1]{0,4}"#
        ) {
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(is_json(&text), theirs, "{}", text);
        }

        #[test]
        fn strings_are_what_was_written(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(&text_of(&json), &text);
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            prop_assert_eq!(&text_of(&format!("\"{escaped}\"")), &text);
        }
    }
}
