#!/usr/bin/env bash
# Our client through other people's proxies: tinyproxy (HTTP CONNECT), stunnel in front of it (the same inside of TLS)
# and microsocks (SOCKS5), each with and without a user and a password, to the echo server with and without TLS.
#
#   run.sh CLIENT ECHO_URL SECURE_URL ROOT_PEM KEY_PEM
set -euo pipefail

client=$1 echo_url=$2 secure_url=$3 root=$4 key=$5
failed=0
folder=$(mktemp -d)
proxies=()
trap 'kill "${proxies[@]}" 2>/dev/null || true; rm -rf "$folder"' EXIT

# A port that was free just now.
free_port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# start PORT COMMAND…: runs a proxy in the background, waits until it listens.
start() {
    local port=$1
    shift
    setpriv --pdeathsig KILL "$@" >>"$folder/log" 2>&1 </dev/null &
    proxies+=("$!")
    for ((tick = 0; tick < 200; tick++)); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return
        sleep 0.05
    done
    echo "no proxy listens on $port" >&2
    exit 1
}

# tinyproxy_at PORT LINE…: tinyproxy with these lines in its configuration.
tinyproxy_at() {
    local port=$1
    shift
    printf '%s\n' "Port $port" 'Listen 127.0.0.1' 'Timeout 30' 'MaxClients 20' 'Allow 127.0.0.1' "$@" >"$folder/$port"
    start "$port" tinyproxy -d -c "$folder/$port"
}

# stunnel_at PORT PROXY LINE…: what comes inside of TLS goes to a proxy's port; the lines are the service's.
stunnel_at() {
    local port=$1 proxy=$2
    shift 2
    printf '%s\n' 'foreground = yes' 'pid =' '[proxy]' "accept = 127.0.0.1:$port" "connect = 127.0.0.1:$proxy" \
        "cert = $root" "key = $key" "$@" >"$folder/$port"
    start "$port" stunnel "$folder/$port"
}

# check NAME COMMAND…: the command says on its standard output why it fails.
check() {
    local name=$1 why
    shift
    if why=$("$@" 2>&1); then
        echo "ok - proxy: $name"
    else
        echo "not ok - proxy: $name: ${why//$'\n'/ }"
        failed=1
    fi
}

# echoes PROXY URL: what goes through comes back.
echoes() {
    local got
    got=$(printf 'hello\n%0.s' {1..50} | timeout 10 "$client" "$2" --ca "$root" --proxy "$1" 2>"$folder/err") ||
        { cat "$folder/err"; return 1; }
    [[ $(grep -c '^hello$' <<<"$got") == 50 ]] || { echo "got $got"; return 1; }
}

# refused PROXY TEXT: the proxy refuses, and the error says so.
refused() {
    local status=0
    timeout 10 "$client" "$echo_url" --proxy "$1" </dev/null >"$folder/out" 2>"$folder/err" || status=$?
    [[ $status == 1 ]] || { echo "ended with $status"; return 1; }
    grep -q "$2" "$folder/err" || { cat "$folder/err"; return 1; }
}

http=$(free_port); tinyproxy_at "$http"
http_login=$(free_port); tinyproxy_at "$http_login" 'BasicAuth me secret'
http_closed=$(free_port); tinyproxy_at "$http_closed" 'ConnectPort 1'
tls=$(free_port); stunnel_at "$tls" "$http"
tls_login=$(free_port); stunnel_at "$tls_login" "$http_login"
tls_12=$(free_port); stunnel_at "$tls_12" "$http" 'sslVersionMax = TLSv1.2'
socks=$(free_port); start "$socks" microsocks -i 127.0.0.1 -p "$socks"
socks_login=$(free_port); start "$socks_login" microsocks -i 127.0.0.1 -p "$socks_login" -u me -P secret

# By name: the proxy looks it up.
echo_url=${echo_url/127.0.0.1/localhost}
secure_url=${secure_url/127.0.0.1/localhost}
for url in "$echo_url" "$secure_url"; do
    check "HTTP CONNECT, ${url%%:*}" echoes "http://127.0.0.1:$http" "$url"
    check "HTTP CONNECT with a login, ${url%%:*}" echoes "http://me:secret@127.0.0.1:$http_login" "$url"
    check "HTTP CONNECT inside of TLS, ${url%%:*}" echoes "https://localhost:$tls" "$url"
    check "HTTP CONNECT inside of TLS 1.2, ${url%%:*}" echoes "https://127.0.0.1:$tls_12" "$url"
    check "HTTP CONNECT inside of TLS with a login, ${url%%:*}" echoes "https://me:secret@127.0.0.1:$tls_login" "$url"
    check "SOCKS5, ${url%%:*}" echoes "socks5h://127.0.0.1:$socks" "$url"
    check "SOCKS5 with a login, ${url%%:*}" echoes "socks5h://me:secret@127.0.0.1:$socks_login" "$url"
done
check 'HTTP CONNECT without the login' refused "http://127.0.0.1:$http_login" '407\|401'
check 'HTTP CONNECT to a port that the proxy does not allow' refused "http://127.0.0.1:$http_closed" '403'
check 'a proxy inside of TLS that nobody knows' refused "https://127.0.0.1:$tls" 'TLS with the proxy failed: .* self-signed'
check 'a proxy that speaks nothing but TLS' refused "http://127.0.0.1:$tls" 'cannot open a tunnel to the server'
check 'SOCKS5 without the login' refused "socks5h://127.0.0.1:$socks_login" 'requires a user and password'
check 'SOCKS5 with another password' refused "socks5h://me:wrong@127.0.0.1:$socks_login" 'other credentials'

exit "$failed"
