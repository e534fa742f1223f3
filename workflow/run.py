"""`make figures`: run the workflow of a profile, recover from a crash before, and say what came of it."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Returns the exit status of the workflow, or 2 for a wrong call."""
    profiles = sorted(path.stem for path in (ROOT / "workflow/config").glob("*.yaml"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", help=f"one of {', '.join(profiles)}")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args()
    if options.profile not in profiles:
        print(f"PROFILE={options.profile}: must be one of {', '.join(profiles)}", file=sys.stderr)
        return 2
    (ROOT / "runs").mkdir(exist_ok=True)
    # Snakemake's own lock outlives a crash. This one does not, so whoever holds it may clear that.
    try:
        with FileLock(ROOT / "runs/.workflow.lock", blocking=False):
            return run(options.profile, options.cores, options.dry_run)
    except Timeout:
        print("another `make figures` is running in this folder; wait for it", file=sys.stderr)
        return 1


def run(profile: str, cores: int, dry_run: bool) -> int:
    """Run Snakemake on a profile and list the files that it made."""
    config = f"workflow/config/{profile}.yaml"
    # One notebook at a time on a GPU; without one the cores are the only limit.
    gpus = 1 if shutil.which("nvidia-smi") else cores
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile",
        "--configfile", config, "--cores", str(cores), "--resources", f"gpu={gpus}",
    ]  # fmt: skip
    started = time.time()
    if subprocess.run([*command, "--unlock", "--quiet", "all"], cwd=ROOT).returncode:
        return 1
    flags = ["--dry-run"] if dry_run else ["--rerun-incomplete", "--keep-going"]
    status = subprocess.run([*command, *flags, "--quiet", "rules"], cwd=ROOT).returncode
    if dry_run:
        return status
    minutes = (time.time() - started) / 60
    if status:
        print(f"\nNot finished after {minutes:.1f} minutes: see the cell and the reason above.")
        print("What is finished is kept; the same command goes on from there.")
        return status
    datasets = yaml.safe_load((ROOT / config).read_text())["datasets"]
    print(f"\nFinished in {minutes:.1f} minutes. Figures and tables:")
    for dataset in datasets:
        for path in sorted((ROOT / "figures" / Path(dataset).name).rglob("*.*")):
            if path.suffix in (".png", ".md"):
                print(f"  {path.relative_to(ROOT)}")
    print(f"Executed notebooks: runs/notebooks/{profile}/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
