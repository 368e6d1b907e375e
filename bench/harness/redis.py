"""A Redis of the run's own: on a free port of the loopback, keeping nothing on disk, and killed at the end."""

import shutil
import socket
import time

from . import measure

# The core of the servers, because the generator needs its own for itself.
CORE = "0"


def require():
    if not shutil.which("redis-server"):
        raise SystemExit("clusters need the program redis-server; leave them out with --scenario, or install it")


class Redis:
    def __init__(self):
        self.port = free_port()
        self.process = self.start()

    def start(self):
        options = {"bind": "127.0.0.1", "port": self.port, "save": "", "appendonly": "no", "loglevel": "warning"}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        process = measure.Process(CORE, ["redis-server", *words])
        try:
            wait_until(lambda: self.ask("PING").startswith("+PONG"), "Redis does not answer")
        except measure.Failure:
            process.__exit__()
            raise
        return process

    def restart(self):
        """Ends it without a farewell, and starts another one in its place."""
        self.process.__exit__()
        self.process = self.start()

    @property
    def pid(self):
        return self.process.pid

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def channels(self):
        """Returns how many channels have a subscriber."""
        field = "pubsub_channels:"
        return next(int(line.removeprefix(field)) for line in self.ask("INFO stats").splitlines() if line.startswith(field))

    def ask(self, command):
        """Returns the answer to a command: nothing while nobody listens."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), measure.PATIENCE) as stream:
                stream.sendall(f"{command}\r\nQUIT\r\n".encode())
                return stream.makefile("rb").read().decode()
        except ConnectionError:
            return ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.__exit__()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(is_done, complaint, step=0.005):
    end = time.monotonic() + measure.PATIENCE
    while not is_done():
        if time.monotonic() > end:
            raise measure.Failure(complaint)
        time.sleep(step)
