"""Times of alternatives, measured in turns, so that all of them meet the same machine."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

REPETITIONS = 5


def interleaved(
    work: dict[str, Callable[[], object]], repetitions: int = REPETITIONS
) -> dict[str, float]:
    """Median seconds of each function; one round to warm up, then all in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for repetition in range(repetitions + 1):
        for name, function in work.items():
            started = time.perf_counter()
            function()
            if repetition:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def in_new_process(code: str) -> str:
    """What a piece of Python prints, run by itself."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def peak_memory(setup: str, work: str) -> float:
    """MiB by which the peak memory of a new process rises while it does some work (Linux only)."""
    # Not getrusage: its peak begins with that of the process that started this one.
    peak = "int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    code = f"{setup}\nbefore = {peak}\n{work}\nprint({peak} - before)"
    return int(in_new_process(code)) / 1024
