"""Our client against servers that other people wrote: `websockets` and aiohttp (PyPI), `ws` (npm), and
libprotocol-websocket-perl (Debian) for the drafts.

    servers.py --client PROGRAM --runtime NAME --cert FILE --key FILE

PROGRAM is the example scripted-client. Each server is a program of its own: serve_websockets.py, serve_aiohttp.py,
../node/server.mjs and ../perl/server.pl. It listens on a port for each of its setups, and prints a line of JSON that
names them:

    plain     without compression and TLS
    deflate   compresses as the library does by itself
    frugal    compresses with no contexts and windows of 9 bits
    tls12     speaks this version of TLS only, and compresses if it is asked to
    tls13     the same

The path says what it does before it sends everything back: `fragments`, `pings` (waits for each pong), `close` (with
a code and a reason), `farewell` (100 messages and a close at once), `flood` (100 messages of 64 KiB), `cut` (the stream
without a close), `large` (a message of this size, or as many fragments of it). `refuse` and `moved` are no WebSockets.
When a connection has ended the server prints a line of JSON with what it saw: the headers, each message, the close. So
the checks compare what both sides saw; the query `n` tells which line is about which connection. It ends with its
standard input.
"""

import argparse
import asyncio
import itertools
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

from both_sides import (
    PATIENCE,
    Server,
    binary_of,
    counting,
    echoes,
    ended,
    no_connection,
    noise,
    same,
    same_messages,
    send,
    text_of,
)
from checks import check, run

