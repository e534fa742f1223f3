"""`make test-kills`: `make figures` killed at five moments ends with the tables of an undisturbed run.

In a temporary copy of the project with a small grid. A kill hits Snakemake or run.py alone (SIGKILL),
so that what they started lives on, as it does when a terminal dies or memory runs out.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
KILLS = 5
PROFILE = """\
figures: {tiny: birds}
parameters:
  size: 32
  networks: smallcnn
  methods: baseline,nt,innt
  epochs: 2
  batch_size: 8
  learning_rate: 1.0e-3
  tau: auto
  seeds: 1
  train_per_class: 4
  test_per_class: 2
  cams: gradcam++
  cam_images: 1
"""


def copy(folder: Path) -> Path:
    """The project, without what it has made so far."""
    for name in ("innt_lib", "notebooks", "workflow"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "workflow/config/tiny.yaml").write_text(PROFILE)
    return folder


def start(folder: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(folder), "INNT_ROOT": str(folder)}
    command = [sys.executable, "workflow/run.py", "tiny", "--cores", "2"]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def finished(folder: Path) -> dict[str, int]:
    """When each training was finished."""
    return {p.parent.name: p.stat().st_mtime_ns for p in folder.glob("runs/*/run.json")}


def tables(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.glob("figures/**/*.csv"))
    }


def children(process: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True).stdout
    return [int(line) for line in found.split()]


def main() -> int:
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        whole, killed = copy(Path(name) / "whole"), copy(Path(name) / "killed")
        began = time.monotonic()
        if start(whole).wait():
            print((whole / "log").read_text()[-2000:])
            return 1
        duration = time.monotonic() - began
        print(f"undisturbed: {duration:.0f} s, {len(tables(whole))} tables")
        lost = 0
        for kill, share in enumerate(np.sort(random.uniform(0.05, 0.6, KILLS)), start=1):
            process, before = start(killed), finished(killed)
            time.sleep(float(share) * duration / 2)
            victims = [process.pid, *children(process.pid)][kill % 2 :][:1] or [process.pid]
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
            process.wait()
            lost += sum(finished(killed)[run] != when for run, when in before.items())
            print(f"kill {kill}: {'run.py' if victims == [process.pid] else 'snakemake'}, "
                  f"{len(finished(killed))} trainings finished")  # fmt: skip
        status = 1
        for _ in range(20):  # while what the last kill left behind still runs, it says so and ends
            before = finished(killed)
            if not (status := start(killed).wait()):
                break
            time.sleep(5)
        lost += sum(finished(killed)[run] != when for run, when in before.items())
        different = [n for n, content in tables(whole).items() if tables(killed).get(n) != content]
        print((killed / "log").read_text()[-600:])
        print("| fault | times | survived | finished trainings lost | tables that differ |")
        print("| --- | --- | --- | --- | --- |")
        print(
            f"| `make figures` killed | {KILLS} | {'no' if status else 'yes'} | {lost} | {len(different)} |"
        )
        for one in different:
            print(f"differs: {one}")
        return int(bool(status or lost or different))


if __name__ == "__main__":
    sys.exit(main())
