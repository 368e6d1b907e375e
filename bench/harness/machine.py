"""What a figure was measured on."""

import os
import platform
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


def load():
    return " ".join(f"{average:.2f}" for average in os.getloadavg())
