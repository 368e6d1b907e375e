"""What a figure was measured on."""

import json
import os
import platform
import re
import subprocess
import tomllib


def describe():
    model = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return f"{len(model)} x {model[0]}, {platform.system()} {platform.release()}, {rustc}"


def version(root):
    """Returns which sources were measured: a commit, and whether something was changed since."""
    def git(*arguments):
        result = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
        return result.stdout.strip() if result.returncode == 0 else ""
    commit = git("rev-parse", "--short", "HEAD")
    return (commit + (" with changes" if git("status", "--porcelain", "--untracked-files=no") else "")) if commit else "unknown"


def peers(lock, names):
    """Returns the versions of other people's libraries."""
    packages = {package["name"]: package["version"] for package in tomllib.loads(lock.read_text())["package"]}
    return ", ".join(f"{name} {packages[name]}" for name in names if name in packages)


def of_clusters(manifest):
    """Returns the versions of what clusters are made of, beside other people's libraries."""
    engine = subprocess.run(["redis-server", "--version"], capture_output=True, text=True).stdout
    found = re.search(r"v=(\S+)", engine)
    packages = json.loads(manifest.read_text())["dependencies"]
    names = ["socket.io", "@socket.io/redis-adapter", "redis"]
    return ", ".join([f"redis-server {found[1] if found else 'unknown'}", *(f"{name} {packages[name]} (npm)" for name in names)])


def load():
    return " ".join(f"{average:.2f}" for average in os.getloadavg())
