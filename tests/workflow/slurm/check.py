"""`make test-slurm`: a small grid through a real SLURM, undisturbed and with faults in the middle.

Each time anew in a temporary copy of the project. After every fault the same command is given again,
and in the end all tables must be those of a run without SLURM. The machine becomes a cluster of one
node for that long (start.sh, stop.sh); it needs root, and minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from kill_figures import PROFILE, children, copy, finished, tables, until  # noqa: E402

Process = subprocess.Popen[bytes]
Fault = Callable[[Process], None]
STARTED: list[Process] = []


def project(folder: Path, **gpu: Any) -> Path:
    """A copy with a grid of minutes, and SLURM settings for a small node that is asked often."""
    copy(folder)
    (folder / "workflow/config/tiny.yaml").write_text(PROFILE.replace("epochs: 2", "epochs: 1"))
    path = folder / "workflow/profiles/slurm/config.yaml"
    settings = yaml.safe_load(path.read_text())
    settings |= {"latency-wait": 10, "seconds-between-status-checks": 2}
    settings["slurm-init-seconds-before-status-checks"] = 2
    settings["default-resources"]["mem_mb"] = 1000
    for rule in settings["set-resources"].values():
        rule |= {"mem_mb": 2000, "runtime": 20, **gpu}
    path.write_text(yaml.safe_dump(settings))
    return folder


def start(folder: Path, *options: str) -> Process:
    """What `make figures PROFILE=tiny` does; its messages go to a log."""
    environment = os.environ | {"PYTHONPATH": str(folder), "INNT_ROOT": str(folder)}
    command = [sys.executable, "workflow/run.py", "tiny", *(options or ("--slurm",))]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    STARTED.append(process)
    return process


def queue(*states: str) -> dict[str, str]:
    """Jobs in SLURM's queue: what each is for, by its number."""
    command = ["squeue", "--noheader", "--states", ",".join(states), "--format", "%i %k"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(line.split(maxsplit=1) for line in lines)


def training() -> list[str]:
    """Numbers of the jobs that train at this moment."""
    return [number for number, what in queue("RUNNING").items() if what.startswith("rule_train")]


def set_node(state: str) -> None:
    """Drain the node, or set it down."""
    command = ["scontrol", "update", "nodename=localhost", f"state={state}", "reason=test"]
    subprocess.run(command, check=True)


def resume_node() -> None:
    """The node takes jobs again; one that was down may do so by itself, and resuming it is an error."""
    command = ["scontrol", "update", "nodename=localhost", "state=resume"]
    subprocess.run(command, capture_output=True)

    def state() -> str:
        asked = ["sinfo", "--noheader", "--partition", "cpu", "--format", "%t"]
        return subprocess.run(asked, capture_output=True, text=True).stdout.strip()

    until(lambda: state() in ("idle", "mix", "alloc"), "the node to come back", 60)


def cancel(process: Process) -> None:
    """A training job is cancelled."""
    subprocess.run(["scancel", training()[0]], check=True)


def interrupt(process: Process) -> None:
    """Ctrl-C."""
    for one in (process.pid, *children(process.pid)):
        os.kill(one, signal.SIGINT)
    process.wait()
    until(lambda: not queue("RUNNING", "PENDING"), "the jobs to be cancelled", 60)


def kill(process: Process) -> None:
    """Snakemake and run.py are killed; their jobs live on."""
    for victim in (process.pid, *children(process.pid)):
        os.kill(victim, signal.SIGKILL)
    process.wait()


def drain(process: Process) -> None:
    """The node takes no more jobs, and lets the running one finish; then it comes back."""
    set_node("drain")
    until(lambda: not queue("RUNNING"), "the running job to finish")
    time.sleep(5)
    resume_node()


def down(process: Process) -> None:
    """The node dies with its job; then it comes back."""
    dead = queue("RUNNING")
    set_node("down")
    until(lambda: not set(dead) & set(queue("RUNNING")), "the running job to die")
    time.sleep(5)
    resume_node()


def sweep(folder: Path) -> None:
    """End what is left of a dead node's jobs in a folder: without cgroups SLURM loses sight of it."""
    found = subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, text=True).stdout
    for number in found.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(number), signal.SIGKILL)


