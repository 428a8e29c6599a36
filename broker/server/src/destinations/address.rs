//! Which addresses are internal: what a destination may not reach unless the operator allows it
//! (S12). Pure; it knows numbers, no names and no policy.
//!
//! The list is one of refusals and errs on their side. Private networks are in it: a function's owner
//! writes the URL, and what listens on a private network without asking who calls is exactly what
//! such a URL would be aimed at.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What makes an address internal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Internal {
    /// This machine.
    Loopback,
    /// "This host", "this network": connecting to it reaches this machine.
    Unspecified,
    /// Private, unique-local, site-local, shared (carrier) or benchmarking networks.
    Private,
    /// The attached network only.
    LinkLocal,
    /// Where clouds answer questions about the machine that asks, keys included.
    Metadata,
    /// Many machines.
    Multicast,
    /// No host has it; reserved, broadcast, or a tunnel whose far end cannot be judged.
    Reserved,
}

impl Internal {
    /// What makes `address` internal; `None` if it is an address of the public Internet.
    #[must_use]
    pub(super) fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Option<Self> {
        // Metadata addresses outside the ranges below are in the middle of public or shared space.
        Some(match address.octets() {
            [169, 254, 169, 254] | [169, 254, 170, 2] => Self::Metadata, // the common one; ECS tasks
            [100, 100, 100, 200] | [192, 0, 0, 192] => Self::Metadata,   // Alibaba; Oracle
            [168, 63, 129, 16] => Self::Metadata,                        // Azure
            [127, ..] => Self::Loopback,
            [0, ..] => Self::Unspecified,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Self::Private,
            [100, 64..=127, ..] | [198, 18..=19, ..] => Self::Private,
            [169, 254, ..] => Self::LinkLocal,
            [192, 0, 0, _] => Self::Reserved,
            [224..=239, ..] => Self::Multicast,
            [240..=255, ..] => Self::Reserved,
            _ => return None,
        })
    }

    fn of_v6(address: Ipv6Addr) -> Option<Self> {
        let segments = address.segments();
        Some(match segments {
            [0, 0, 0, 0, 0, 0, 0, 0] => Self::Unspecified,
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            // IPv4 in other clothes: compatible, mapped, translated, NAT64.
            [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
            | [0, 0, 0, 0, 0xffff, 0, high, low]
            | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => return Self::of_v4(embedded(high, low)),
            // 6to4 carries the IPv4 address of the router it goes through.
            [0x2002, high, low, ..] => return Self::of_v4(embedded(high, low)),
            // NAT64 with a prefix of the local network, and Teredo.
            [0x64, 0xff9b, 1, ..] | [0x2001, 0, ..] => Self::Reserved,
            [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Self::Metadata, // AWS
            [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => Self::Metadata,  // Google
            [first, ..] => match first {
                0xfc00..=0xfdff | 0xfec0..=0xfeff => Self::Private,
                0xfe80..=0xfebf => Self::LinkLocal,
                0xff00..=0xffff => Self::Multicast,
                // Global unicast is 2000::/3; nothing else is routed.
                0x2000..=0x3fff => return None,
                _ => Self::Reserved,
            },
        })
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

impl fmt::Display for Internal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::Unspecified => "the unspecified address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud metadata address",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Internal> {
        Internal::of(text.parse().unwrap_or_else(|_| panic!("{text}")))
    }

    #[test]
    fn internal_addresses_are_known_at_both_ends_of_their_ranges() {
        use Internal::*;
        for (text, expected) in [
            ("127.0.0.1", Loopback),
            ("127.255.255.255", Loopback),
            ("0.0.0.0", Unspecified),
            ("0.255.255.255", Unspecified),
            ("10.0.0.0", Private),
            ("10.255.255.255", Private),
            ("172.16.0.0", Private),
            ("172.31.255.255", Private),
            ("192.168.0.1", Private),
            ("100.64.0.0", Private),
            ("100.127.255.255", Private),
            ("198.18.0.1", Private),
            ("198.19.255.255", Private),
            ("169.254.0.1", LinkLocal),
            ("169.254.169.254", Metadata),
            ("169.254.170.2", Metadata),
            ("100.100.100.200", Metadata),
            ("192.0.0.192", Metadata),
            ("168.63.129.16", Metadata),
            ("192.0.0.8", Reserved),
            ("224.0.0.1", Multicast),
            ("239.255.255.255", Multicast),
            ("240.0.0.1", Reserved),
            ("255.255.255.255", Reserved),
            ("::", Unspecified),
            ("::1", Loopback),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("fec0::1", Private),
            ("fc00::", Private),
            ("fdff:ffff::1", Private),
            ("fd00:ec2::254", Metadata),
            ("fd20:ce::254", Metadata),
            ("ff02::1", Multicast),
            ("64:ff9b:1::7f00:1", Reserved),
            ("2001::1", Reserved),
            ("100::1", Reserved),
            ("4000::1", Reserved),
        ] {
            assert_eq!(of(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn an_ipv4_address_is_known_in_every_ipv6_form() {
        for (text, expected) in
            [("127.0.0.1", "7f00:1"), ("169.254.169.254", "a9fe:a9fe"), ("8.8.8.8", "808:808")]
        {
            let plain = of(text);
            for form in [
                format!("::ffff:{text}"),
                format!("::ffff:{expected}"),
                format!("::{expected}"),
                format!("::ffff:0:{expected}"),
                format!("64:ff9b::{text}"),
                format!("2002:{expected}::1"),
            ] {
                assert_eq!(of(&form), plain, "{form}");
            }
        }
    }

    #[test]
    fn the_public_internet_begins_beside_the_ranges() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "3fff::1",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
