"""The machine: its devices, and the versions that numbers depend on (Table 1)."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Literal, cast, get_args

import torch

from innt_lib.system import VERSION

Precision = Literal["float32", "bfloat16"]


def pick_device(device: str = "auto") -> torch.device:
    """``"auto"``: the GPU if there is one; else the one named, which must exist (ValueError)."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = None
    if chosen is None or chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"device (={device!r}) must be auto, cpu, cuda or cuda:<number>")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if chosen.type == "cuda" and (chosen.index or 0) >= gpus:
        has = f"has {gpus} CUDA GPU(s), from cuda:0 on" if gpus else "has no CUDA GPU"
        raise ValueError(
            f"device (={device!r}) was asked for, but this machine {has}; use auto"
            + ("" if gpus else " or cpu")
        )
    return chosen


def pick_precision(precision: str, device: str = "auto") -> Precision:
    """``"auto"``: bfloat16 on a GPU, float32 on a CPU; else as named.

    On CPUs float32 is the safe choice: without bfloat16 instructions a step under bfloat16 autocast
    takes many times as long.

    Raises:
        ValueError: another precision; a device that does not exist.
    """
    if precision not in ("auto", *get_args(Precision)):
        known = ", ".join(("auto", *get_args(Precision)))
        raise ValueError(f"precision (={precision!r}) must be one of {known}")
    if precision == "auto":
        return "bfloat16" if pick_device(device).type == "cuda" else "float32"
    return cast(Precision, precision)


def machine() -> dict[str, str]:
    """Operating system, processor, GPU and memory of this machine, and the versions of Table 1."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "operating system": _operating_system(),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "GPU": gpu,
        "memory": _memory(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if torch.version.cuda and gpu != "none" else "not used",
    }


def versions() -> dict[str, str]:
    """Versions recorded with every run."""
    return {
        "innt_lib": VERSION,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
    }


def device_name(device: torch.device) -> str:
    """The GPU's name, or the number of CPU threads (sums differ in the last bits between numbers)."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} threads"


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:  # not Linux
        return platform.platform(terse=True)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    if "SC_PHYS_PAGES" not in os.sysconf_names:
        return "unknown"
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"


@functools.cache
def _commit() -> str:
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return "unknown"  # an installed copy; git would answer for the project that it lies in
    command = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # a machine without git
