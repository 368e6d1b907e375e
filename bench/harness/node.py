"""Makes a program of a server on node: a copy of its script, beside the packages that it needs."""

import os
import shutil
import subprocess


def build(bench, program):
    """Makes the program at the path `program`; its packages are fetched once."""
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            raise SystemExit(f"the server {program.stem} needs {tool}; leave it out with --only, or install nodejs and npm")
    folder = program.parent / "node"
    folder.mkdir(exist_ok=True)
    wanted = (bench / "node" / "package.json").read_bytes()
    manifest = folder / "package.json"
    if not manifest.exists() or manifest.read_bytes() != wanted:
        manifest.write_bytes(wanted)
        subprocess.run(["npm", "install", "--no-package-lock", "--ignore-scripts", "--omit=optional", "--no-audit",
                        "--no-fund", "--silent"], cwd=folder, check=True)
    script = folder / f"{program.stem}.mjs"
    shutil.copy2(bench / "node" / script.name, script)
    program.write_text(f"#!/bin/sh\nexec node {script} \"$@\"\n")
    os.chmod(program, 0o755)
