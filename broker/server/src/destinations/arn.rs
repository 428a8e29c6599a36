//! Names of AWS resources, `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`, read once. It does not know whether they exist.

/// Longest region and partition, in bytes; AWS's own are half as long.
const NAME_BYTES_MAX: usize = 32;

/// Longest account, in digits.
const ACCOUNT_DIGITS_MAX: usize = 12;

/// What LS 3.3 has no destinations of: their names end in it.
const FIFO: &str = ".fifo";

/// The name of a queue or topic.
#[cfg_attr(not(feature = "sqs"), allow(dead_code, reason = "SNS's is passed on as it is"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arn<'a> {
    pub(super) partition: &'a str,
    pub(super) region: &'a str,
    pub(super) account: &'a str,
    pub(super) resource: &'a str,
}

impl<'a> Arn<'a> {
    /// The ARN of a standard resource of `service`, whose name has at most `bytes_max` bytes.
    ///
    /// # Errors
    /// What is expected, without a subject: for `{text} is not {error}`.
    pub(super) fn parse(text: &'a str, service: &str, bytes_max: usize) -> Result<Self, String> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let expected = || format!("arn:PARTITION:{service}:REGION:ACCOUNT:NAME");
        let ["arn", partition, found, region, account, resource] = parts[..] else {
            return Err(expected());
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let account_fine =
            !account.is_empty() && account.len() <= ACCOUNT_DIGITS_MAX && digits(account);
        if found != service || !is_name(partition) || !is_name(region) || !account_fine {
            return Err(expected());
        }
        check_resource(resource, bytes_max)?;
        Ok(Self { partition, region, account, resource })
    }
}

/// Whether it can be the name of a region, which becomes a part of a host name.
pub(super) fn is_name(text: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(fine)
}

/// Whether `resource` can be the name of a standard queue or topic.
pub(super) fn check_resource(resource: &str, bytes_max: usize) -> Result<(), String> {
    if resource.ends_with(FIFO) {
        return Err("a standard one: FIFO queues and topics take no records (their names end in \
                    .fifo)"
            .to_owned());
    }
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if resource.is_empty() || resource.len() > bytes_max || !resource.bytes().all(fine) {
        return Err(format!("a name of 1 to {bytes_max} of a-z A-Z 0-9 - _"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_are_taken_apart() {
        let arn = Arn::parse("arn:aws-cn:sqs:cn-north-1:123456789012:a_B-1", "sqs", 80).unwrap();
        assert_eq!((arn.partition, arn.region), ("aws-cn", "cn-north-1"));
        assert_eq!((arn.account, arn.resource), ("123456789012", "a_B-1"));
    }

    #[test]
    fn what_is_no_arn_of_a_standard_resource_says_what_is_expected() {
        let long = format!("arn:aws:sqs:eu-west-1:1:{}", "a".repeat(81));
        for (text, expected) in [
            ("", "arn:PARTITION:sqs:REGION:ACCOUNT:NAME"),
            ("arn:aws:sqs:eu-west-1:1", "arn:PARTITION:sqs"),
            ("arn:aws:sns:eu-west-1:1:a", "arn:PARTITION:sqs"),
            ("arn:aws:sqs::1:a", "arn:PARTITION:sqs"),
            ("arn:aws:sqs:evil.example/:1:a", "arn:PARTITION:sqs"),
            ("arn:aws:sqs:eu-west-1:x:a", "arn:PARTITION:sqs"),
            ("arn:aws:sqs:eu-west-1:1:", "1 to 80"),
            ("arn:aws:sqs:eu-west-1:1:a/b", "1 to 80"),
            (&long, "1 to 80"),
            ("arn:aws:sqs:eu-west-1:1:a.fifo", "standard"),
        ] {
            let error = Arn::parse(text, "sqs", 80).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
