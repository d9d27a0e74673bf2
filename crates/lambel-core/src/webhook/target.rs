//! Which URLs can be told of events.

use std::net::IpAddr;

use url::{Host, Url};

use super::address::not_public;
use crate::limits;

/// Ports of a target: that of HTTPS, and its usual second.
const PORTS: [u16; 2] = [443, 8443];

/// What else is let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetRules {
    /// Plain HTTP to this very machine, at any port: for the local cloud and for tests. On AWS a function's own
    /// machine is nobody else's business.
    pub loopback: bool,
}

/// Why a URL cannot be a target. The words fit behind "url:".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is too long.
    #[error("it has {} characters at most", limits::WEBHOOK_URL_CHARS)]
    TooLong,
    /// It is none.
    #[error("this is not a URL: {0}")]
    NoUrl(String),
    /// It is not `https`.
    #[error("it has to begin with https://")]
    Scheme,
    /// It has a user name, or a password.
    #[error("it must have neither a user name nor a password")]
    Credentials,
    /// It has a fragment, which is never sent.
    #[error("it must have no `#`")]
    Fragment,
    /// Another port.
    #[error("the port has to be 443 or 8443")]
    Port,
    /// A name that is not one of the internet.
    #[error("`{0}` is not a name of the internet")]
    Name(String),
    /// An address that is not one of the internet.
    #[error("{0} is not an address of the internet: it is {1}")]
    Address(IpAddr, &'static str),
}

impl TargetRules {
    /// Reads a URL that can be a target. Where it names a host by its address, that is checked here; a name is looked
    /// up, and what it stands for checked, by whoever connects.
    pub fn parse(self, text: &str) -> Result<Url, TargetError> {
        if text.chars().count() > limits::WEBHOOK_URL_CHARS {
            return Err(TargetError::TooLong);
        }
        let url = Url::parse(text).map_err(|error| TargetError::NoUrl(error.to_string()))?;
        let here = self.loopback && is_loopback(&url);
        match url.scheme() {
            "https" => {}
            "http" if here => {}
            _ => return Err(TargetError::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(TargetError::Fragment);
        }
        if here {
            return Ok(url);
        }
        if !url.port_or_known_default().is_some_and(|port| PORTS.contains(&port)) {
            return Err(TargetError::Port);
        }
        match url.host() {
            None => return Err(TargetError::NoUrl("it names no host".to_owned())),
            Some(Host::Domain(name)) => check_name(name)?,
            Some(Host::Ipv4(address)) => self.check(address.into())?,
            Some(Host::Ipv6(address)) => self.check(address.into())?,
        }
        Ok(url)
    }

    /// Whether an address that a name stands for may be connected to.
    pub fn check(self, address: IpAddr) -> Result<(), TargetError> {
        match not_public(address) {
            Some(_) if self.loopback && address.is_loopback() => Ok(()),
            Some(what) => Err(TargetError::Address(address, what)),
            None => Ok(()),
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        _ => false,
    }
}

/// Names that never are anything on the internet: of one word, and of the domains that RFC 6761, RFC 6762, RFC 8375
/// and ICANN keep for other things.
fn check_name(name: &str) -> Result<(), TargetError> {
    let bare = name.strip_suffix('.').unwrap_or(name);
    let last = bare.rsplit('.').next().unwrap_or_default();
    let reserved = ["localhost", "local", "internal", "arpa", "test", "invalid", "example", "onion", "alt"];
    if !bare.contains('.') || reserved.contains(&last) {
        return Err(TargetError::Name(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: TargetRules = TargetRules { loopback: false };
    const LOCAL: TargetRules = TargetRules { loopback: true };

    #[test]
    fn targets_are_on_the_internet_and_encrypted() {
        for good in [
            "https://hooks.example.org/lambel?key=1",
            "https://hooks.example.org:443",
            "https://hooks.example.org:8443/",
            "https://93.184.215.14/",
            "https://[2606:4700:4700::1111]/",
            "HTTPS://Bücher.example.org/ü",
        ] {
            assert!(STRICT.parse(good).is_ok(), "{good}");
        }
        let long = format!("https://a.org/{}", "x".repeat(limits::WEBHOOK_URL_CHARS));
        for (bad, why) in [
            ("", "not a URL"),
            ("hooks.example.org", "not a URL"),
            ("https://", "not a URL"),
            ("http://hooks.example.org/", "https://"),
            ("ftp://hooks.example.org/", "https://"),
            ("file:///etc/passwd", "https://"),
            ("javascript:alert(1)", "https://"),
            ("gopher://127.0.0.1:25/", "https://"),
            ("http://127.0.0.1/", "https://"),
            ("https://user@hooks.example.org/", "user name"),
            ("https://:secret@hooks.example.org/", "user name"),
            ("https://hooks.example.org/#a", "`#`"),
            ("https://hooks.example.org:22/", "port"),
            ("https://hooks.example.org:80/", "port"),
            ("https://localhost/", "name of the internet"),
            ("https://LOCALHOST./", "name of the internet"),
            ("https://a.localhost/", "name of the internet"),
            ("https://printer.local/", "name of the internet"),
            ("https://metadata.google.internal/", "name of the internet"),
            ("https://intranet/", "name of the internet"),
            ("https://127.0.0.1/", "loopback"),
            ("https://127.1/", "loopback"),
            ("https://2130706433/", "loopback"),
            ("https://0x7f000001/", "loopback"),
            ("https://0177.0.0.1/", "loopback"),
            ("https://%31%32%37.0.0.1/", "loopback"),
            ("https://①②⑦.0.0.1/", "loopback"),
            ("https://0/", "this network"),
            ("https://169.254.169.254/latest/meta-data/", "link-local"),
            ("https://10.1.2.3/", "private"),
            ("https://[::1]/", "loopback"),
            ("https://[::]/", "unspecified"),
            ("https://[::ffff:169.254.169.254]/", "disguise"),
            ("https://[64:ff9b::7f00:1]/", "translated"),
            ("https://[fd00:ec2::254]/", "unique local"),
            (&long, "2048"),
        ] {
            let error = STRICT.parse(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn only_where_it_is_asked_for_this_machine_is_a_target() {
        for here in ["http://127.0.0.1:8080/hook", "https://127.0.0.1:9443/", "http://[::1]:1/"] {
            assert!(STRICT.parse(here).is_err() && LOCAL.parse(here).is_ok(), "{here}");
        }
        for elsewhere in
            ["http://10.0.0.1/", "http://169.254.169.254/", "http://hooks.example.org/", "http://localhost:1/"]
        {
            assert_eq!(LOCAL.parse(elsewhere), Err(TargetError::Scheme), "{elsewhere}");
        }
        assert!(LOCAL.parse("https://10.0.0.1/").is_err());
        assert!(LOCAL.check("127.0.0.1".parse().unwrap()).is_ok());
        assert!(LOCAL.check("10.0.0.1".parse().unwrap()).is_err());
        assert!(STRICT.check("127.0.0.1".parse().unwrap()).is_err());
    }
}
