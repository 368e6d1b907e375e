"""Builds the server on uWebSockets with g++. Its sources are in a crate that binds it; nothing else of that crate is used."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

CRATE = "libuwebsockets-sys"
# Without what the loads have no use for: TLS and compression but where they are measured.
NO_TLS = ["-DLIBUS_NO_SSL"]
WITH_TLS = ["-DLIBUS_USE_OPENSSL"]
NO_ZLIB = ["-DUWS_NO_ZLIB"]
OPTIMISED = ["-O3", "-flto=auto", "-g1", "-Wno-deprecated-declarations"]
WRAPPED = "-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc"


def build(bench, program, counts_allocations, compresses, speaks_tls):
    """Builds the server to the path `program`; compression needs the headers of zlib, and TLS those of OpenSSL."""
    if not shutil.which("g++"):
        raise SystemExit("the server uwebsockets needs g++; leave it out with --only, or install g++")
    if speaks_tls and not has_header("openssl/ssl.h"):
        raise SystemExit("the server uwebsockets-tls needs the headers of OpenSSL; leave it out with --only, or install "
                         "libssl-dev")
    sources = find_sources(bench)
    sockets = sources / "uSockets" / "src"
    defines = (WITH_TLS if speaks_tls else NO_TLS) + ([] if compresses else NO_ZLIB)
    libraries = (["-lz"] if compresses else []) + (["-lssl", "-lcrypto"] if speaks_tls else [])
    includes = [f"-I{sources / 'src'}", f"-I{sockets}"]
    with tempfile.TemporaryDirectory() as folder:
        objects = []
        for source in [*sorted(sockets.glob("*.c")), sockets / "eventing" / "epoll_kqueue.c"]:
            if source.stem == "quic":
                continue
            objects.append(Path(folder) / f"{source.stem}.o")
            run("gcc", "-c", *OPTIMISED, *defines, *includes, source, "-o", objects[-1])
        if speaks_tls:
            objects.append(Path(folder) / "openssl.o")
            run("gcc", "-c", *OPTIMISED, *defines, *includes, sockets / "crypto" / "openssl.c", "-o", objects[-1])
            objects.append(Path(folder) / "sni_tree.o")
            run("g++", "-std=c++20", "-c", *OPTIMISED, *defines, *includes, sockets / "crypto" / "sni_tree.cpp", "-o",
                objects[-1])
        counting = ["-DCOUNT_ALLOCATIONS", WRAPPED] if counts_allocations else []
        run("g++", "-std=c++20", *OPTIMISED, *defines, *counting, *includes, bench / "uwebsockets" / "server.cpp",
            *objects, "-pthread", *libraries, "-o", program)


def has_header(name):
    return subprocess.run(["g++", "-E", "-include", name, "-x", "c++", "/dev/null"], capture_output=True).returncode == 0


def find_sources(bench):
    """Returns where cargo has put the sources, in the version of Cargo.lock."""
    command = ["cargo", "metadata", "--locked", "--all-features", "--format-version", "1"]
    packages = json.loads(run(*command, cwd=bench, stdout=subprocess.PIPE).stdout)["packages"]
    manifests = [package["manifest_path"] for package in packages if package["name"] == CRATE]
    return Path(manifests[0]).parent / "uWebSockets"


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, **options)