def watch(process: Process) -> int:
    """Wait for a run; the number of looks at the queue that saw one job in it twice."""
    twice = 0
    while process.poll() is None:
        named = list(queue("RUNNING", "PENDING").values())
        twice += len(named) != len(set(named))
        time.sleep(1)
    return twice


def disturbed(folder: Path, fault: Fault, whole: dict[str, bytes]) -> dict[str, object]:
    """A run with a fault in the middle, the same command until it is finished, and what was lost."""
    process = start(folder)
    until(
        lambda: finished(folder) and training() or process.poll() is not None, "a second training"
    )
    fault(process)
    before = finished(folder)
    twice, starts = watch(process), 1
    while (process.returncode or starts == 1) and starts < 4:
        process = start(folder)
        twice, starts = twice + watch(process), starts + 1
    return {
        "fault": (fault.__doc__ or "").rstrip("."),
        "recovered": "no" if process.returncode else "yes",
        "times started": starts,
        "finished trainings lost": sum(finished(folder)[r] != t for r, t in before.items()),
        "jobs submitted twice": twice,
        "tables that differ": different(folder, whole),
    }


def different(folder: Path, whole: dict[str, bytes]) -> int:
    """How many tables are not byte for byte those of the run without SLURM; the machine's apart."""
    found = tables(folder)
    names = {name for name in whole | found if not name.endswith("table1_environment.csv")}
    wrong = sorted(name for name in names if whole.get(name) != found.get(name))
    for name in wrong:
        print(f"differs: {folder.name}/{name}")
    return len(wrong)


def show(rows: list[dict[str, object]]) -> None:
    """A table of what happened."""
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + " --- |" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")


def main() -> int:
    """Returns 0 if everything recovered and every table is equal."""
    faults = {fault.__name__: fault for fault in (cancel, interrupt, kill, drain, down)}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", nargs="*", choices=faults, default=list(faults))
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # not ignored, for `interrupt`
    if status := subprocess.run([HERE / "start.sh"]).returncode:
        return status
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        try:
            local = project(Path(name) / "local")
            began = time.monotonic()
            if start(local, "--cores", "2").wait():
                raise RuntimeError("the run without SLURM failed")
            whole = tables(local)
            print(
                f"without SLURM: {time.monotonic() - began:.0f} s, {len(whole)} tables", flush=True
            )

            began, through = time.monotonic(), project(Path(name) / "through")
            process = start(through)
            twice = watch(process)
            seconds = time.monotonic() - began
            rows.append(
                {
                    "fault": f"None ({seconds:.0f} s)",
                    "recovered": "no" if process.returncode else "yes", "times started": 1,
                    "finished trainings lost": 0, "jobs submitted twice": twice,
                    "tables that differ": different(through, whole),
                }
            )  # fmt: skip
            show(rows)
            # From here on the other way of asking for a GPU.
            for fault in options.faults:
                folder = project(Path(name) / fault, gpu=0, gres="gpu:1")
                rows.append(disturbed(folder, faults[fault], whole))
                print(f"{fault}: {rows[-1]}", flush=True)
        except (RuntimeError, TimeoutError, AssertionError, subprocess.SubprocessError) as error:
            for log in sorted(Path(name).glob("*/log")):
                print(f"--- {log.parent.name}\n{log.read_text()[-1500:]}")
            print(error, file=sys.stderr)
            return 1
        finally:
            for process in STARTED:
                if process.poll() is None:
                    kill(process)
            subprocess.run([HERE / "stop.sh"])
            sweep(Path(name))
    print()
    show(rows)
    good = [row["recovered"] == "yes" and not any(list(row.values())[3:]) for row in rows]
    return int(not all(good))


if __name__ == "__main__":
    sys.exit(main())
