"""Our server behind other people's proxies, HAProxy, nginx and Caddy from Debian: whom it takes for the client. The server is
the example behind-proxy, which tells each client the address that it knows of it; the client is Python's `websockets`. And the
site of the tutorial behind nginx, with the configuration that its page shows.

    fronts.py --program PATH --site PATH --tls FOLDER    the examples behind-proxy and tutorial-deployed; cert.pem, key.pem
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import sys
import tempfile
import urllib.request
from pathlib import Path

from checks import PATIENCE, check, client, run
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

# nginx is outside of the path of a user.
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"
# The server of part 3 of the tutorial, as nginx is to have it.
SITE = Path(__file__).resolve().parents[2] / "examples/tutorial/rooms.nginx"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.asynccontextmanager
async def program(*command, ready):
    """Runs a program until the end of the block; it is ready when a connection to this address or file succeeds."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE)
    try:
        while True:
            try:
                opening = asyncio.open_unix_connection(ready) if isinstance(ready, str) else asyncio.open_connection(*ready)
                _, writer = await opening
                writer.close()
                break
            except OSError:
                assert process.returncode is None, (await process.stderr.read()).decode()
                await asyncio.sleep(0.02)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()


def server(urls, port, *options):
    return program(urls.program, "--listen", f"127.0.0.1:{port}", *options, ready=("127.0.0.1", port))


def haproxy(folder, front, back, mode="tcp", line="", listener=""):
    path = Path(folder) / "haproxy.cfg"
    path.write_text(f"""
global
    maxconn 100
defaults
    mode {mode}
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    {line}
listen front
    bind 127.0.0.1:{front}
    server one {back} {listener}
""")
    return program(HAPROXY, "-db", "-f", str(path), ready=("127.0.0.1", front))


def nginx(folder, front, back):
    return nginx_with(folder, front, f"""
    server {{
        listen 127.0.0.1:{front};
        location / {{
            proxy_pass http://{back};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_read_timeout 20s;
        }}
    }}
""")


def nginx_with(folder, front, servers):
    path = Path(folder) / "nginx.conf"
    path.write_text(f"""
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
{servers}
}}
""")
    return program(NGINX, "-p", folder, "-c", str(path), ready=("127.0.0.1", front))


def caddy(folder, front, back):
    path = Path(folder) / "Caddyfile"
    path.write_text(f"""
{{
    admin off
    auto_https off
    storage file_system {folder}
}}
http://127.0.0.1:{front} {{
    reverse_proxy {back}
}}
""")
    return program("caddy", "run", "--config", str(path), "--adapter", "caddyfile", ready=("127.0.0.1", front))


def site(folder, front, back, tls):
    """nginx with the configuration of the tutorial, on other ports and with another certificate."""
    shown = SITE.read_text()
    for old, new in ((" 443 ssl", f" 127.0.0.1:{front} ssl"), ("127.0.0.1:9000", f"127.0.0.1:{back}"), ("/etc/ssl/rooms", tls)):
        assert old in shown, old
        shown = shown.replace(old, new)
    return nginx_with(folder, front, shown)


async def told(port, headers=None):
    """Opens a connection; returns what the server says of us and the address that we have, and checks that it echoes."""
    async with client(f"ws://127.0.0.1:{port}/", additional_headers=headers or {}) as connection:
        said = await connection.recv()
        await connection.send("x" * 70_000)
        assert await connection.recv() == "x" * 70_000
        host, port = connection.local_address
        return said, f"{host}:{port}"


for version in ("send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options ssl,unique-id"):

    @check(f"haproxy, {version}: the client's address and port")
    async def _(urls, version=version):
        front, back = free_port(), free_port()
        with tempfile.TemporaryDirectory() as folder:
            line = "unique-id-format %[uuid()]" if "unique-id" in version else ""
            async with (server(urls, back, "--proxy-protocol", "127.0.0.0/8"),
                        haproxy(folder, front, f"127.0.0.1:{back}", line=line, listener=version)):
                said, ours = await told(front)
                assert said == f"you are {ours}", (said, ours)


@check("haproxy, health checks: the port is up, and what is no proxy is dropped")
async def _(urls):
    front, back = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        async with (server(urls, back, "--proxy-protocol", "127.0.0.0/8"),
                    haproxy(folder, front, f"127.0.0.1:{back}", listener="send-proxy-v2 check inter 100ms")):
            await asyncio.sleep(0.5)
            said, ours = await told(front)
            assert said == f"you are {ours}", (said, ours)
            try:
                await told(back)
            except (ConnectionClosed, InvalidMessage, ConnectionError, EOFError):
                return
            raise AssertionError("a client without a header was served")


