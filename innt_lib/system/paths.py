"""Where things live: the only file of the library that knows a path.

Everything hangs off one root: the checkout that holds this package, or the folder named by the
environment variable ``INNT_ROOT`` (for an installed copy, for tests, for a cluster's scratch disk).
"""

from __future__ import annotations

import os
from pathlib import Path


def root() -> Path:
    """The folder that holds ``data/``, ``runs/`` and ``figures/``."""
    chosen = os.environ.get("INNT_ROOT")
    if chosen:
        return Path(chosen).expanduser().resolve()
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "notebooks").is_dir() else Path.cwd()


def data_dir() -> Path:
    """Data sets, each in a folder of its own; see ``data/README.md``."""
    return root() / "data"


def runs_dir() -> Path:
    """Trained networks and their evaluations, one folder a run."""
    return root() / "runs"


def resolve(path: str | Path) -> Path:
    """A path as given if absolute, else below the root (not below the current folder).

    Notebooks are started from different folders by JupyterLab, papermill and nbval; this makes
    the same parameter mean the same place for all three.
    """
    path = Path(path).expanduser()
    return path if path.is_absolute() else root() / path
