"""RFC 6455 against the echo server. The client is Python's `websockets`, which checks what it receives strictly.

    echo.py --echo URL      the server as it is by default
            --strict URL    with --origin http://good.example --subprotocol echo.v1
            --small URL     with --max-message 65536 --max-fragments 16
            --deflate URL   with --deflate
            --deflate-context URL  with --server-context-takeover and --deflate-threshold 0, too
            --deflate-window URL   with these and windows of 9 bits, too
"""

import argparse
import asyncio
import sys

from checks import check, client, run
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

SIZES = (0, 125, 126, 65_535, 65_536, 1_000_000)
GOOD_ORIGIN = "http://good.example"


async def echoes(connection, message):
    await connection.send(message)
    await expect(connection, message)


async def expect(connection, message):
    echo = await connection.recv()
    # The type shows the opcode: str is a text message, bytes a binary one.
    assert type(echo) is type(message), f"got {type(echo).__name__}, not {type(message).__name__}"
    assert echo == message, f"got {len(echo)} long {echo[:16]!r}, not {len(message)} long {message[:16]!r}"


def text_of(size):
    """ASCII in which every place looks different, so that lost or swapped bytes show."""
    return " ".join(str(n * 7) for n in range(size // 2 + 1))[:size]


def binary_of(size):
    return bytes((n * 7 + n // 251) % 256 for n in range(size))


for size in SIZES:

    @check(f"a text message of {size} bytes")
    async def _(urls, size=size):
        async with client(urls.echo) as connection:
            await echoes(connection, text_of(size))

    @check(f"a binary message of {size} bytes")
    async def _(urls, size=size):
        async with client(urls.echo) as connection:
            await echoes(connection, binary_of(size))


@check("emoji and CJK")
async def _(urls):
    async with client(urls.echo) as connection:
        await echoes(connection, "👋🏽 你好 こんにちは")


@check("200 pipelined messages are answered in order")
async def _(urls):
    async with client(urls.echo) as connection:
        for n in range(200):
            await connection.send(f"message {n}")
        for n in range(200):
            await expect(connection, f"message {n}")


@check("a text message in fragments, R-F11")
async def _(urls):
    async with client(urls.echo) as connection:
        await connection.send(["frag", "", "ment", "ed €"])
        await expect(connection, "fragmented €")


@check("a code point split across fragments, R-U1")
async def _(urls):
    async with client(urls.echo) as connection:
        await connection.send([b"\xe2", b"\x82", b"\xac"], text=True)
        await expect(connection, "€")


@check("a binary message in fragments, with pings between them, R-F9")
async def _(urls):
    async with client(urls.echo) as connection:

        async def fragments():
            for n in range(3):
                yield binary_of(40_000)
                await (await connection.ping(f"between {n}"))

        await connection.send(fragments())
        await expect(connection, binary_of(40_000) * 3)


@check("each ping gets its pong, R-F13")
async def _(urls):
    async with client(urls.echo) as connection:
        for payload in (b"", b"ping", binary_of(125)):
            # Resolves only for a pong with the same payload.
            await (await connection.ping(payload))


@check("an unsolicited pong is ignored, R-F14")
async def _(urls):
    async with client(urls.echo) as connection:
        await connection.pong(b"nobody asked")
        await echoes(connection, "hello")


@check("our close code comes back, R-X2")
async def _(urls):
    async with client(urls.echo) as connection:
        await connection.close(4001, "that is all")
        received = connection.protocol.close_rcvd
        assert received is not None, "the server sent no close frame"
        assert received.code == 4001, f"got {received}"
        # Whether the reason comes back is free; one of its own the server cannot have.
        assert received.reason in ("", "that is all"), f"got {received}"


@check("invalid UTF-8 is answered with close code 1007, R-U1")
async def _(urls):
    await closed_by_server(urls.echo, [b"\xce\xba\xe1"], 1007, text=True)


@check("a message over the limit is answered with close code 1009, R-F17")
async def _(urls):
    async with client(urls.small) as connection:
        await echoes(connection, text_of(65_536))
    await closed_by_server(urls.small, text_of(65_537), 1009)


@check("fragments over the limit of the message are answered with close code 1009, R-F17")
async def _(urls):
    await closed_by_server(urls.small, [binary_of(40_000)] * 2, 1009)


@check("too many fragments are answered with close code 1008 or 1009, X17")
async def _(urls):
    await closed_by_server(urls.small, ["x"] * 17, 1008, 1009)


async def closed_by_server(url, message, *codes, text=None):
    async with client(url) as connection:
        try:
            await connection.send(message, text=text)
            await connection.recv()
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, "the server sent no close frame"
            assert closed.rcvd.code in codes, f"got {closed.rcvd}"
        else:
            raise AssertionError("the server takes it")


@check("the offered compression is declined, R-R6, P-S6")
async def _(urls):
    async with client(urls.echo, compression="deflate") as connection:
        assert "permessage-deflate" in connection.request.headers["Sec-WebSocket-Extensions"]
        assert "Sec-WebSocket-Extensions" not in connection.response.headers
        await echoes(connection, text_of(10_000))


# What each server with compression answers to an offer that allows everything, P-S5.
ANSWERS = {
    "deflate": "permessage-deflate",
    "deflate_context": "permessage-deflate",
    "deflate_window": "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9",
}

# What clients offer, and what of it each answer must have.
OFFERS = {
    "nothing in particular": ({}, ()),
    "no context of the server": ({"server_no_context_takeover": True}, ("server_no_context_takeover",)),
    "no context of the client": ({"client_no_context_takeover": True}, ("client_no_context_takeover",)),
    "a window of 10 bits for the server": ({"server_max_window_bits": 10}, ("server_max_window_bits=",)),
    "a window of 10 bits for the client": ({"client_max_window_bits": 10}, ("client_max_window_bits=",)),
    "no contexts and small windows": (
        {
            "server_no_context_takeover": True,
            "client_no_context_takeover": True,
            "server_max_window_bits": 9,
            "client_max_window_bits": 9,
        },
        (
            "server_no_context_takeover",
            "client_no_context_takeover",
            "server_max_window_bits=9",
            "client_max_window_bits=9",
        ),
    ),
}


def compressing(url, **terms):
    terms = {"client_max_window_bits": True, "compress_settings": {"level": 6}} | terms
    return client(url, extensions=[ClientPerMessageDeflateFactory(**terms)])


def agreed(connection):
    return connection.response.headers.get("Sec-WebSocket-Extensions", "")


for server, answer in ANSWERS.items():

    @check(f"compression is agreed on with {server}, P-S5", server)
    async def _(urls, server=server, answer=answer):
        async with compressing(getattr(urls, server)) as connection:
            assert agreed(connection) == answer, f"got {agreed(connection)}"

    for what, (terms, parts) in OFFERS.items():

        @check(f"compressed messages with {server}, offering {what}, P-M4 to P-M7", server)
        async def _(urls, server=server, terms=terms, parts=parts):
            async with compressing(getattr(urls, server), **terms) as connection:
                for part in parts:
                    assert part in agreed(connection), f"{part} is not in {agreed(connection)}"
                for size in (0, 1, 1023, 1024, 65_536, 500_000):
                    # Twice, so that the second can refer to the first.
                    for _ in range(2):
                        await echoes(connection, text_of(size))
                        await echoes(connection, binary_of(size))
                await connection.send(["frag", "", "ment", text_of(20_000), "ed €"])
                await expect(connection, "fragment" + text_of(20_000) + "ed €")
                for n in range(100):
                    await connection.send(f"message {n} " + text_of(2000))
                for n in range(100):
                    await expect(connection, f"message {n} " + text_of(2000))

    @check(f"a bomb is answered with close code 1009 by {server}, X21", server)
    async def _(urls, server=server):
        async with compressing(getattr(urls, server)) as connection:
            try:
                await connection.send(bytes(50_000_000))
                await connection.recv()
            except ConnectionClosed as closed:
                assert closed.rcvd is not None and closed.rcvd.code == 1009, f"got {closed.rcvd}"
            else:
                raise AssertionError("the server takes it")


@check("who offers no compression gets none", "deflate")
async def _(urls):
    async with client(urls.deflate) as connection:
        assert agreed(connection) == "", f"got {agreed(connection)}"
        await echoes(connection, text_of(10_000))


@check("the subprotocol that both have is chosen, R-R5")
async def _(urls):
    async with client(urls.strict, origin=GOOD_ORIGIN, subprotocols=["other", "echo.v1"]) as connection:
        assert connection.subprotocol == "echo.v1", f"got {connection.subprotocol}"
        await echoes(connection, "hello")


@check("a server without subprotocols chooses none, R-R5")
async def _(urls):
    async with client(urls.echo, subprotocols=["other", "echo.v1"]) as connection:
        assert "Sec-WebSocket-Protocol" not in connection.response.headers
        await echoes(connection, "hello")


@check("another origin is refused with 403, R-H10")
async def _(urls):
    try:
        async with client(urls.strict, origin="http://bad.example", subprotocols=["echo.v1"]):
            raise AssertionError("the server accepts it")
    except InvalidStatus as refused:
        assert refused.response.status_code == 403, f"got {refused.response.status_code}"


async def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for server in ("echo", "strict", "small"):
        parser.add_argument(f"--{server}", required=True, metavar="URL")
    for server in ANSWERS:
        parser.add_argument(f"--{server.replace('_', '-')}", metavar="URL")
    urls = parser.parse_args()
    return await run("python rfc6455", urls)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
