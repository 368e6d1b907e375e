"""WebSockets in HTTP/2 (RFC 8441) on the port of our server, asked for by Python's `h2`, whose frames of HTTP/2 are its own;
those of WebSocket are made by `websockets`.

    http2.py --plain URL     an echo server with --http2
             --secure URL    the same over TLS
             --cert FILE     whom to trust there
"""

import argparse
import asyncio
import ssl
import sys
from urllib.parse import urlsplit

from checks import PATIENCE, check, run
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

VERSION = ("sec-websocket-version", "13")
SIZES = (0, 125, 126, 65_535, 65_536, 1_000_000)


class Session:
    """A session, and what has arrived for each of its streams."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        # Not validated, because some checks send what no client may.
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8", validate_outbound_headers=False))
        self.heads, self.received, self.ended, self.resets = {}, {}, set(), {}
        self.terminated = False
        self.h2.initiate_connection()

    @classmethod
    async def open(cls, url, cert=None):
        parts, context = urlsplit(url), None
        if cert:
            context = ssl.create_default_context(cafile=cert)
            context.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=context)
        if cert:
            chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
            assert chosen == "h2", f"ALPN chose {chosen}"
        session = cls(reader, writer)
        # Zero until the server has said something else.
        await session.until(lambda: session.h2.remote_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1)
        return session

    async def flush(self):
        self.writer.write(self.h2.data_to_send())
        await self.writer.drain()

    async def until(self, is_so):
        await self.flush()
        while not is_so():
            read = await self.reader.read(65_536)
            assert read, "the stream of the network ends"
            for event in self.h2.receive_data(read):
                match event:
                    case ResponseReceived():
                        self.heads[event.stream_id] = dict(event.headers)
                    case DataReceived():
                        self.received[event.stream_id] += event.data
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    case StreamEnded():
                        self.ended.add(event.stream_id)
                    case StreamReset():
                        self.resets[event.stream_id] = event.error_code
                    case ConnectionTerminated():
                        self.terminated = True
            await self.flush()

    async def ask(self, *headers, method="CONNECT", protocol="websocket", authority="localhost", path="/"):
        """Begins a stream; returns its number once the head of the answer is there."""
        stream = self.h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path)]
        if protocol:
            pseudo.append((":protocol", protocol))
        self.received[stream] = b""
        self.h2.send_headers(stream, pseudo + list(headers), end_stream=method == "GET")
        await self.until(lambda: stream in self.heads)
        return stream

    async def send(self, stream, opcode, payload):
        rest = Frame(opcode, payload).serialize(mask=True)
        while rest:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room:
                self.h2.send_data(stream, rest[:room])
                rest = rest[room:]
                await self.flush()
            else:
                await self.until(lambda: self.h2.local_flow_control_window(stream) > 0)

    async def frame(self, stream):
        """Reads the next frame of a stream."""
        while True:
            reader = StreamReader()
            reader.feed_data(self.received[stream])
            parsing = Frame.parse(reader.read_exact, mask=False)
            try:
                next(parsing)
            except StopIteration as done:
                self.received[stream] = bytes(reader.buffer)
                return done.value
            have = len(self.received[stream])
            await self.until(lambda: len(self.received[stream]) > have)

    def close(self):
        self.writer.close()


async def echo_on(session):
    """Opens three sockets, and sends by turns on all of them."""
    streams = [await session.ask(VERSION) for _ in range(3)]
    for stream in streams:
        head = session.heads[stream]
        assert head[":status"] == "200", head
        assert not {"upgrade", "connection", "sec-websocket-accept"} & set(head), head
    for size in SIZES:
        for stream in streams:
            payload = bytes(size)
            await session.send(stream, Opcode.BINARY, payload)
            frame = await session.frame(stream)
            assert (frame.opcode, frame.data) == (Opcode.BINARY, payload), f"{size} bytes came back as {len(frame.data)}"
    for stream in streams:
        await session.send(stream, Opcode.PING, b"p")
        assert (await session.frame(stream)).opcode is Opcode.PONG
        await session.send(stream, Opcode.CLOSE, b"\x03\xe8")
        assert (await session.frame(stream)).data == b"\x03\xe8"
        await session.until(lambda stream=stream: stream in session.ended)


@check("sockets of one session echo, ping and close without TLS")
async def _(urls):
    session = await Session.open(urls.plain)
    await echo_on(session)
    session.close()


@check("sockets of one session echo, ping and close over TLS", needs="secure")
async def _(urls):
    session = await Session.open(urls.secure, urls.cert)
    await echo_on(session)
    session.close()


@check("what breaks a rule is refused, and the session goes on")
async def _(urls):
    session = await Session.open(urls.plain)
    for headers, status in [((), "400"), ((("sec-websocket-version", "8"),), "400"),
                            ((VERSION, ("host", "elsewhere")), "400"), ((VERSION, VERSION), "400")]:
        stream = await session.ask(*headers)
        assert session.heads[stream][":status"] == status, session.heads[stream]
        await session.until(lambda stream=stream: stream in session.ended)
    stream = await session.ask(method="GET", protocol=None)
    assert session.heads[stream][":status"] == "400"
    stream = await session.ask(protocol="connect-udp")
    assert session.heads[stream][":status"] == "501"
    await echo_on(session)
    session.close()


@check("a socket that is reset ends alone")
async def _(urls):
    session = await Session.open(urls.plain)
    stays, goes = await session.ask(VERSION), await session.ask(VERSION)
    session.h2.reset_stream(goes, ErrorCodes.CANCEL)
    await session.send(stays, Opcode.TEXT, b"hi")
    assert (await session.frame(stays)).data == b"hi"
    session.close()


@check("a client that gives no window stops no other socket of its session")
async def _(urls):
    session = await Session.open(urls.plain)
    deaf, other = await session.ask(VERSION), await session.ask(VERSION)
    acknowledge = session.h2.acknowledge_received_data
    session.h2.acknowledge_received_data = lambda length, stream: stream == deaf or acknowledge(length, stream)
    # Its echo fills the window of the stream, 64 KiB less one, and that of the session, which is then opened again.
    await session.send(deaf, Opcode.BINARY, bytes(100_000))
    await session.until(lambda: len(session.received[deaf]) >= 65_535)
    session.h2.increment_flow_control_window(1 << 20)
    await session.send(other, Opcode.TEXT, b"hi")
    assert (await session.frame(other)).data == b"hi"
    session.close()


@check("HTTP/1.1 is spoken beside it")
async def _(urls):
    parts = urlsplit(urls.plain)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 426 ")
    writer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--plain", required=True)
    parser.add_argument("--secure")
    parser.add_argument("--cert")
    sys.exit(asyncio.run(run("http2", parser.parse_args())))
