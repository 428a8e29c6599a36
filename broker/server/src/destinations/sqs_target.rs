//! The queue of an SQS destination and the way to it, read once.

use super::arn::{Arn, check_resource, is_name};
use super::http_target::HttpTarget;

/// Longest name of a queue, in bytes: SQS's own bound.
const QUEUE_BYTES_MAX: usize = 80;

/// Where to send messages to.
#[derive(Debug, Clone)]
pub(super) struct SqsTarget {
    /// Where SQS listens.
    pub(super) endpoint: HttpTarget,
    /// What SQS calls the queue.
    pub(super) queue_url: String,
    pub(super) region: String,
    /// The endpoint is AWS's own and not what somebody wrote.
    pub(super) of_aws: bool,
}

impl SqsTarget {
    /// Reads an ARN or a URL, and what it does not say.
    pub(super) fn parse(queue: &str, region: &str, endpoint_url: &str) -> Result<Self, String> {
        if !region.is_empty() && !is_name(region) {
            return Err(format!(
                "region is {region:?}; an SQS destination's is one like eu-west-1"
            ));
        }
        let endpoint = match endpoint_url {
            "" => None,
            url => Some(HttpTarget::parse(url).map_err(|why| format!("endpoint_url: {why}"))?),
        };
        if endpoint.as_ref().is_some_and(|endpoint| endpoint.uri().query().is_some()) {
            return Err("endpoint_url: an SQS destination's has no query".to_owned());
        }
        if queue.starts_with("arn:") {
            Self::of_arn(queue, region, endpoint)
        } else {
            Self::of_url(queue, region, endpoint)
        }
    }

    fn of_arn(arn: &str, region: &str, endpoint: Option<HttpTarget>) -> Result<Self, String> {
        let arn = Arn::parse(arn, "sqs", QUEUE_BYTES_MAX).map_err(|error| expected(&error))?;
        let region = if region.is_empty() { arn.region } else { region };
        let of_aws = endpoint.is_none();
        let endpoint = match endpoint {
            Some(endpoint) => endpoint,
            None => {
                let domain = domain(arn.partition).ok_or_else(|| {
                    format!("SQS of the partition {} is reached by its endpoint_url", arn.partition)
                })?;
                HttpTarget::parse(&format!("https://sqs.{region}.{domain}/"))?
            }
        };
        let base = endpoint.uri().to_string();
        let queue_url = format!("{}/{}/{}", base.trim_end_matches('/'), arn.account, arn.resource);
        Ok(Self { endpoint, queue_url, region: region.to_owned(), of_aws })
    }

    fn of_url(url: &str, region: &str, endpoint: Option<HttpTarget>) -> Result<Self, String> {
        let target = HttpTarget::parse(url)
            .map_err(|_| expected("an ARN or https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"))?;
        let uri = target.uri();
        let (_, name) = uri.path().rsplit_once('/').unwrap_or_default();
        check_resource(name, QUEUE_BYTES_MAX).map_err(|error| expected(&error))?;
        if uri.query().is_some() {
            return Err(expected("a URL without a query"));
        }
        let known = region_of_host(target.host());
        let region = match (region, known) {
            ("", None) => {
                return Err(
                    "region is missing: the host of an SQS destination's URL does not name \
                            it"
                    .to_owned(),
                );
            }
            ("", Some(known)) => known,
            (given, _) => given,
        };
        let of_aws = endpoint.is_none() && known.is_some() && target.is_https();
        let (region, queue_url) = (region.to_owned(), uri.to_string());
        let endpoint = match endpoint {
            Some(endpoint) => endpoint,
            None => HttpTarget::parse(&format!("{}/", target.origin()))?,
        };
        Ok(Self { endpoint, queue_url, region, of_aws })
    }
}

fn expected(what: &str) -> String {
    format!("an SQS destination's queue is {what}")
}

/// Under which AWS has its services, by partition.
fn domain(partition: &str) -> Option<&'static str> {
    match partition {
        "aws" | "aws-us-gov" => Some("amazonaws.com"),
        "aws-cn" => Some("amazonaws.com.cn"),
        _ => None,
    }
}

