"""`make figures`: run the workflow of a profile, recover from a crash before, and say what came of it."""

from __future__ import annotations

import argparse
import csv
import fcntl
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

import slurm
import yaml

ROOT = Path(__file__).resolve().parents[1]
SLURM = ROOT / "workflow/profiles/slurm"
MADE = ROOT / "figures/here"


def main() -> int:
    """Returns the exit status of the workflow, or 2 for a wrong call."""
    profiles = sorted(path.stem for path in (ROOT / "workflow/config").glob("*.yaml"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", help=f"one of {', '.join(profiles)}")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument(
        "--slurm", type=Path, nargs="?", const=SLURM, metavar="FOLDER",
        help="submit to SLURM; FOLDER holds Snakemake's settings for it (workflow/profiles/slurm)",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument(
        "--publish", action="store_true", help="only copy what was made to figures/"
    )
    options = parser.parse_args()
    if options.profile not in profiles:
        print(f"PROFILE={options.profile}: must be one of {', '.join(profiles)}", file=sys.stderr)
        return 2
    if options.publish:
        return publish(options.profile)
    try:
        command = snakemake(options)
    except slurm.SlurmError as error:
        print(error, file=sys.stderr)
        return 2
    if options.dry_run:
        return subprocess.run([*command, "--dry-run"], cwd=ROOT).returncode
    (ROOT / "runs").mkdir(exist_ok=True)
    # Snakemake's own lock outlives a crash. This one Snakemake inherits, so that it ends with the last
    # of the two, however they end: whoever gets it may clear Snakemake's.
    with (ROOT / "runs/.workflow.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            print(
                f"another `make figures` is running in this folder (process {lock.read() or '?'}): "
                "wait for it, or end it",
                file=sys.stderr,
            )
            return 1
        return run(options, command, lock)


def snakemake(options: argparse.Namespace) -> list[str]:
    """The command that runs a profile, here or through SLURM."""
    # Greedy: jobs are few and alike, and the other scheduler needs a solver that is not there on
    # every machine.
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile",
        "--configfile", f"workflow/config/{options.profile}.yaml",
        "--scheduler", "greedy", "--quiet", "rules",
    ]  # fmt: skip
    if options.slurm:
        return command + slurm.arguments(ROOT, options.slurm.resolve())
    # One notebook at a time on a GPU; without one the cores are the only limit.
    gpus = 1 if shutil.which("nvidia-smi") else options.cores
    return [*command, "--cores", str(options.cores), "--resources", f"gpu={gpus}"]


def end_jobs(options: argparse.Namespace) -> bool:
    """Cancel what an earlier run left in SLURM's queue; False, with a message, if that fails."""
    if not (options.slurm or slurm.answers()):
        return True
    try:
        if ended := slurm.end_jobs(ROOT):
            print(f"SLURM jobs left behind by an earlier run, now cancelled: {ended}", flush=True)
    except slurm.SlurmError as error:
        print(error, file=sys.stderr)
        return False
    return True


def run(options: argparse.Namespace, command: list[str], lock: TextIO) -> int:
    """Run Snakemake on a profile and list the files that it made."""
    profile, started = options.profile, time.time()
    if not end_jobs(options):
        return 1
    if subprocess.run([*command, "--unlock", "--quiet", "all"], cwd=ROOT).returncode:
        return 1
    command += ["--rerun-incomplete", "--keep-going"]
    process = subprocess.Popen(command, cwd=ROOT, pass_fds=[lock.fileno()])
    lock.truncate(0)
    print(process.pid, end="", file=lock, flush=True)
    try:
        status = process.wait()
    except KeyboardInterrupt:  # Snakemake has it too, and ends its jobs
        status = process.wait()
    minutes = (time.time() - started) / 60
    if status:
        print(f"\nNot finished after {minutes:.1f} minutes: see the cell and the reason above.")
        print("What is finished is kept; the same command goes on from there.")
        return status
    print(f"\nFinished in {minutes:.1f} minutes. Figures and tables:")
    for folder in folders(profile):
        for path in sorted((MADE / folder).rglob("*.*")):
            if path.suffix in (".png", ".md"):
                print(f"  {path.relative_to(ROOT)}")
    print(f"Executed notebooks: runs/notebooks/{profile}/")
    for folder in folders(profile):
        print(against_committed(folder))
    return 0


def folders(profile: str) -> list[str]:
    """The folders of figures that a profile makes."""
    return list(yaml.safe_load((ROOT / f"workflow/config/{profile}.yaml").read_text())["figures"])


def against_committed(folder: str) -> str:
    """A line: which verdicts came out otherwise here than in the committed tables."""
    here, there = (_verdicts(path / folder) for path in (MADE, ROOT / "figures"))
    if not there:
        return f"figures/{folder} has no committed verdicts to compare with."
    other = [claim for claim in here if claim in there and here[claim] != there[claim]]
    said = (
        f"{len(here) - len(other)} of {len(here)} verdicts are those committed in figures/{folder}"
    )
    if not other:
        return f"{said}."
    listed = "".join(f"\n  {c}: {here[c]} (committed: {there[c]})" for c in other)
    return f"{said}; processors differ in the last digits, and so do trained networks:{listed}"


def _verdicts(folder: Path) -> dict[str, str]:
    """Verdict by claim, of every table of claims in a folder."""
    found = {}
    for path in sorted(folder.glob("*_claims.csv")):
        with path.open(newline="") as stream:
            found |= {row["claim"]: row["verdict"] for row in csv.DictReader(stream)}
    return found


def publish(profile: str) -> int:
    """Put what was made here in the place of what is committed."""
    if missing := [folder for folder in folders(profile) if not (MADE / folder).is_dir()]:
        print(f"{MADE / missing[0]} is not there: make figures PROFILE={profile}", file=sys.stderr)
        return 1
    for folder in folders(profile):
        shutil.rmtree(ROOT / "figures" / folder, ignore_errors=True)
        shutil.copytree(MADE / folder, ROOT / "figures" / folder)
        for copy in (ROOT / "figures" / folder).glob("*.ipynb"):  # a folder nearer to the series
            copy.write_text(copy.read_text().replace("](../../../", "](../../"))
        print(f"figures/{folder} is now what was made here")
    return 0


if __name__ == "__main__":
    sys.exit(main())
