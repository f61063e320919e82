//! Hosts as they are granted and as they are asked.
//!
//! A grant names a host and, where it is not the usual one, a port. What is asked is read from
//! the URL's authority alone: the `Host` header is the HTTP client's to write, and a plugin's is
//! dropped. A name matches itself and nothing below it.

use std::fmt;
use std::net::Ipv6Addr;

use super::PolicyFault;

/// A name or an address, with its port where that is not 443 (80 for `http:`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host {
    /// In lower case; an address of version 6 without its brackets.
    name: String,
    /// The port that was written.
    port: Option<u16>,
}

/// The address of a request, as far as it is decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Whom it goes to.
    pub(crate) host: Host,
    /// Whether it is encrypted.
    pub(crate) https: bool,
}

impl Host {
    /// Reads a host with or without a port.
    pub(crate) fn read(text: &str, at: &[&str]) -> Result<Self, PolicyFault> {
        let host = Self::parse(text).ok_or_else(|| {
            let message = format!("`host`: `{text}` is no host");
            PolicyFault::new(at, message)
                .hint("e.g. `api.example.com`, or with a port: `10.0.0.7:8080`")
        })?;
        Ok(host)
    }

    fn parse(text: &str) -> Option<Self> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (name, rest) = rest.split_once(']')?;
                name.parse::<Ipv6Addr>().ok()?;
                (name, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some(""))?)
            }
            None => text.split_once(':').unwrap_or((text, "")),
        };
        let port = match (port, text.ends_with(':')) {
            ("", false) => None,
            (port, _) => Some(port.parse().ok()?),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':' | b'_');
        if name.is_empty() || name.len() > 253 || !name.bytes().all(plain) {
            return None;
        }
        // `example.com.` is `example.com`, by another spelling.
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        Some(Self { name, port })
    }

    /// Whether a request to `target` is one to this host.
    pub(crate) fn covers(&self, target: &Target) -> bool {
        let usual = if target.https { 443 } else { 80 };
        self.name == target.host.name
            && self.port.unwrap_or(usual) == target.host.port.unwrap_or(usual)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.contains(':') {
            true => write!(f, "[{}]", self.name)?,
            false => f.write_str(&self.name)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Target {
    /// Reads the authority of a URL; none where it has none, or one that two readers could take
    /// for two hosts.
    pub(crate) fn of(url: &str) -> Option<Self> {
        let lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
        let https = lower.starts_with("https://");
        if !https && !lower.starts_with("http://") {
            return None;
        }
        let rest = &url[if https { 8 } else { 7 }..];
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = &rest[..end];
        // User names (`granted.com@other.com`) and backslashes are read in several ways.
        if authority.contains(['@', '\\', '%']) || url.contains('\\') || !url.is_ascii() {
            return None;
        }
        Some(Self { host: Host::parse(authority)?, https })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        Host::read(text, &[]).unwrap()
    }

    #[test]
    fn a_host_covers_itself_and_nothing_that_looks_like_it() {
        let granted = host("api.example.com");
        for (url, covered) in [
            ("https://api.example.com/v1?a=b", true),
            ("HTTPS://API.EXAMPLE.COM", true),
            ("https://api.example.com:443/", true),
            ("http://api.example.com/", true),
            ("https://api.example.com./", true),
            ("https://api.example.com:8443/", false),
            ("https://example.com/", false),
            ("https://x.api.example.com/", false),
            ("https://api.example.com.evil.org/", false),
            ("https://evil.org/api.example.com", false),
            ("https://evil.org?api.example.com", false),
        ] {
            let target = Target::of(url).unwrap();
            assert_eq!(granted.covers(&target), covered, "{url}");
        }
    }

    #[test]
    fn a_url_that_two_readers_could_take_for_two_hosts_names_none() {
        for url in [
            "https://api.example.com@evil.org/",
            "https://evil.org\\@api.example.com/",
            "https://api.example.com%2eevil.org/",
            "ftp://api.example.com/",
            "//api.example.com/",
            "api.example.com",
            "https:///path",
            "https://exämple.com/",
            "https://[::1/",
            "https://host:99999/",
        ] {
            assert_eq!(Target::of(url), None, "{url}");
        }
    }

    #[test]
    fn addresses_of_version_6_keep_their_brackets() {
        assert_eq!(host("[::1]:8080").to_string(), "[::1]:8080");
        assert!(host("[::1]:8080").covers(&Target::of("http://[::1]:8080/").unwrap()));
    }
}
