"""What the hostile peers share: a stream on which every wait is bounded, the frames of each version, clients that do
everything right, and a look at the process of a server. Knows what is on the wire and nothing of what is tested.
"""

import contextlib
import os
import select
import socket
import struct
import time

VERSIONS = ("draft75", "draft76", "rfc6455")

# The longest that anything may take beyond what the server itself waits for, in seconds. It is for a busy machine.
PATIENCE = 15

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
KEY3 = b"^n:ds[4U"
CHALLENGE_RESPONSE = b"8jKS'y:G*Co,Wxa-"
UPGRADE = {
    "draft75": b"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: h\r\n"
    b"Origin: http://good.example\r\n\r\n",
    "draft76": b"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: h\r\n"
    b"Origin: http://good.example\r\n"
    b"Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n" + KEY3,
    "rfc6455": b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Origin: http://good.example\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY.encode() + b"\r\n\r\n",
}


class Wrong(Exception):
    """What the server did is not what it must do."""


def address(text):
    """HOST:PORT or ws://HOST:PORT/ as a pair."""
    host, _, port = text.removeprefix("ws://").removeprefix("http://").rstrip("/").rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)


class Stream:
    """A TCP stream; each wait ends with `Wrong` at a deadline, which is `PATIENCE` after the last `allow`."""

    def __init__(self, addr, receive_buffer=None):
        self.socket = socket.socket(socket.AF_INET6 if ":" in addr[0] else socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.allow(0)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(addr)
        self.received = b""
        self.ended = False
        self.was_reset = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def allow(self, seconds):
        """From now on, waits may take so long and `PATIENCE` in all."""
        self.deadline = time.monotonic() + seconds + PATIENCE

    def left(self):
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Wrong(f"nothing more came in time, after {show(self.received)}")
        return left

    def send(self, data):
        """Sends all of it, or what the server takes before it is gone: False then."""
        self.socket.settimeout(self.left())
        try:
            self.socket.sendall(data)
        except TimeoutError:
            raise Wrong("the server does not read") from None
        except OSError:
            return False
        return True

    def stuff(self, data, seconds):
        """Sends as much of endless `data` as the server takes, for so long; returns the number of bytes."""
        self.socket.setblocking(False)
        sent, end = 0, time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                sent += self.socket.send(data[sent % len(data) :])
            except BlockingIOError:
                select.select([], [self.socket], [], left)
            except OSError:
                break
        return sent

    def is_readable(self):
        return bool(select.select([self.socket], [], [], 0)[0])

    def finish(self):
        """Ends our side."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        """Drops the stream so that the server sees a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def fill(self):
        """Reads once; False at the end of the stream."""
        if self.ended:
            return False
        self.socket.settimeout(self.left())
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            raise Wrong(f"nothing more came in time, after {show(self.received)}") from None
        except OSError:
            self.was_reset = True
            data = b""
        self.received += data
        self.ended = not data
        return bool(data)

    def take(self, count):
        while len(self.received) < count:
            if not self.fill():
                raise Wrong(f"the stream ended after {show(self.received)}, {count} bytes were to come")
        data, self.received = self.received[:count], self.received[count:]
        return data

    def take_until(self, end):
        while end not in self.received:
            if not self.fill():
                raise Wrong(f"the stream ended after {show(self.received)}, before {show(end)}")
        return self.take(self.received.index(end) + len(end))

    def take_all(self):
        """Takes what comes until the stream ends."""
        while self.fill():
            pass
        data, self.received = self.received, b""
        return data

    def take_head(self):
        """Takes the head of an answer: the status and the headers, names in lower case, and all its bytes."""
        head = self.take_until(b"\r\n\r\n")
        line, *lines = head[:-4].split(b"\r\n")
        parts = line.split(b" ", 2)
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
            raise Wrong(f"an answer begins with {show(line)}")
        headers = {}
        for one in lines:
            name, colon, value = one.partition(b":")
            if not colon or not name or b"\r" in one or b"\n" in one or b"\0" in one:
                raise Wrong(f"an answer has the line {show(one)}")
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.strip().decode("latin-1"))
        return int(parts[1]), headers, head


# ---- frames ------------------------------------------------------------------------------------------------------


