#!/usr/bin/env bash
# The page for Prometheus, read by promtool: metrics.sh URL
set -euo pipefail

url=$1

# check NAME COMMAND…: prints whether the command succeeds, and what it says if it does not.
check() {
    local name=$1 said
    shift
    if said=$("$@" 2>&1); then
        echo "ok - metrics: $name"
    else
        echo "not ok - metrics: $name: ${said//$'\n'/; }"
        return 1
    fi
}

scrape() { curl --silent --show-error --fail --noproxy '*' --max-time 10 "$@" "${url}metrics"; }
lint() { scrape | promtool check metrics; }
has_media_type() { scrape --output /dev/null --write-out '%{content_type}' | grep -qx 'text/plain; version=0.0.4.*'; }

status=0
check 'promtool has nothing to complain of' lint || status=1
check 'the media type names the form' has_media_type || status=1
exit "$status"
