// SPDX-License-Identifier: MIT OR Apache-2.0
//! The network of a box. See network_namespaces(7).

use std::fmt;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::str::FromStr;
use std::sync::Arc;

use super::Namespace;

/// Whose network the box uses.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Network {
    /// The caller's.
    Host,
    /// One of its own, with nothing but loopback, which is up.
    Private,
    /// One of its own, which pasta(1) connects to the caller's, without privileges on the host. The box ends
    /// no later for it, and pasta ends with the box.
    Pasta,
    /// One that is there. The caller needs CAP_SYS_ADMIN in the user namespace that it belongs to, and the
    /// box can have no user namespace of its own.
    Join(NetworkNamespace),
}

impl Network {
    /// Whether it is the caller's.
    pub(crate) fn is_callers(&self) -> bool {
        matches!(self, Self::Host)
    }

    /// Whether it is a new one.
    pub(crate) fn is_new(&self) -> bool {
        matches!(self, Self::Private | Self::Pasta)
    }
}

impl From<Namespace> for Network {
    fn from(namespace: Namespace) -> Self {
        match namespace {
            Namespace::Host => Self::Host,
            Namespace::Private => Self::Private,
        }
    }
}

/// A network namespace, open. It lives as long as this handle, whoever else has left it.
///
/// [`open`](Self::open) and [`Entry::network`](crate::Entry::network) give one.
#[derive(Clone, Debug)]
pub struct NetworkNamespace(Arc<OwnedFd>);

impl NetworkNamespace {
    /// A descriptor that is known to be one of a network namespace.
    pub(crate) fn from_checked(fd: OwnedFd) -> Self {
        Self(Arc::new(fd))
    }
}

impl AsFd for NetworkNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What goes through a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// A port of the host that leads to one of the box.
///
/// ```
/// let port: clonebox::Port = "127.0.0.1:8080:80".parse()?;
/// assert_eq!((port.host, port.inside), (8080, 80));
/// # Ok::<(), clonebox::PortParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The address of the host that it is open on; every one when `None`.
    pub address: Option<IpAddr>,
    /// The number on the host, from 1 on.
    pub host: u16,
    /// The number in the box, from 1 on.
    pub inside: u16,
    /// What goes through it.
    pub protocol: Protocol,
}

/// A port that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortParseError;

impl fmt::Display for PortParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected [ADDRESS:]HOST:BOX[/udp], as in 8080:80 or 127.0.0.1:5353:53/udp")
    }
}

impl std::error::Error for PortParseError {}

impl FromStr for Port {
    type Err = PortParseError;

    /// Reads `HOST:BOX`, with `ADDRESS:` before it and `/tcp` or `/udp` behind it. An address of IPv6 stands
    /// in brackets.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (numbers, protocol) = match text.rsplit_once('/') {
            None => (text, Protocol::Tcp),
            Some((numbers, "tcp")) => (numbers, Protocol::Tcp),
            Some((numbers, "udp")) => (numbers, Protocol::Udp),
            Some(_) => return Err(PortParseError),
        };
        let (rest, inside) = numbers.rsplit_once(':').ok_or(PortParseError)?;
        let (address, host) = match rest.rsplit_once(':') {
            None => (None, rest),
            Some((address, host)) => (Some(read_address(address)?), host),
        };
        let number = |digits: &str| {
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.parse().ok().filter(|&number| plain && number > 0);
            number.ok_or(PortParseError)
        };
        Ok(Self {
            address,
            host: number(host)?,
            inside: number(inside)?,
            protocol,
        })
    }
}

fn read_address(text: &str) -> Result<IpAddr, PortParseError> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address: IpAddr = bare.unwrap_or(text).parse().map_err(|_| PortParseError)?;
    // Brackets are what tells the colons of an address from the others.
    if address.is_ipv6() == bare.is_some() {
        Ok(address)
    } else {
        Err(PortParseError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_docker_reads_them() {
        let port = |address: Option<&str>, host, inside, protocol| {
            Ok(Port {
                address: address.map(|address| address.parse().unwrap()),
                host,
                inside,
                protocol,
            })
        };
        for (text, expected) in [
            ("8080:80", port(None, 8080, 80, Protocol::Tcp)),
            ("8080:80/tcp", port(None, 8080, 80, Protocol::Tcp)),
            ("53:53/udp", port(None, 53, 53, Protocol::Udp)),
            (
                "127.0.0.1:1:65535",
                port(Some("127.0.0.1"), 1, 65535, Protocol::Tcp),
            ),
            ("[::1]:8080:80", port(Some("::1"), 8080, 80, Protocol::Tcp)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for wrong in [
            "",
            "80",
            ":80",
            "80:",
            "0:80",
            "80:0",
            "+1:2",
            "65536:1",
            "1:2/sctp",
            "1:2/",
            "a:1:2",
            "::1:8080:80",
            "[127.0.0.1]:1:2",
            "[::1:1:2",
            "1:2:3:4",
            " 1:2",
        ] {
            assert_eq!(wrong.parse::<Port>(), Err(PortParseError), "{wrong}");
        }
    }
}
