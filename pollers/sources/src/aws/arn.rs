//! Names of AWS resources, checked: `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`. It does not know whether they exist.

use std::sync::Arc;

use crate::SourceError;

/// The name of a resource of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arn {
    pub(crate) text: Arc<str>,
    pub(crate) partition: String,
    pub(crate) region: String,
    pub(crate) account: String,
    /// What follows the account: `queue`, `stream/name`, `table/T/stream/LABEL`.
    pub(crate) resource: String,
}

impl Arn {
    /// The ARN `text` of a resource of `service`, for example `like`.
    ///
    /// # Errors
    /// With a sentence that shows `like`, when it is not one.
    pub(crate) fn parse(text: &str, service: &str, like: &str) -> Result<Self, SourceError> {
        let wrong = |why: &str| {
            let says = format!("\"{text}\" is not the ARN of a source: {why}; expected {like}");
            SourceError::configuration(says)
        };
        let parts: Vec<_> = text.splitn(6, ':').collect();
        let [arn, partition, found, region, account, resource] = parts[..] else {
            return Err(wrong("it has fewer than six parts"));
        };
        if arn != "arn" || partition.is_empty() {
            return Err(wrong("it does not begin with arn:aws"));
        }
        if found != service {
            return Err(wrong(&format!("its service is \"{found}\"")));
        }
        if region.is_empty() || account.is_empty() || resource.is_empty() {
            return Err(wrong("region, account and resource must be there"));
        }
        Ok(Self {
            text: text.into(),
            partition: partition.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
            resource: resource.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIKE: &str = "arn:aws:sqs:eu-west-1:123456789012:queue";

    #[test]
    fn an_arn_is_taken_apart() {
        let arn = Arn::parse("arn:aws-cn:sqs:cn-north-1:1:a:b", "sqs", LIKE).unwrap();
        assert_eq!(arn.partition, "aws-cn");
        assert_eq!((&*arn.region, &*arn.account, &*arn.resource), ("cn-north-1", "1", "a:b"));
    }

    #[test]
    fn what_is_no_arn_is_refused_with_an_example() {
        for wrong in [
            "",
            "queue",
            "arn:aws:sqs:eu-west-1:1",
            "arn:aws:sns:eu-west-1:1:topic",
            "arn:aws:sqs::1:queue",
            "arn:aws:sqs:eu-west-1:1:",
            "urn:aws:sqs:eu-west-1:1:queue",
        ] {
            let refused = Arn::parse(wrong, "sqs", LIKE).unwrap_err();
            assert_eq!(refused.problem, crate::Problem::Configuration);
            assert!(refused.to_string().contains(LIKE), "{refused}");
        }
    }
}
