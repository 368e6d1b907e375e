"""The server that Python's aiohttp has, for our client. What it has to do is written in servers.py; it cannot send
fragments, nor can it be told more about compression than that it may."""

import asyncio

from aiohttp import WSMsgType, web
from serving import REFUSAL, REFUSAL_HEADERS, SUBPROTOCOLS, Report, options, tls_setups, until_input_ends


async def main():
    given = options()
    ports = {}
    setups = {"plain": (False, None), "deflate": (True, None)}
    setups |= {name: (True, context) for name, context in tls_setups(given).items()}
    for name, (compress, context) in setups.items():
        app = web.Application()
        app["compress"] = compress
        app.router.add_get("/{what}", handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        ports[name] = runner.addresses[0][1]
    await until_input_ends(ports)


async def handle(request):
    report = Report(request.path_qs, request.headers.items())
    if report.what == "refuse":
        report.print()
        return web.Response(status=401, text=REFUSAL, headers=REFUSAL_HEADERS)
    if report.what == "moved":
        report.print()
        raise web.HTTPFound("/echo")
    connection = web.WebSocketResponse(
        protocols=SUBPROTOCOLS, autoping=False, timeout=5, max_msg_size=0, compress=request.app["compress"]
    )
    await connection.prepare(request)
    if connection.compress:
        report.seen["extensions"] = {"server_max_window_bits": int(connection.compress)}
    try:
        await act(connection, report)
        while True:
            message = await connection.receive()
            if message.type is WSMsgType.PING:
                await connection.pong(message.data)
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                report.message(message.data)
                await echo(connection, message)
            else:
                break
        if message.type is WSMsgType.CLOSE:
            report.close(message.data, message.extra or "")
    except ConnectionError:
        pass  # how, is told below
    if report.seen["closed"] is None:
        report.close(connection.close_code, None)
    report.print()
    return connection


async def echo(connection, message):
    if message.type is WSMsgType.TEXT:
        await connection.send_str(message.data)
    else:
        await connection.send_bytes(message.data)


async def act(connection, report):
    query = report.query
    if report.what == "pings":
        for payload in (b"", b"ping", b"x" * 125):
            await connection.ping(payload)
            answer = await connection.receive()
            assert answer.type is WSMsgType.PONG, answer
            report.pong(bytes(answer.data))
        await connection.send_str("all answered")
    elif report.what == "close":
        await connection.close(code=int(query.get("code", 1000)), message=query.get("reason", "").encode())
    elif report.what == "farewell":
        for n in range(100):
            await connection.send_str(f"message {n}")
        await connection.close(code=4000, message=b"that is all")
    elif report.what == "flood":
        for _ in range(100):
            await connection.send_bytes(bytes(65_536))
    elif report.what == "cut":
        connection._req.transport.abort()
    elif report.what == "large":
        await connection.send_str("x" * int(query["size"]))


asyncio.run(main())
