#!/usr/bin/env bash
# Plain HTTP on the ports that speak WebSocket, with curl.
#
#   run.sh chat CHAT_URL PAGE_FOLDER   the page of the chat
#   run.sh echo ECHO_URL               a server that has nothing to say over HTTP
#   run.sh secure ECHO_URL             the same over TLS
set -euo pipefail

suite=$1
url=${2/#ws/http}
page=${3:-}
failed=0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# --noproxy: nothing in the environment may send us anywhere but to the server under test.
fetch() { curl --silent --show-error --max-time 10 --noproxy '*' "$@"; }

# check NAME COMMAND…: the command says on its standard output why it fails.
check() {
    local name=$1 why
    shift
    if why=$("$@" 2>&1); then
        echo "ok - curl: $name"
    else
        echo "not ok - curl: $name: ${why//$'\n'/ }"
        failed=1
    fi
}

# served PATH FILE TYPE: 200 with this media type, and the bytes of the file.
served() {
    local got
    got=$(fetch -o "$folder/body" -w '%{http_code} %{content_type}' "$url${1#/}")
    case $got in
        "200 $3"*) ;;
        *) echo "got $got"; return 1 ;;
    esac
    cmp "$folder/body" "$page/$2"
}

unknown_path() {
    local got
    got=$(fetch -o "$folder/body" -w '%{http_code}' "${url}no/such/page")
    [[ $got == 404 ]] || { echo "got $got"; return 1; }
}

# A request that asks for no upgrade is answered in a way that a human can read and a client can act on.
upgrade_required() {
    local got
    got=$(fetch -D "$folder/head" -o "$folder/body" -w '%{http_code} %{content_type}' "$url")
    [[ $got == "426 text/plain"* ]] || { echo "got $got"; return 1; }
    grep -qiE '^Upgrade: *websocket' "$folder/head" || { echo "no Upgrade header"; return 1; }
    grep -qiE '^Connection:.*upgrade' "$folder/head" || { echo "no Connection: Upgrade header"; return 1; }
    grep -qiE '^Sec-WebSocket-Version:.*13' "$folder/head" || { echo "no Sec-WebSocket-Version header"; return 1; }
    grep -q '[[:alpha:]]' "$folder/body" || { echo "the body says nothing"; return 1; }
}

# Who forgets TLS is told so, in HTTP.
without_tls() {
    local got
    got=$(fetch -o "$folder/body" -w '%{http_code} %{content_type}' "${url/#https:/http:}")
    [[ $got == "400 text/plain"* ]] || { echo "got $got"; return 1; }
    grep -q 'wss://' "$folder/body" || { echo "the body does not say wss"; return 1; }
}

# Without the root the certificate is not trusted, so it is not some other server that answers.
not_trusted() {
    local status=0
    CURL_CA_BUNDLE=/dev/null fetch -o "$folder/body" "$url" 2>/dev/null || status=$?
    # 60: not trusted; 77: no roots.
    [[ $status == 60 || $status == 77 ]] || { echo "ended with $status"; return 1; }
}

# One and the other version of TLS, and none before.
tls_version() {
    local got
    got=$(fetch --tls-max "$1" --tlsv"$1" -o "$folder/body" -w '%{http_code}' "$url") || got="status $?"
    [[ $got == "$2" ]] || { echo "got $got"; return 1; }
}

# num_connects counts the connections that a transfer had to open: the second one has to open none.
kept_alive() {
    local got
    got=$(fetch -o "$folder/body" -o "$folder/body" -w '%{num_connects} ' "${url}style.css" "${url}chat.js")
    [[ $got == "1 0 " ]] || { echo "connections opened per request: $got"; return 1; }
}

case $suite in
    chat)
        check 'the chat page' served / index.html text/html
        check 'the chat page with a query' served '/?name=Ana' index.html text/html
        check 'its style' served /style.css style.css text/css
        check 'its script' served /chat.js chat.js text/javascript
        check 'the script of its log' served /log.js log.js text/javascript
        check 'an unknown path gets 404' unknown_path
        check 'two requests over one kept-alive connection' kept_alive
        ;;
    echo) check 'plain HTTP to the echo server gets a readable 426, R-H5' upgrade_required ;;
    secure)
        check 'plain HTTP inside of TLS gets a readable 426, R-H5' upgrade_required
        check 'HTTP without TLS gets a readable 400' without_tls
        check 'a certificate that nobody knows is not trusted' not_trusted
        check 'TLS 1.3' tls_version 1.3 426
        check 'TLS 1.2' tls_version 1.2 426
        ;;
    *) echo "no such suite: $suite" >&2; exit 2 ;;
esac

exit "$failed"
