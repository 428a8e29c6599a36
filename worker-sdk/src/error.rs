//! The error of a handler, and the JSON object in which a caller sees it (LS 1.5).
//!
//! It does not know how an error travels; see `outcome.rs`.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use bytes::Bytes;
use serde::Serialize;

/// A boxed error of any type, as tower layers produce them.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// Error type of a payload that does not deserialise into the handler's input.
pub(crate) const UNMARSHAL_ERROR: &str = "Runtime.UnmarshalError";
/// Error type of an output that does not serialise.
pub(crate) const MARSHAL_ERROR: &str = "Runtime.MarshalError";
/// Error type of a panic.
pub(crate) const PANIC: &str = "Runtime.Panic";
/// Error type of a boxed error, whose own type is not known any more.
const BOXED_ERROR: &str = "Error";

/// Causes that are listed of one error, at most. A longer chain is a cycle in all likelihood.
const CAUSES_MAX: usize = 32;

/// Why a handler failed. The caller sees it as Lambda's error object (LS 1.5):
/// `{"errorType": …, "errorMessage": …, "stackTrace": […]}`.
///
/// Any [`std::error::Error`] becomes one with `?`: its Rust type name is the error type, its text
/// the message, and the chain of its sources the stack trace. To choose the type yourself, use
/// [`Error::new`].
///
/// Like `anyhow::Error` it does not implement [`std::error::Error`] itself: that would forbid the
/// conversion from every type that does. It converts into a [`BoxError`].
///
/// # Examples
///
/// ```
/// use trine_worker::Error;
///
/// fn parse(text: &str) -> Result<u32, Error> {
///     let number: u32 = text.parse()?;
///     if number == 0 {
///         return Err(Error::new("Shop.NothingOrdered", "the amount is 0, expected 1 or more"));
///     }
///     Ok(number)
/// }
///
/// assert_eq!(parse("many").unwrap_err().error_type(), "core::num::error::ParseIntError");
/// assert_eq!(parse("0").unwrap_err().error_type(), "Shop.NothingOrdered");
/// ```
pub struct Error {
    // Boxed: a handler's result is moved on every invocation, an error exists on few of them.
    fields: Box<Fields>,
}

struct Fields {
    error_type: Cow<'static, str>,
    message: String,
    /// `None` leaves the key out, for objects whose bytes Lambda prescribes.
    stack_trace: Option<Vec<String>>,
}

impl Error {
    /// An error of a type that the handler chooses, for example `"Shop.OutOfStock"`.
    #[must_use]
    pub fn new(error_type: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::with_fields(error_type.into(), message.into(), Some(Vec::new()))
    }

    /// The same error with these lines as its stack trace. Unset means empty.
    #[must_use]
    pub fn with_stack_trace(mut self, lines: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.fields.stack_trace = Some(lines.into_iter().map(Into::into).collect());
        self
    }

    /// An error out of a boxed one. Its error type is `Error`, as the concrete type is not known any
    /// more, unless the box holds an [`Error`] of this crate: that one comes back unchanged.
    ///
    /// # Examples
    ///
    /// ```
    /// use trine_worker::{BoxError, Error};
    ///
    /// let boxed: BoxError = Error::new("Shop.OutOfStock", "no tea left").into();
    /// assert_eq!(Error::from_boxed(boxed).error_type(), "Shop.OutOfStock");
    /// assert_eq!(Error::from_boxed("no tea left".into()).error_type(), "Error");
    /// ```
    #[must_use]
    pub fn from_boxed(error: BoxError) -> Self {
        match error.downcast::<Carried>() {
            Ok(carried) => carried.0,
            Err(error) => Self::with_fields(
                BOXED_ERROR.into(),
                error.to_string(),
                Some(causes(error.as_ref())),
            ),
        }
    }

    /// What the caller sees as `errorType`.
    #[must_use]
    pub fn error_type(&self) -> &str {
        &self.fields.error_type
    }

