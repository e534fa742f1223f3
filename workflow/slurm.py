"""A run through SLURM: where its settings are, and the jobs that an earlier run may have left."""

from __future__ import annotations

import getpass
import hashlib
import shutil
import subprocess
import time
from pathlib import Path


class SlurmError(RuntimeError):
    """SLURM is not there, or does not do what it is asked; the message is for the user."""


def prefix(root: Path) -> str:
    """What the names of all jobs begin with that were ever submitted from a folder."""
    return f"innt-{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"


def arguments(root: Path, profile: Path) -> list[str]:
    """Arguments with which Snakemake submits its jobs to SLURM.

    Raises:
        SlurmError: no SLURM here, or no such profile.
    """
    if not (profile / "config.yaml").is_file():
        raise SlurmError(f"SLURM={profile}: must be 1, or a folder with a Snakemake config.yaml")
    if not shutil.which("sbatch"):
        raise SlurmError(
            "SLURM=1: no sbatch on this machine; start this on the cluster's login node"
        )
    given = ["--profile", str(profile), "--slurm-jobname-prefix", prefix(root)]
    # Without a database sacct is there and silent, and Snakemake would wait for ever.
    if "slurmdbd" not in ask("scontrol", "show", "config"):
        given += ["--slurm-status-command", "squeue"]
    return given


def end_jobs(root: Path, patience: float = 180.0) -> int:
    """Cancel the jobs that an earlier run from a folder left behind, and wait until they are gone.

    Returns:
        How many there were.

    Raises:
        SlurmError: SLURM does not answer, or they do not end.
    """
    found, until = set(jobs(root)), time.monotonic() + patience
    left = sorted(found)
    while left:
        ask("scancel", "--quiet", *left)
        time.sleep(2)
        left = jobs(root)
        found.update(left)
        if left and time.monotonic() > until:
            raise SlurmError(f"cancelled jobs of an earlier run do not end: {' '.join(left)}")
    return len(found)


def jobs(root: Path) -> list[str]:
    """Numbers of the jobs from a folder that wait, run or are about to end."""
    named = [line.partition(" ") for line in queue().splitlines()]
    return [number for number, _, name in named if name.startswith(f"{prefix(root)}_")]


def answers() -> bool:
    """Whether there is a SLURM here that can be asked for its jobs."""
    try:
        queue()
    except SlurmError:
        return False
    return True


def queue() -> str:
    """Number and name of every job of this user, one a line."""
    return ask("squeue", "--user", getpass.getuser(), "--noheader", "--format", "%i %j")


def ask(*command: str) -> str:
    """The output of a command of SLURM."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmError(f"{command[0]}: {error}") from None
    if done.returncode:
        raise SlurmError(f"{command[0]} failed: {' '.join(done.stderr.split())}")
    return done.stdout