@check("haproxy, mode http: the last address that is none of the proxies")
async def _(urls):
    front, back = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        async with (server(urls, back, "--forwarded-for", "127.0.0.1"),
                    haproxy(folder, front, f"127.0.0.1:{back}", mode="http", line="option forwardfor")):
            # We are on the host of the proxy, so what we claim is what the server has to look through.
            said, _ = await told(front)
            assert said == "you are 127.0.0.1:0", said
            said, _ = await told(front, {"X-Forwarded-For": "192.0.2.66"})
            assert said == "you are 192.0.2.66:0", said


@check("nginx: a proxy that is not believed is the client")
async def _(urls):
    front, back = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        async with (server(urls, back, "--forwarded-for", "127.0.0.2"), nginx(folder, front, f"127.0.0.1:{back}")):
            # The proxy is none of those that are believed.
            said, ours = await told(front, {"X-Forwarded-For": "192.0.2.66"})
            assert said.startswith("you are 127.0.0.1:") and said != f"you are {ours}", said


@check("nginx, a Unix socket: the client's address, and not the one that it claims")
async def _(urls):
    front = free_port()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        path = f"{folder}/server.socket"
        served = program(urls.program, "--unix", path, "--forwarded-for", "192.0.2.0/24", ready=path)
        async with served:
            # nginx' workers are another user if it runs as root.
            os.chmod(path, 0o777)
            async with nginx(folder, front, f"unix:{path}:"):
                said, _ = await told(front, {"X-Forwarded-For": "192.0.2.66"})
                assert said == "you are 127.0.0.1:0", said


@check("caddy: the client's address, and not the one that it claims")
async def _(urls):
    front, back = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        async with server(urls, back, "--forwarded-for", "127.0.0.1"), caddy(folder, front, f"127.0.0.1:{back}"):
            said, _ = await told(front)
            assert said == "you are 127.0.0.1:0", said
            # Caddy drops the header of a client that it does not trust.
            said, _ = await told(front, {"X-Forwarded-For": "192.0.2.66"})
            assert said == "you are 127.0.0.1:0", said


@check("nginx, the site of the tutorial over TLS: a login, a room, and no page of another origin")
async def _(urls):
    front, back = free_port(), free_port()
    trusted = ssl.create_default_context(cafile=f"{urls.tls}/cert.pem")
    ours = f"https://localhost:{front}"

    def fetch(path, body=None):
        data = body and json.dumps(body).encode()
        request = urllib.request.Request(f"{ours}{path}", data, {"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusted))
        with opener.open(request, timeout=5) as response:
            return response.read().decode(), response.headers

    def enter(cookie, origin):
        headers = {"Cookie": cookie} if cookie else {}
        return client(f"wss://localhost:{front}/rooms/lobby", ssl=trusted, origin=origin, additional_headers=headers)

    with tempfile.TemporaryDirectory() as folder:
        served = program(urls.site, f"127.0.0.1:{back}", ready=("127.0.0.1", back))
        async with served, site(folder, front, back, urls.tls):
            assert (await asyncio.to_thread(fetch, "/healthz"))[0] == "up\n"
            _, headers = await asyncio.to_thread(fetch, "/login", {"name": "ana", "password": "tulip"})
            cookie, _, attributes = headers["Set-Cookie"].partition("; ")
            assert "Secure" in attributes and "HttpOnly" in attributes, attributes
            async with enter(cookie, ours) as connection:
                assert json.loads(await connection.recv()) == {"type": "here", "names": ["ana"]}
            # The proxy speaks plain HTTP with the server, but the browser does not.
            for cookie, origin, status in ((None, ours, 401), (cookie, ours.replace("https", "http"), 403)):
                try:
                    async with enter(cookie, origin):
                        raise AssertionError(f"{origin} was let in")
                except InvalidStatus as refused:
                    assert refused.response.status_code == status, (origin, refused)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--site", required=True)
    parser.add_argument("--tls", required=True)
    return asyncio.run(run("fronts", parser.parse_args()))


if __name__ == "__main__":
    assert PATIENCE > 10
    sys.exit(main())
