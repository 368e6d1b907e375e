"""What a figure was measured on."""

import os
import platform
import subprocess


def describe():
    model = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return f"{len(model)} x {model[0]}, {platform.system()} {platform.release()}, {rustc}"


def load():
    return " ".join(f"{average:.2f}" for average in os.getloadavg())
