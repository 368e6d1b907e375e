//! Networks of addresses, by which a server knows its proxies.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// A list of networks.
#[derive(Clone, Debug)]
pub(crate) struct Networks(Vec<IpNet>);

impl Networks {
    /// Reads networks such as `10.0.0.0/8`, and addresses such as `2001:db8::7`, which are networks of one.
    pub(crate) fn parse<I>(list: I) -> Result<Self, InvalidNetwork>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let network = |text: I::Item| {
            let text = text.as_ref();
            let network = text.parse::<IpNet>();
            let network = network.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| InvalidNetwork {
                value: text.to_owned(),
            })
        };
        list.into_iter()
            .map(network)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(&ip))
    }
}

/// Not a network: `address/length` or an address is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidNetwork {
    value: String,
}

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a network; an address such as 192.0.2.1 or a network such as 10.0.0.0/8 is allowed",
            self.value
        )
    }
}

impl std::error::Error for InvalidNetwork {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_a_network() {
        let networks =
            Networks::parse(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1"]).unwrap();
        let inside = [
            "10.255.0.1",
            "192.0.2.1",
            "2001:db8:1::",
            "::1",
            "::ffff:10.0.0.1",
        ];
        let outside = [
            "11.0.0.1",
            "192.0.2.2",
            "2001:db9::",
            "::2",
            "::",
            "127.0.0.1",
        ];
        for ip in inside {
            assert!(networks.contains(ip.parse().unwrap()), "{ip}");
        }
        for ip in outside {
            assert!(!networks.contains(ip.parse().unwrap()), "{ip}");
        }
        assert!(
            !Networks::parse([""; 0])
                .unwrap()
                .contains([127, 0, 0, 1].into())
        );
    }

    #[test]
    fn what_is_no_network_is_an_error() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "localhost",
            "10.0.0.1:80",
            " 10.0.0.1",
        ] {
            let error = Networks::parse(["::1", text]).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("{text:?} is not a network"))
            );
        }
    }
}