def frame(first, payload, key=b"\x37\xfa\x21\x3d"):
    """A masked frame of RFC 6455."""
    if len(payload) < 126:
        length = bytes([0x80 | len(payload)])
    elif len(payload) < 1 << 16:
        length = b"\xfe" + struct.pack(">H", len(payload))
    else:
        length = b"\xff" + struct.pack(">Q", len(payload))
    pad = (key * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
    return bytes([first]) + length + key + masked.to_bytes(len(payload), "big")


def text(version, payload):
    return frame(0x81, payload) if version == "rfc6455" else b"\0" + payload + b"\xff"


def take_frame(stream):
    """A frame of RFC 6455 from a server: its first byte and its payload."""
    first, length = stream.take(2)
    if length > 127:
        raise Wrong("the server masks a frame")
    if length == 126:
        (length,) = struct.unpack(">H", stream.take(2))
    elif length == 127:
        (length,) = struct.unpack(">Q", stream.take(8))
    return first, stream.take(length)


def take_text(stream, version):
    """The next text; pings before it are answered."""
    if version != "rfc6455":
        if stream.take(1) != b"\0":
            raise Wrong("the server sent something else than a text")
        return stream.take_until(b"\xff")[:-1]
    while True:
        first, payload = take_frame(stream)
        if first == 0x89:
            stream.send(frame(0x8A, payload))
        elif first != 0x81:
            raise Wrong(f"the server sent a frame {first:#x} {show(payload)}")
        else:
            return payload


# ---- clients that do everything right ----------------------------------------------------------------------------


def open_as(addr, version, receive_buffer=None):
    """A stream with an open connection of a version."""
    stream = Stream(addr, receive_buffer)
    stream.send(UPGRADE[version])
    status, headers, head = stream.take_head()
    if status != 101:
        raise Wrong(f"a good {version} client got {show(head)}")
    if version == "rfc6455" and headers.get("sec-websocket-accept") != [ACCEPT]:
        raise Wrong(f"a good client got {show(head)}")
    if version == "draft76" and stream.take(16) != CHALLENGE_RESPONSE:
        raise Wrong("the answer to the challenge is wrong")
    return stream


def echoes(stream, version, payload):
    stream.send(text(version, payload))
    echo = take_text(stream, version)
    if echo != payload:
        raise Wrong(f"{show(payload)} came back as {show(echo)}")


def close(stream, version):
    """Closes as the version does, and waits for the other side to do its part."""
    if version == "draft75":
        stream.finish()
        expected = b""
    elif version == "draft76":
        stream.send(b"\xff\0")
        expected = b"\xff\0"
    else:
        stream.send(frame(0x88, b"\x03\xe8"))
        expected = b"\x88\x02\x03\xe8"
    seen = stream.take_all()
    if seen != expected:
        raise Wrong(f"a close of {version} was answered by {show(seen)}")


def visit(addr, version, payloads=(b"hello",)):
    """The whole life of a client that does everything right."""
    with open_as(addr, version) as stream:
        for payload in payloads:
            echoes(stream, version, payload)
        close(stream, version)


# ---- the process of a server -------------------------------------------------------------------------------------


class Process:
    """The process of a server, seen through /proc."""

    def __init__(self, pid):
        """Takes the sockets that it has now for its own: nobody must be connected."""
        self.folder = f"/proc/{pid}"
        self.own_sockets = self.sockets()

    def memory(self, name="VmRSS"):
        """Bytes that it has in memory, or had at most (VmHWM)."""
        with open(f"{self.folder}/status", encoding="ascii") as lines:
            for line in lines:
                if line.startswith(name + ":"):
                    return int(line.split()[1]) << 10
        raise Wrong(f"no {name} of the server: it is gone")

    def threads(self):
        return len(os.listdir(f"{self.folder}/task"))

    def sockets(self):
        """The number of its sockets, those of its runtime and the listening one included."""
        count = 0
        for fd in os.listdir(f"{self.folder}/fd"):
            # A file may be closed while we look.
            with contextlib.suppress(OSError):
                count += os.readlink(f"{self.folder}/fd/{fd}").startswith("socket:")
        return count

    def connections(self):
        return self.sockets() - self.own_sockets

    def settles(self, connections, seconds):
        """Waits until it has no more than so many connections."""
        end = time.monotonic() + seconds + PATIENCE
        while (now := self.connections()) > connections:
            if time.monotonic() > end:
                raise Wrong(f"{now - connections} connections are left over")
            time.sleep(0.05)


def show(data, limit=120):
    """Bytes for an error."""
    if isinstance(data, str):
        return data
    text = data[:limit].decode("latin-1").encode("unicode_escape").decode("ascii")
    return f"{len(data)} bytes '{text}{'…' if len(data) > limit else ''}'"
