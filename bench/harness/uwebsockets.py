"""Builds the server on uWebSockets with g++. Its sources are in a crate that binds it; nothing else of that crate is used."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

CRATE = "libuwebsockets-sys"
# Without what the loads have no use for: TLS, and compression but where it is measured.
NO_TLS = ["-DLIBUS_NO_SSL"]
NO_ZLIB = ["-DUWS_NO_ZLIB"]
OPTIMISED = ["-O3", "-flto=auto", "-g1"]
WRAPPED = "-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc"


def build(bench, program, counts_allocations, compresses):
    """Builds the server to the path `program`; with compression it needs the headers of zlib."""
    if not shutil.which("g++"):
        raise SystemExit("the server uwebsockets needs g++; leave it out with --only, or install g++")
    sources = find_sources(bench)
    sockets = sources / "uSockets" / "src"
    defines = NO_TLS if compresses else NO_TLS + NO_ZLIB
    libraries = ["-lz"] if compresses else []
    includes = [f"-I{sources / 'src'}", f"-I{sockets}"]
    with tempfile.TemporaryDirectory() as folder:
        objects = []
        for source in [*sorted(sockets.glob("*.c")), sockets / "eventing" / "epoll_kqueue.c"]:
            if source.stem == "quic":
                continue
            objects.append(Path(folder) / f"{source.stem}.o")
            run("gcc", "-c", *OPTIMISED, *defines, *includes, source, "-o", objects[-1])
        counting = ["-DCOUNT_ALLOCATIONS", WRAPPED] if counts_allocations else []
        run("g++", "-std=c++20", *OPTIMISED, *defines, *counting, *includes, bench / "uwebsockets" / "server.cpp",
            *objects, "-pthread", *libraries, "-o", program)


def find_sources(bench):
    """Returns where cargo has put the sources, in the version of Cargo.lock."""
    command = ["cargo", "metadata", "--locked", "--all-features", "--format-version", "1"]
    packages = json.loads(run(*command, cwd=bench, stdout=subprocess.PIPE).stdout)["packages"]
    manifests = [package["manifest_path"] for package in packages if package["name"] == CRATE]
    return Path(manifests[0]).parent / "uWebSockets"


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, **options)
