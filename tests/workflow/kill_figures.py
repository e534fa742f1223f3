"""`make test-kills`: `make figures` killed at five moments ends with the tables of an undisturbed run.

In a temporary copy of the project with a small grid. A kill (SIGKILL) hits Snakemake, or first run.py and
then Snakemake, so that what they started lives on, as it does when a terminal dies or memory runs out.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
KILLS = 5
LOCK = "runs/.workflow.lock"
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


def until(condition: Callable[[], object], what: str, seconds: float = 300.0) -> None:
    """Wait for something; TimeoutError if it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.5)


def holder(folder: Path) -> int:
    """The Snakemake that holds the workflow's lock, or held it last; 0 before the first."""
    path = folder / LOCK
    return int(path.read_text() or 0) if path.exists() else 0


def is_free(folder: Path) -> bool:
    """Whether nobody holds the workflow's lock."""
    if not (folder / LOCK).exists():
        return True
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


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
            until(lambda: is_free(killed), "the lock", 600)
            process, before = start(killed), finished(killed)
            until(lambda pid=process.pid: holder(killed) in children(pid), "Snakemake to begin", 60)
            snakemake = holder(killed)
            time.sleep(float(share) * duration / 2)
            if kill % 2:
                os.kill(snakemake, signal.SIGKILL)
                process.wait()
            else:  # Snakemake goes on, and is killed in its turn
                process.kill()
                process.wait()
                if start(killed).wait() != 1:
                    raise RuntimeError("two runs in one folder at once")
                os.kill(snakemake, signal.SIGKILL)
            lost += sum(finished(killed)[run] != when for run, when in before.items())
            print(f"kill {kill}: {'snakemake' if kill % 2 else 'run.py, then snakemake'}, "
                  f"{len(finished(killed))} trainings finished", flush=True)  # fmt: skip
        until(lambda: is_free(killed), "the lock", 600)
        before, status = finished(killed), start(killed).wait()
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