HERE = Path(__file__).parent
MIB = 1 << 20
SIZES = (0, 125, 126, 65_535, 65_536, MIB)
MIXED = "aé€👋🏽 你好 \u0000\u007f\ufeff"
TEXTS = {
    "no text": "",
    "ASCII": "hello",
    "mixed UTF-8": MIXED,
    # Whoever breaks a message after a thousand bytes or so breaks it inside of a code point somewhere.
    "1 MiB of mixed UTF-8": "aé€👋" * (MIB // 10) + "aé€",
}


# ---- RFC 6455 ---------------------------------------------------------------------------------------------------


def rfc6455(name, *, fragments=True, frugal=True, chooses=True, empty_close=False, returns_code=True):
    """The checks for one server; what its library cannot do is left out."""

    def of(what):
        def register(body):
            return check(f"{name}: {what}")(lambda world: body(world.servers[name]))

        return register

    for what, text in TEXTS.items():

        @of(f"{what} comes back as text")
        async def _(server, text=text):
            talk = await echoes(server, text)
            ended(talk, "us", 1000)

    for size in SIZES:

        @of(f"{size} bytes come back as binary")
        async def _(server, size=size):
            await echoes(server, binary_of(size))

    @of("200 messages, all sent before the first is read, are answered in order")
    async def _(server):
        messages = [f"message {n}" if n % 2 else binary_of(n) for n in range(200)]
        talk = await server.talk("echo", *map(send, messages), *["recv"] * 200)
        same_messages(talk, *messages)

    @of("a message that we send in fragments arrives, R-F11")
    async def _(server):
        parts = ["frag", "", "ment", "ed €", "x" * 70_000]
        talk = await server.talk("echo", {"fragments": parts}, "recv")
        same_messages(talk, "".join(parts))

    if fragments:

        @of("messages that the server sends in fragments arrive, with pings between them, R-F9, R-F11, R-U1")
        async def _(server):
            talk = await server.talk("fragments", "recv", "recv", "recv", send("after"), "recv")
            expected = ["fragmented €", "€", b"".join(bytes([n]) * 40_000 for n in range(3)), "after"]
            same(talk.messages, expected)
            same(talk.closed["pings"], 3, "pings:")

    @of("each ping of the server gets its pong while we wait, R-F13")
    async def _(server):
        talk = await server.talk("pings", "recv")
        same(talk.messages, ["all answered"])
        same(talk.server["pongs"], [payload.hex() for payload in (b"", b"ping", b"x" * 125)], "the server saw")

    @of("our ping disturbs nothing")
    async def _(server):
        talk = await server.talk("echo", {"ping": ""}, send("one"), {"ping": "ff" * 125}, "recv", send("two"), "recv")
        same_messages(talk, "one", "two")

    @of("our close, R-X2")
    async def _(server):
        talk = await server.talk("echo", send("hello"), "recv", {"close": [4001, "so läuft es"]})
        same(talk.server["closed"], [4001, "so läuft es"], "the server saw")
        # Whether the reason comes back is free; one of its own the server cannot have.
        assert talk.closed["reason"] in ("", "so läuft es"), talk.closed
        ended(talk, "us", 4001 if returns_code else 1000, talk.closed["reason"])

    @of("our close with the longest reason")
    async def _(server):
        talk = await server.talk("echo", {"close": [3000, "x" * 123]})
        same(talk.server["closed"], [3000, "x" * 123], "the server saw")
        assert talk.closed["clean"], talk.closed

    for code, reason in ((1000, ""), (1001, "going away"), (4002, "so läuft es"), (4999, "x" * 123)):

        @of(f"the server's close with {code} and a reason of {len(reason.encode())} bytes, R-X2")
        async def _(server, code=code, reason=reason):
            talk = await server.talk(f"close?code={code}&reason={quote(reason)}", "recv_all")
            ended(talk, "peer", code, reason)
            same(talk.server["closed"][0], code, "we answered with")

    if empty_close:

        @of("the server's close without a code, R-X7")
        async def _(server):
            talk = await server.talk("close", "recv_all")
            ended(talk, "peer", 1005)
            same(talk.server["closed"], [1005, ""], "we answered with")

    @of("what the server sent before its close arrives before it")
    async def _(server):
        talk = await server.talk("farewell", "recv_all")
        same(talk.messages, [f"message {n}" for n in range(100)])
        ended(talk, "peer", 4000, "that is all")
        same(talk.server["closed"][0], 4000, "we answered with")

    @of("our close gets through what the server sends and we do not read")
    async def _(server):
        talk = await server.talk("flood", {"close": [4001, "enough"]})
        same(talk.server["closed"], [4001, "enough"], "the server saw")
        same((talk.closed["by"], talk.closed["clean"]), ("us", True), "our client ended with")

    @of("closes that may cross end cleanly on both sides")
    async def _(server):
        talk = await server.talk("close?code=4002&reason=you", {"close": [4001, "we"]})
        assert talk.closed["clean"] and talk.closed["code"] in (4001, 4002, 1000), talk.closed
        assert talk.server["closed"][0] in (4001, 4002), talk.server

    @of("a stream that the server cuts is not clean")
    async def _(server):
        talk = await server.talk("cut", "recv_all")
        same((talk.closed["code"], talk.closed["clean"]), (1006, False))

    @of("a message as long as our limit is taken, and the server sees 1009 for one that is longer, R-F17")
    async def _(server):
        limit = ("--max-message", "70000")
        talk = await server.talk("large?size=70000&fragments=1", "recv", options=limit)
        same(talk.messages, ["x" * 70_000])
        talk = await server.talk("large?size=70001&fragments=1", "recv", options=limit)
        too_long(talk, 70_000)

    if fragments:

        @of("the server sees 1009 for fragments that are longer together than our limit, R-F17")
        async def _(server):
            limit = ("--max-message", "70000")
            too_long(await server.talk("large?size=30000&fragments=3", "recv", options=limit), 70_000)

    @of("it chooses one of our subprotocols, R-R5")
    async def _(server):
        offer = ("--subprotocol", "other", "--subprotocol", "chat.v1", "--subprotocol", "chat.v2")
        talk = await server.talk("echo", options=offer)
        assert talk.opened["subprotocol"] in ("chat.v1", "chat.v2"), talk.opened
        offered = talk.server["headers"]["sec-websocket-protocol"]
        same([part.strip() for part in offered.split(",")], ["other", "chat.v1", "chat.v2"], "the server saw")
        talk = await server.talk("echo", options=("--subprotocol", "other", "--subprotocol", "chat.v1"))
        same(talk.opened["subprotocol"], "chat.v1")

    @of("none of our subprotocols is one of its own, R-R5")
    async def _(server):
        talk = await echoes(server, "hello", options=("--subprotocol", "other"))
        same(talk.opened["subprotocol"], None)

    if chooses:

        @of("a subprotocol that we did not offer fails the connection, R-C12")
        async def _(server):
            refused = await server.refused("echo?choose=another", "--subprotocol", "chat.v1")
            assert '"another", which was not offered' in refused.said, refused

    @of("our headers, the origin, the host, the path and the query arrive")
    async def _(server):
        options = ("--header", "Cookie: a=b; c=d", "--header", "X-Word: yes, sir", "--origin", "http://good.example")
        talk = await server.talk("echo?a=%20b&c=", options=options, host="localhost")
        headers = talk.server["headers"]
        same(headers["cookie"], "a=b; c=d")
        same(headers["x-word"], "yes, sir")
        same(headers["origin"], "http://good.example")
        same(headers["host"], f"localhost:{server.ports['plain']}")
        path, _, query = talk.server["path"].partition("?")
        same((path, query.rpartition("&")[0].replace("+", "%20")), ("/echo", "a=%20b&c="))

    @of("a refusal is quoted, with its headers and body")
    async def _(server):
        refused = await server.refused("refuse", "--header", "Cookie: a=b")
        same((await server.saw(refused.url))["headers"]["cookie"], "a=b", "the server saw")
        said = "opening handshake failed: the server answered 401 Unauthorized; 101 was expected"
        assert refused.said.startswith(said) and "you may not" in refused.said, refused
        same((refused.status, refused.body), (401, "you may not\n"))
        same(refused.headers["www-authenticate"], 'Basic realm="here"')
        same(refused.headers["x-reason"], "none")

    @of("a redirect is not followed, and the error names where to")
    async def _(server):
        refused = await server.refused("moved")
        assert 'the server answered 302 Found and redirects to "/echo"; redirects are not followed' in refused.said, refused
        await server.saw(refused.url)

    for setup in ("deflate", "frugal") if frugal else ("deflate",):
        compression(of, setup)
    if fragments:

        @of("fragments of compressed messages arrive, P-M1")
        async def _(server):
            talk = await server.talk("fragments", "recv", "recv", "recv", options=WILLING, setup="deflate")
            same(talk.messages, ["fragmented €", "€", b"".join(bytes([n]) * 40_000 for n in range(3))])

    @of("who offers no compression gets none")
    async def _(server):
        talk = await echoes(server, text_of(10_000), setup="deflate")
        same((talk.opened["extensions"], talk.server["extensions"]), (None, None))

    @of("compression that the server does not have is not used, P-S6")
    async def _(server):
        talk = await echoes(server, text_of(10_000), options=WILLING)
        same((talk.opened["extensions"], talk.server["extensions"]), (None, None))

    @of("the server sees 1009 for a bomb, X21")
    async def _(server):
        talk = await server.talk("large?size=20000000&fragments=1", "recv", options=WILLING, setup="deflate")
        assert talk.opened["extensions"], "it is not compressed"
        too_long(talk, MIB)

    for setup, version in (("tls12", "TLS 1.2"), ("tls13", "TLS 1.3")):
        tls(of, setup, version)

    @of("TLS where the server has none, and none where it has, are refused")
    async def _(server):
        plain, secure = server.url("echo"), server.url("echo", "tls13")
        refused = await no_connection(server.world, plain.replace("ws:", "wss:"), "--ca", server.world.cert)
        assert "TLS with the server failed" in refused.said, refused
        await no_connection(server.world, secure.replace("wss:", "ws:"))


def too_long(talk, limit):
    same(talk.messages, [])
    same(talk.server["closed"][0], 1009, "the server saw")
    end = talk.closed
    assert not end["clean"] or end["by"] == "us", end
    assert f"{limit}" in end["said"] and "message_limit" in end["said"], end


# ---- compression ------------------------------------------------------------------------------------------------

WILLING = ("--deflate", "--deflate-threshold", "0", "--server-context-takeover")

# What we offer, and what of it each answer must have, for servers that know nothing better.
OFFERS = {
    "by our defaults": (("--deflate",), ("server_no_context_takeover",)),
    "with contexts": (WILLING, ()),
    "with no context of ours": ((*WILLING, "--client-no-context-takeover"), ()),
    "with a window of 9 bits for the server": (
        (*WILLING, "--server-max-window-bits", "9"),
        ("server_max_window_bits=9",),
    ),
    "with a window of 9 bits for us": ((*WILLING, "--client-max-window-bits", "9"), ()),
    "with as little as there is": (
        ("--deflate", "--client-no-context-takeover", "--server-max-window-bits", "9", "--client-max-window-bits", "9"),
        ("server_no_context_takeover", "server_max_window_bits=9"),
    ),
}


def compression(of, setup):
    for what, (options, parts) in OFFERS.items():

        @of(f"compressed messages, {setup}, {what}, P-M4 to P-M7")
        async def _(server, options=options, parts=parts):
            messages = [twice for size in (0, 1, 1023, 1024, 65_536, 200_000) for twice in [text_of(size)] * 2]
            messages += [message.encode() for message in messages] + [MIXED * 1000, binary_of(65_536)]
            async with counting(server.ports[setup]) as relay:
                talk = await echoes(server, *messages, setup=setup, options=options, port=relay.port)
            terms = agreed(talk, parts)
            payload = sum(len(message.encode() if isinstance(message, str) else message) for message in messages)
            assert max(relay.counts) < payload * 2 // 3, f"{relay.counts} bytes went through for {payload} each way"
            if setup == "frugal":
                same(terms, Terms(True, True, 9, 9))
            if "--client-no-context-takeover" in options:
                terms.client_no_context_takeover = True  # it holds for us even if the answer is silent
            if "--client-max-window-bits" in options:
                terms.client_max_window_bits = 9
            # Both sides say how they compress; the bytes between them show that they do so, as bytes that are not alike
            # get shorter only by what was sent before, as far back as context and window allow.
            again = [noise(2000)] * 2
            far = [noise(1000) * 4]
            for messages in (again, far):
                async with counting(server.ports[setup]) as relay:
                    await echoes(server, *messages, setup=setup, options=options, port=relay.port)
                payload = sum(map(len, messages))
                contexts = (terms.client_no_context_takeover, terms.server_no_context_takeover)
                windows = (terms.client_max_window_bits, terms.server_max_window_bits)
                for side, count, alone, bits in zip(("we", "the server"), relay.counts, contexts, windows):
                    refers = bits > 11 and not (alone and messages is again)
                    low, high = (payload // 8, payload * 5 // 8) if refers else (payload * 7 // 8, payload * 9 // 8)
                    assert low < count < high, f"{side} sent {count} bytes for {payload}, not {low} to {high}: {terms}"


class Terms(SimpleNamespace):
    """What was agreed on, or is so by default."""

    def __init__(self, server_alone=False, client_alone=False, server_bits=15, client_bits=15):
        super().__init__(
            server_no_context_takeover=server_alone,
            client_no_context_takeover=client_alone,
            server_max_window_bits=server_bits,
            client_max_window_bits=client_bits,
        )


def agreed(talk, parts):
    """The terms as our side has them; the server must have the same."""
    answer = talk.opened["extensions"] or ""
    name, *words = [word.strip() for word in answer.split(";")]
    same(name, "permessage-deflate", "the answer is")
    for part in parts:
        assert part in words, f"{part} is not in {answer}"
    terms = Terms()
    for word in words:
        name, _, bits = word.partition("=")
        setattr(terms, name, int(bits) if bits else True)
    seen = talk.server["extensions"]
    assert seen is not None, "the server says that nothing was agreed on"
    for name, value in seen.items():
        same(value, getattr(terms, name), f"the server's {name} is")
    return terms


# ---- TLS --------------------------------------------------------------------------------------------------------


def tls(of, setup, version):
    @of(f"echoes over {version} alone, with and without compression")
    async def _(server):
        messages = [MIXED, text_of(MIB), binary_of(MIB), b""]
        for options, host in (((), "127.0.0.1"), (WILLING, "localhost")):
            talk = await echoes(server, *messages, setup=setup, options=options, host=host)
            same(talk.opened["tls"], version)
            same(bool(talk.opened["extensions"]), bool(options))
            ended(talk, "us", 1000)

    @of(f"closes and a cut over {version} alone")
    async def _(server):
        talk = await server.talk("echo", {"close": [4001, "bye"]}, setup=setup)
        same(talk.server["closed"], [4001, "bye"], "the server saw")
        talk = await server.talk("farewell", "recv_all", setup=setup)
        same(len(talk.messages), 100)
        ended(talk, "peer", 4000, "that is all")
        talk = await server.talk("cut", "recv_all", setup=setup)
        same((talk.closed["code"], talk.closed["clean"]), (1006, False))

    @of(f"a certificate that we were not told to trust is refused, {version}")
    async def _(server):
        refused = await server.refused("echo", setup=setup)
        assert "it is self-signed" in refused.said, refused


# ---- the drafts -------------------------------------------------------------------------------------------------

SPOKEN = {"draft75": "draft-hixie-75", "draft76": "draft-ietf-hybi-00", "rfc6455": "draft-ietf-hybi-17"}


def drafts(name, version):
    def of(what):
        def register(body):
            return check(f"{name} {version}: {what}")(lambda world: body(world.servers[name], ("--version", version)))

        return register

    for what, text in TEXTS.items():

        @of(f"{what} comes back")
        async def _(server, options, text=text):
            talk = await echoes(server, text, options=options)
            same(talk.server["version"], SPOKEN[version], "the server speaks")

    @of("texts of all lengths come back")
    async def _(server, options):
        await echoes(server, *map(text_of, SIZES), options=options)

    @of("200 messages, all sent before the first is read, are answered in order")
    async def _(server, options):
        messages = [f"message {n}" for n in range(200)]
        talk = await server.talk("echo", *map(send, messages), *["recv"] * 200, options=options)
        same_messages(talk, *messages)

    @of("the subprotocol, the origin, a cookie and the query arrive, and the answer is taken")
    async def _(server, options):
        more = ("--subprotocol", "chat.v1", "--origin", "http://good.example", "--header", "Cookie: a=b")
        talk = await echoes(server, "hello", what="echo?e=mc2", options=(*options, *more), host="localhost")
        same(talk.opened["subprotocol"], "chat.v1")
        headers = talk.server["headers"]
        same((headers["origin"], headers["cookie"]), ("http://good.example", "a=b"))
        same(headers["host"], f"localhost:{server.ports['plain']}")

    @of("a stream that the server cuts")
    async def _(server, options):
        talk = await server.talk("cut", "recv_all", options=options)
        # An end without a word is what draft-75 has instead of a close.
        code = 1005 if version == "draft75" else 1006
        same((talk.closed["code"], talk.closed["by"], talk.closed["clean"]), (code, "peer", False))

    if version == "rfc6455":

        @of("binary messages and fragments come back")
        async def _(server, options):
            await echoes(server, *map(binary_of, SIZES), options=options)
            talk = await server.talk("echo", {"fragments": ["frag", "", "ment"]}, "recv", options=options)
            same_messages(talk, "fragment")

        @of("closes by either side, R-X2")
        async def _(server, options):
            talk = await server.talk("echo", send("hello"), "recv", {"close": [4001, "so läuft es"]}, options=options)
            same((talk.server["ended"], talk.server["closed"]), ("frame", [4001, "so läuft es"]), "the server saw")
            ended(talk, "us", 4001, "so läuft es")
            talk = await server.talk("farewell", "recv_all", options=options)
            same(len(talk.messages), 100)
            same((talk.server["ended"], talk.server["closed"][0]), ("frame", 4002), "the server saw")
            ended(talk, "peer", 4002, "so läuft es")

        return

    @of("binary is not sent, and the error says why")
    async def _(server, options):
        talk = await server.talk("echo", send(b"hello"), send("hello"), "recv", options=options)
        same_messages(talk, "hello")
        same(len(talk.unsent), 1, "errors:")
        assert "binary" in talk.unsent[0] and version in talk.unsent[0], talk.unsent

    if version == "draft75":

        @of("our end, and the server's, D75-X1")
        async def _(server, options):
            talk = await server.talk("echo", send("hello"), "recv", options=options)
            same((talk.server["ended"], talk.closed["by"], talk.closed["clean"]), ("end", "us", False))
            talk = await server.talk("farewell", "recv_all", options=options)
            same(talk.messages, [f"message {n}" for n in range(100)])
            same((talk.server["ended"], talk.closed["by"]), ("end", "peer"))

        @of("the answer of another draft is refused, D75-R1")
        async def _(server, options):
            refused = await server.refused("uncorrected", *options)
            assert "does not begin with the fixed lines of draft-75" in refused.said, refused

    else:

        @of("our close, and the server's, D76-X1 to X5")
        async def _(server, options):
            talk = await server.talk("echo", send("hello"), "recv", options=options)
            same(talk.server["ended"], "frame", "the server saw")
            ended(talk, "us", 1005)
            talk = await server.talk("farewell", "recv_all", options=options)
            same(talk.messages, [f"message {n}" for n in range(100)])
            same(talk.server["ended"], "frame", "the server saw")
            ended(talk, "peer", 1005)

        @of("a wrong answer to the challenge is refused, D76-V8")
        async def _(server, options):
            refused = await server.refused("wrong", *options)
            assert "challenge is wrong" in refused.said, refused


rfc6455("websockets")
rfc6455("ws", empty_close=True)
rfc6455("aiohttp", fragments=False, frugal=False, chooses=False, returns_code=False)
for version in SPOKEN:
    drafts("perl", version)


async def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--client", required=True, metavar="PROGRAM")
    parser.add_argument("--runtime", required=True, metavar="NAME")
    parser.add_argument("--cert", required=True, metavar="FILE")
    parser.add_argument("--key", required=True, metavar="FILE")
    world = parser.parse_args()
    world.numbers = itertools.count(1)
    certificate = ("--cert", world.cert, "--key", world.key)
    servers = (
        Server(world, "websockets", sys.executable, HERE / "serve_websockets.py", *certificate),
        Server(world, "aiohttp", sys.executable, HERE / "serve_aiohttp.py", *certificate),
        Server(world, "ws", "node", HERE.parent / "node" / "server.mjs", *certificate),
        Server(world, "perl", "perl", HERE.parent / "perl" / "server.pl"),
    )
    world.servers = {server.name: server for server in servers}
    try:
        async with asyncio.timeout(3 * PATIENCE):
            await asyncio.gather(*(server.start() for server in servers))
        return await run("servers", world)
    finally:
        for server in servers:
            await server.stop()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
