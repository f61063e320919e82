//! Where Ollama is, in the forms that its own variable may have.
//!
//! `OLLAMA_HOST` is written for the server as for its clients: a host, a port, both, with or
//! without a scheme. Where a scheme is given its own port is meant, else Ollama's. A server
//! that listens everywhere is asked on this machine.

/// Ollama's port.
const PORT: u16 = 11434;

/// The address with its scheme and port.
pub(crate) fn full(text: &str) -> String {
    let text = text.trim().trim_matches(['"', '\'']);
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, text),
    };
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (rest, String::new()),
    };
    let (host, port) = host_and_port(authority);
    let host = match host {
        "" | "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" | "[::]" => "[::1]".to_owned(),
        bare if bare.contains(':') && !bare.starts_with('[') => format!("[{bare}]"),
        host => host.to_owned(),
    };
    let port = match (scheme, port) {
        (_, Some(port)) => format!(":{port}"),
        (Some(_), None) => String::new(),
        (None, None) => format!(":{PORT}"),
    };
    format!("{}://{host}{port}{path}", scheme.unwrap_or("http"))
}

/// The host, and the port where there is one. Colons may be the host's own.
fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    if let Some(end) = authority.rfind(']') {
        let (host, rest) = authority.split_at(end + 1);
        return (host, rest.strip_prefix(':').filter(|port| !port.is_empty()));
    }
    match authority.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port).filter(|p| !p.is_empty())),
        Some(_) | None => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_understood() {
        for (text, address) in [
            ("", "http://127.0.0.1:11434"),
            ("0.0.0.0", "http://127.0.0.1:11434"),
            ("0.0.0.0:8080", "http://127.0.0.1:8080"),
            ("http://0.0.0.0:11434", "http://127.0.0.1:11434"),
            (":8080", "http://127.0.0.1:8080"),
            ("gpu-1", "http://gpu-1:11434"),
            ("gpu-1:8080", "http://gpu-1:8080"),
            ("gpu-1:8080/", "http://gpu-1:8080/"),
            ("gpu-1/ollama", "http://gpu-1:11434/ollama"),
            ("http://gpu-1", "http://gpu-1"),
            ("https://ollama.com", "https://ollama.com"),
            ("https://gpu-1:8443/x", "https://gpu-1:8443/x"),
            ("::1", "http://[::1]:11434"),
            ("[::1]", "http://[::1]:11434"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("[::]:8080", "http://[::1]:8080"),
            (" \"gpu-1\" ", "http://gpu-1:11434"),
        ] {
            assert_eq!(full(text), address, "{text}");
        }
    }
}
