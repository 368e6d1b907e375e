"""The server that Python's `websockets` has, for our client. What it has to do is written in servers.py."""

import asyncio

from serving import REFUSAL, REFUSAL_HEADERS, SUBPROTOCOLS, Report, options, tls_setups, until_input_ends
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory

# The windows that it has by itself, and contexts; and the least of both.
WILLING = ServerPerMessageDeflateFactory(server_max_window_bits=12, client_max_window_bits=12)
FRUGAL = ServerPerMessageDeflateFactory(
    server_no_context_takeover=True,
    client_no_context_takeover=True,
    server_max_window_bits=9,
    client_max_window_bits=9,
    require_client_max_window_bits=False,
)


async def main():
    given = options()
    setups = {
        "plain": {},
        "deflate": {"extensions": [WILLING]},
        "frugal": {"extensions": [FRUGAL]},
        **{name: {"ssl": context, "extensions": [WILLING]} for name, context in tls_setups(given).items()},
    }
    ports, servers = {}, []
    for name, setup in setups.items():
        server = await serve(
            handle,
            "127.0.0.1",
            0,
            compression=None,
            max_size=None,
            ping_interval=None,
            close_timeout=5,
            process_request=process_request,
            select_subprotocol=select_subprotocol,
            subprotocols=SUBPROTOCOLS,
            **setup,
        )
        servers.append(server)
        ports[name] = server.sockets[0].getsockname()[1]
    await until_input_ends(ports)


def process_request(connection, request):
    connection.report = report = Report(request.path, request.headers.raw_items())
    if report.what == "refuse":
        response = connection.respond(401, REFUSAL)
        for name, value in REFUSAL_HEADERS.items():
            response.headers[name] = value
    elif report.what == "moved":
        response = connection.respond(302, "elsewhere\n")
        response.headers["Location"] = "/echo"
    else:
        return None
    report.print()
    return response


def select_subprotocol(connection, offered):
    chosen = connection.report.query.get("choose") if hasattr(connection, "report") else None
    return chosen or next((name for name in SUBPROTOCOLS if name in offered), None)


async def handle(connection):
    report = connection.report
    for extension in connection.protocol.extensions:
        assert isinstance(extension, PerMessageDeflate)
        report.seen["extensions"] = {
            "server_no_context_takeover": extension.local_no_context_takeover,
            "client_no_context_takeover": extension.remote_no_context_takeover,
            "server_max_window_bits": extension.local_max_window_bits,
            "client_max_window_bits": extension.remote_max_window_bits,
        }
    try:
        await act(connection, report)
        async for message in connection:
            report.message(message)
            await connection.send(message)
    except ConnectionClosed:
        pass  # how, is told below
    await connection.wait_closed()
    received = connection.protocol.close_rcvd
    report.close(*((received.code, received.reason) if received else (1006, "")))
    report.print()


async def act(connection, report):
    query = report.query
    if report.what == "fragments":
        await connection.send(["frag", "", "ment", "ed €"])
        await connection.send([b"\xe2", b"\x82", b"\xac"], text=True)

        async def around_pings():
            for n in range(3):
                yield bytes([n]) * 40_000
                await connection.ping(f"between {n}")

        await connection.send(around_pings())
    elif report.what == "pings":
        for payload in (b"", b"ping", b"x" * 125):
            # Resolves only for a pong with the same payload.
            await (await connection.ping(payload))
            report.pong(payload)
        await connection.send("all answered")
    elif report.what == "close":
        await connection.close(int(query.get("code", 1000)), query.get("reason", ""))
    elif report.what == "farewell":
        for n in range(100):
            await connection.send(f"message {n}")
        await connection.close(4000, "that is all")
    elif report.what == "flood":
        for _ in range(100):
            await connection.send(bytes(65_536))
    elif report.what == "cut":
        connection.transport.abort()
    elif report.what == "large":
        size, count = int(query["size"]), int(query["fragments"])
        await connection.send("x" * size if count == 1 else ["x" * size] * count)


asyncio.run(main())
