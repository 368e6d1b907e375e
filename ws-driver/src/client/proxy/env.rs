//! What the environment says of proxies, in the variables that curl and others look at. Is asked only
//! by who asks for it.

use ws_proto::{ClientUrl, ConfigError};

use super::Proxy;

/// Returns the proxy for a URL, by what `var` says of a name.
pub(super) fn proxy_for(
    url: &ClientUrl,
    var: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, ConfigError> {
    let first = |names: &[&str]| {
        let mut values = names.iter().filter_map(|name| var(name));
        values.find(|value| !value.is_empty())
    };
    // HTTP_PROXY is what a web server tells a CGI program of the request's header Proxy.
    let by_scheme = match url.is_secure() {
        true => first(&["https_proxy", "HTTPS_PROXY"]),
        false => first(&["http_proxy"]),
    };
    let proxy = by_scheme.or_else(|| first(&["all_proxy", "ALL_PROXY"]));
    let spared = first(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
    match proxy {
        Some(proxy) if !is_spared(url.host(), &spared) => proxy.parse().map(Some),
        Some(_) | None => Ok(None),
    }
}

/// Tells whether a list has a host, or a domain that it is in.
fn is_spared(host: &str, list: &str) -> bool {
    list.split(',').map(str::trim).any(|entry| {
        let entry = entry.to_ascii_lowercase();
        let entry = entry.strip_prefix('.').unwrap_or(&entry);
        let before = host.strip_suffix(entry);
        entry == "*"
            || !entry.is_empty()
                && before.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variable of the scheme comes before that of all, and no_proxy spares hosts and domains.
    #[test]
    fn the_environment_names_a_proxy() {
        for (vars, url, host) in [
            ("", "ws://a/", ""),
            ("http_proxy=http://p:1", "ws://a/", "p"),
            ("http_proxy=http://p:1", "wss://a/", ""),
            ("HTTP_PROXY=http://p:1", "ws://a/", ""),
            (
                "https_proxy=http://p:1 all_proxy=socks5h://q:1",
                "wss://a/",
                "p",
            ),
            ("HTTPS_PROXY=http://p:1", "wss://a/", "p"),
            ("https_proxy= all_proxy=socks5h://q:1", "wss://a/", "q"),
            ("ALL_PROXY=socks5h://q:1", "ws://a/", "q"),
            ("all_proxy=http://p:1 no_proxy=b,a", "ws://a/", ""),
            ("all_proxy=http://p:1 no_proxy=b,a", "ws://ba/", "p"),
            (
                "all_proxy=http://p:1 no_proxy=.Example.com",
                "ws://x.example.com/",
                "",
            ),
            (
                "all_proxy=http://p:1 NO_PROXY=example.com",
                "ws://x.example.com/",
                "",
            ),
            (
                "all_proxy=http://p:1 no_proxy=example.com",
                "ws://badexample.com/",
                "p",
            ),
            ("all_proxy=http://p:1 no_proxy=*", "ws://a/", ""),
            ("all_proxy=http://p:1 no_proxy=,", "ws://a/", "p"),
        ] {
            let var = |name: &str| {
                let mut vars = vars.split_whitespace();
                vars.find_map(|var| Some(var.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
            };
            let proxy = proxy_for(&url.parse().unwrap(), var).unwrap();
            assert_eq!(
                proxy.as_ref().map_or("", Proxy::host),
                host,
                "{vars}, {url}"
            );
        }
        let nonsense = |name: &str| (name == "all_proxy").then(|| "nonsense".to_owned());
        proxy_for(&"ws://a/".parse().unwrap(), nonsense).unwrap_err();
    }
}
