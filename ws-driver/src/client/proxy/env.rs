//! The proxy that the environment names, in the variables that curl and others use. Read only by
//! [`Proxy::from_env`].

use ws_proto::{ClientUrl, ConfigError};

use super::Proxy;

/// Returns the proxy for a URL. `var` looks up a variable.
pub(super) fn proxy_for(
    url: &ClientUrl,
    var: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, ConfigError> {
    let first = |names: &[&str]| {
        let mut values = names.iter().filter_map(|name| var(name));
        values.find(|value| !value.is_empty())
    };
    let by_scheme = if url.is_secure() {
        first(&["https_proxy", "HTTPS_PROXY"])
    } else {
        // Not HTTP_PROXY: a web server passes the header `Proxy` of a request to a CGI program in that variable, so a
        // stranger could set it.
        first(&["http_proxy"])
    };
    let proxy = by_scheme.or_else(|| first(&["all_proxy", "ALL_PROXY"]));
    let exempt = first(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
    match proxy {
        Some(proxy) if !is_exempt(url.host(), &exempt) => proxy.parse().map(Some),
        Some(_) | None => Ok(None),
    }
}

/// Returns whether a list contains a host, or a domain above it.
fn is_exempt(host: &str, list: &str) -> bool {
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

    /// The variable of the scheme precedes `all_proxy`, and `no_proxy` exempts hosts and domains.
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
