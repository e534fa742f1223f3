"""Progress bars for people who watch: one at a time, and none for notebooks that run unwatched."""

from __future__ import annotations

import os
import weakref
from functools import cache
from typing import Any

from tqdm.auto import tqdm

RUNNERS = ("papermill", "nbconvert", "pytest", "execute.py")
_open: weakref.WeakSet[_Bar] = weakref.WeakSet()


class _Bar(tqdm):
    def close(self) -> None:
        _open.discard(self)
        super().close()


def progress(
    iterable: Any = None, *, desc: str, unit: str, total: int | None = None, **options: Any
) -> Any:
    """A bar that is gone when it is done.

    There is none where nobody looks on, for a single step, or inside of what has a bar already: a
    notebook keeps the place of every bar that it ever showed.

    Args:
        iterable: what is gone through; None for a bar that is updated by hand.
        desc, unit, total, options: as for tqdm.
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    hidden = bool(_open) or unwatched() or (total is not None and total < 2)
    given = {"leave": False, "mininterval": 1, "delay": 1} | options
    bar = _Bar(iterable, desc=desc, unit=unit, total=total, disable=hidden, **given)
    if not hidden:
        _open.add(bar)
    return bar


@cache
def unwatched() -> bool:
    """Whether a notebook is run for a file, not for eyes: by papermill, nbconvert or nbval.

    The environment variable ``TQDM_DISABLE`` says so for any process.
    """
    if os.environ.get("TQDM_DISABLE"):
        return True
    try:
        import psutil  # there wherever a kernel is

        commands = [" ".join(parent.cmdline()) for parent in psutil.Process().parents()[:2]]
    except (ImportError, OSError, psutil.Error):
        return False
    return any(runner in command for command in commands for runner in RUNNERS)