/// The region in the name of one of AWS's own hosts.
fn region_of_host(host: &str) -> Option<&str> {
    let rest = host.strip_prefix("sqs.")?;
    let region = ["aws", "aws-cn"]
        .into_iter()
        .filter_map(domain)
        .find_map(|domain| rest.strip_suffix(domain).and_then(|region| region.strip_suffix('.')));
    region.filter(|region| is_name(region))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(queue: &str, region: &str, endpoint: &str) -> (String, String, String, bool) {
        let target =
            SqsTarget::parse(queue, region, endpoint).unwrap_or_else(|why| panic!("{why}"));
        (target.endpoint.uri().to_string(), target.queue_url, target.region, target.of_aws)
    }

    fn way(
        endpoint: &str,
        url: &str,
        region: &str,
        of_aws: bool,
    ) -> (String, String, String, bool) {
        (endpoint.to_owned(), url.to_owned(), region.to_owned(), of_aws)
    }

    #[test]
    fn what_an_arn_or_url_does_not_say_is_known_or_given() {
        let arn = "arn:aws:sqs:eu-west-1:123456789012:failures";
        let url = "https://sqs.eu-west-1.amazonaws.com/123456789012/failures";
        let aws = "https://sqs.eu-west-1.amazonaws.com/";
        assert_eq!(parse(arn, "", ""), way(aws, url, "eu-west-1", true));
        assert_eq!(parse(url, "", ""), way(aws, url, "eu-west-1", true));
        let chinese = "arn:aws-cn:sqs:cn-north-1:1:q";
        let host = "https://sqs.cn-north-1.amazonaws.com.cn";
        assert_eq!(
            parse(chinese, "", ""),
            way(&format!("{host}/"), &format!("{host}/1/q"), "cn-north-1", true)
        );
        let local = "http://localhost:4566/";
        assert_eq!(
            parse(arn, "us-east-1", "http://localhost:4566"),
            way(local, "http://localhost:4566/123456789012/failures", "us-east-1", false)
        );
        let queue = "http://localhost:4566/000000000000/q";
        assert_eq!(parse(queue, "us-east-1", ""), way(local, queue, "us-east-1", false));
        // Whatever follows AWS's name is somebody's host.
        let other = "https://sqs.eu-west-1.amazonaws.com.evil.example/1/q";
        assert!(!SqsTarget::parse(other, "eu-west-1", "").unwrap().of_aws);
        let plain = "http://sqs.eu-west-1.amazonaws.com/1/q";
        assert!(!SqsTarget::parse(plain, "", "").unwrap().of_aws);
    }

    #[test]
    fn what_is_no_way_to_a_standard_queue_is_refused() {
        let arn = "arn:aws:sqs:eu-west-1:1:q";
        for (queue, region, endpoint, part) in [
            ("q", "", "", "an ARN or https://"),
            ("arn:aws:sqs:eu-west-1:1:q.fifo", "", "", "standard"),
            ("https://sqs.eu-west-1.amazonaws.com/1/q.fifo", "", "", "standard"),
            ("https://sqs.eu-west-1.amazonaws.com/1/", "", "", "1 to 80"),
            ("https://sqs.eu-west-1.amazonaws.com/1/q?a=b", "", "", "without a query"),
            ("http://localhost:4566/1/q", "", "", "region is missing"),
            ("arn:aws-iso:sqs:us-iso-east-1:1:q", "", "", "endpoint_url"),
            (arn, "EU", "", "region is"),
            (arn, "", "localhost:4566", "endpoint_url"),
            (arn, "", "http://k:secret@localhost:4566", "credentials"),
            (arn, "", "http://localhost:4566/?a=b&c=d", "no query"),
        ] {
            let error = SqsTarget::parse(queue, region, endpoint).expect_err(queue);
            assert!(error.contains(part) && !error.contains("secret"), "{queue}: {error}");
        }
    }
}
