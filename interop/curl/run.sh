#!/usr/bin/env bash
# Plain HTTP on the ports that speak WebSocket, with curl: run.sh ECHO_URL CHAT_URL PAGE_FOLDER
set -euo pipefail

echo_url=${1/#ws:/http:}
chat_url=$2
page=$3
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
    got=$(fetch -o "$folder/body" -w '%{http_code} %{content_type}' "$chat_url${1#/}")
    case $got in
        "200 $3"*) ;;
        *) echo "got $got"; return 1 ;;
    esac
    cmp "$folder/body" "$page/$2"
}

unknown_path() {
    local got
    got=$(fetch -o "$folder/body" -w '%{http_code}' "${chat_url}no/such/page")
    [[ $got == 404 ]] || { echo "got $got"; return 1; }
}

# A request that asks for no upgrade is answered in a way that a human can read and a client can act on.
upgrade_required() {
    local got
    got=$(fetch -D "$folder/head" -o "$folder/body" -w '%{http_code} %{content_type}' "$echo_url")
    [[ $got == "426 text/plain"* ]] || { echo "got $got"; return 1; }
    grep -qiE '^Upgrade: *websocket' "$folder/head" || { echo "no Upgrade header"; return 1; }
    grep -qiE '^Connection:.*upgrade' "$folder/head" || { echo "no Connection: Upgrade header"; return 1; }
    grep -qiE '^Sec-WebSocket-Version:.*13' "$folder/head" || { echo "no Sec-WebSocket-Version header"; return 1; }
    grep -q '[[:alpha:]]' "$folder/body" || { echo "the body says nothing"; return 1; }
}

# num_connects counts the connections that a transfer had to open: the second one has to open none.
kept_alive() {
    local got
    got=$(fetch -o "$folder/body" -o "$folder/body" -w '%{num_connects} ' "${chat_url}style.css" "${chat_url}chat.js")
    [[ $got == "1 0 " ]] || { echo "connections opened per request: $got"; return 1; }
}

check 'the chat page' served / index.html text/html
check 'the chat page with a query' served '/?name=Ana' index.html text/html
check 'its style' served /style.css style.css text/css
check 'its script' served /chat.js chat.js text/javascript
check 'an unknown path gets 404' unknown_path
check 'two requests over one kept-alive connection' kept_alive
check 'plain HTTP to the echo server gets a readable 426, R-H5' upgrade_required

exit "$failed"