    /// What the caller sees as `errorMessage`.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.fields.message
    }

    /// What the caller sees as `stackTrace`.
    #[must_use]
    pub fn stack_trace(&self) -> &[String] {
        self.fields.stack_trace.as_deref().unwrap_or_default()
    }

    /// The error with which Lambda answers a response above `bytes_max`, in its exact text (LS 1.4).
    pub(crate) fn response_too_large(bytes_max: usize) -> Self {
        let message = format!(
            "Response payload size exceeded maximum allowed payload size ({bytes_max} bytes)."
        );
        Self::with_fields("Function.ResponseSizeTooLarge".into(), message, None)
    }

    /// The error object as JSON text.
    pub(crate) fn to_json(&self) -> Bytes {
        let object = ErrorObject {
            error_type: &self.fields.error_type,
            error_message: &self.fields.message,
            stack_trace: self.fields.stack_trace.as_deref(),
        };
        // Strings under fixed keys always serialise; an empty object would still be a JSON text.
        serde_json::to_vec(&object).map_or(Bytes::from_static(b"{}"), Bytes::from)
    }

    fn with_fields(
        error_type: Cow<'static, str>,
        message: String,
        stack_trace: Option<Vec<String>>,
    ) -> Self {
        Self { fields: Box::new(Fields { error_type, message, stack_trace }) }
    }
}

impl<E: StdError + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self::with_fields(
            std::any::type_name::<E>().into(),
            error.to_string(),
            Some(causes(&error)),
        )
    }
}

impl From<Error> for BoxError {
    fn from(error: Error) -> Self {
        Box::new(Carried(error))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error_type(), self.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("error_type", &self.fields.error_type)
            .field("message", &self.fields.message)
            .field("stack_trace", &self.fields.stack_trace)
            .finish()
    }
}

/// Carries an [`Error`] through layers that speak of [`BoxError`].
struct Carried(Error);

impl StdError for Carried {}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorObject<'a> {
    error_type: &'a str,
    error_message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack_trace: Option<&'a [String]>,
}

fn causes(error: &(dyn StdError + 'static)) -> Vec<String> {
    std::iter::successors(error.source(), |&cause| cause.source())
        .take(CAUSES_MAX)
        .map(|cause| format!("caused by: {cause}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the shop is closed")]
    struct Closed(#[from] std::num::ParseIntError);

    fn json(error: &Error) -> String {
        String::from_utf8(error.to_json().to_vec()).unwrap()
    }

    #[test]
    fn a_chosen_type_is_the_error_type() {
        let error = Error::new("Shop.OutOfStock", "no \"tea\" left").with_stack_trace(["a", "b"]);
        assert_eq!(
            json(&error),
            r#"{"errorType":"Shop.OutOfStock","errorMessage":"no \"tea\" left","stackTrace":["a","b"]}"#
        );
    }

    #[test]
    fn a_rust_error_gives_its_type_name_and_its_causes() {
        let error = Error::from(Closed("x".parse::<u8>().unwrap_err()));
        assert_eq!(
            json(&error),
            concat!(
                r#"{"errorType":"trine_worker::error::tests::Closed","#,
                r#""errorMessage":"the shop is closed","#,
                r#""stackTrace":["caused by: invalid digit found in string"]}"#
            )
        );
    }

    #[test]
    fn a_response_too_large_has_lambdas_exact_object() {
        let expected = concat!(
            r#"{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"#,
            r#""Response payload size exceeded maximum allowed payload size (6291556 bytes)."}"#
        );
        assert_eq!(json(&Error::response_too_large(6_291_556)), expected);
    }

    #[test]
    fn an_error_survives_a_box_and_a_foreign_box_is_named_error() {
        let back = Error::from_boxed(BoxError::from(Error::new("T", "m")));
        assert_eq!((back.error_type(), back.message()), ("T", "m"));
        let foreign = Error::from_boxed(Box::new(Closed("x".parse::<u8>().unwrap_err())));
        assert_eq!((foreign.error_type(), foreign.message()), ("Error", "the shop is closed"));
        assert_eq!(foreign.stack_trace().len(), 1);
    }
}
