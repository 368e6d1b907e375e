"""What the servers in Python share. What they have to do is written in servers.py."""

import argparse
import asyncio
import hashlib
import json
import ssl
import sys
from urllib.parse import parse_qs, urlsplit

REFUSAL = "you may not\n"
REFUSAL_HEADERS = {"WWW-Authenticate": 'Basic realm="here"', "X-Reason": "none"}
SUBPROTOCOLS = ["chat.v2", "chat.v1"]


class Report:
    """What a server saw of one connection."""

    def __init__(self, path, headers):
        self.seen = {"path": path, "messages": [], "pongs": [], "closed": None, "extensions": None}
        # By their names in lower case.
        self.seen["headers"] = {name.lower(): value for name, value in headers}
        query = parse_qs(urlsplit(path).query)
        self.what = urlsplit(path).path.strip("/")
        self.query = {name: values[0] for name, values in query.items()}

    def message(self, message):
        kind, payload = ("text", message.encode()) if isinstance(message, str) else ("binary", message)
        self.seen["messages"].append([kind, len(payload), hashlib.sha1(payload).hexdigest()])

    def pong(self, payload):
        self.seen["pongs"].append(payload.hex())

    def close(self, code, reason):
        self.seen["closed"] = [code, reason]

    def print(self):
        print(json.dumps(self.seen), flush=True)


def options():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--cert", required=True, metavar="FILE")
    parser.add_argument("--key", required=True, metavar="FILE")
    return parser.parse_args()


def tls(options, version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(options.cert, options.key)
    return context


def tls_setups(options):
    return {"tls12": tls(options, ssl.TLSVersion.TLSv1_2), "tls13": tls(options, ssl.TLSVersion.TLSv1_3)}


async def until_input_ends(ports):
    """Says where the server listens, and waits for the end of whoever started it."""
    print(json.dumps(ports), flush=True)
    await asyncio.to_thread(sys.stdin.read)
