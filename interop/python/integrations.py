"""RFC 6455 through the HTTP servers of somebody else: the notice board on axum, and the echo on hyper. The client is
Python's `websockets`; what is plain HTTP is asked for by Python's own client.

    integrations.py --board URL    the example axum
                    --hyper URL    the example hyper
"""

import argparse
import asyncio
import json
import sys
import urllib.error
import urllib.request

from checks import PATIENCE, check, client, run
from websockets.exceptions import InvalidStatus

SIZES = (0, 125, 126, 65_535, 65_536, 1_000_000)


async def ask(url, method="GET", content=None):
    """Asks by plain HTTP; returns status, headers and body."""

    def exchange():
        headers = {"Content-Type": "application/json"} if content else {}
        request = urllib.request.Request(url, content, headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=PATIENCE) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()

    return await asyncio.to_thread(exchange)


async def event(connection, name):
    """Reads up to an event of this name."""
    while True:
        told = json.loads(await connection.recv())
        if told["event"] == name:
            return told


@check("axum: the page, REST and the WebSocket are on one port")
async def _(urls):
    status, headers, page = await ask(urls.board)
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8", headers
    assert "<title>Notice board</title>" in page, page
    async with client(urls.board + "live") as first, client(urls.board + "live") as second:
        await event(first, "board")
        await event(second, "board")
        status, _, note = await ask(urls.board + "api/notes", "POST", b'{"text":"by REST"}')
        assert status == 201, status
        note = json.loads(note)
        for connection in (first, second):
            assert (await event(connection, "pinned"))["note"] == note
        await first.send('{"text":"by the socket"}')
        for connection in (first, second):
            assert (await event(connection, "pinned"))["note"]["text"] == "by the socket"
        _, _, notes = await ask(urls.board + "api/notes")
        assert [note["text"] for note in json.loads(notes)][-2:] == ["by REST", "by the socket"], notes
        status, _, _ = await ask(urls.board + f"api/notes/{note['id']}", "DELETE")
        assert status == 204, status
        assert (await event(second, "unpinned"))["id"] == note["id"]
        await first.close(4001, "enough")
        assert (await event(second, "watching"))["count"] >= 1


@check("axum: what is no note is refused, and the connection goes on")
async def _(urls):
    async with client(urls.board + "live") as connection:
        for wrong in ("no JSON", '{"text":" "}', json.dumps({"text": "x" * 281}), b"bytes"):
            await connection.send(wrong)
            assert (await event(connection, "refused"))["why"]
        await connection.send("x" * 5000)
        try:
            await event(connection, "never")
        except Exception:
            assert connection.close_code == 1009, connection.close_code


@check("axum: the page of another origin is refused with 403, a plain request with 426")
async def _(urls):
    try:
        async with client(urls.board + "live", origin="http://evil.example"):
            raise AssertionError("the server accepts it")
    except InvalidStatus as refused:
        assert refused.response.status_code == 403, refused.response.status_code
    status, headers, text = await ask(urls.board + "live")
    assert status == 426 and headers["Upgrade"] == "websocket", (status, str(headers))
    assert "WebSocket" in text, text


@check("hyper: echoes of each size, text and binary")
async def _(urls):
    async with client(urls.hyper + "echo") as connection:
        for size in SIZES:
            for message in ("x" * size, bytes(size)):
                await connection.send(message)
                assert await connection.recv() == message
        waiter = await connection.ping(b"there?")
        await waiter
    assert connection.close_code == 1000, connection.close_code


@check("hyper: pages beside the WebSocket")
async def _(urls):
    status, _, text = await ask(urls.hyper)
    assert (status, text) == (200, "the WebSocket is at /echo\n"), (status, text)
    assert (await ask(urls.hyper + "none"))[0] == 404
    assert (await ask(urls.hyper + "echo"))[0] == 426


async def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for server in ("board", "hyper"):
        parser.add_argument(f"--{server}", required=True, metavar="URL")
    urls = parser.parse_args()
    return await run("integrations", urls)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
