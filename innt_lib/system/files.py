"""Files that are whole or absent."""

from __future__ import annotations

import glob
import io
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".tmp"


def sweep(folder: Path, name: str = "") -> None:
    """Remove what killed writers left half-written; only while nobody writes there.

    Args:
        folder: where.
        name: of a file, without its ending: only what was to become ``name.*``; empty: everything.
    """
    for leftover in folder.glob(f".{glob.escape(name)}.*{SUFFIX}" if name else f".*{SUFFIX}"):
        leftover.unlink()


def check_writable(folder: Path) -> None:
    """Raise PermissionError, naming the folder, unless files can be written in it; it is made if absent."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PermissionError(
            f"{folder}: no results can be written here ({error.strerror})"
        ) from None


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside one that does not exist yet, which takes its name if all goes well.

    Raises:
        FileExistsError: the folder exists.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists; remove it to make it anew")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        os.rename(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write(path: Path, writer: Callable[[BinaryIO], object]) -> None:
    """Write a file whole or not at all: to a temporary name beside it, flushed, then renamed.

    Raises:
        OSError: of the kind that occurred (no space left, no permission, ...), naming the file; what
            was there before is there still.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, writer)
    except OSError as error:
        why = f"could not be written ({error.strerror}); what was there before is kept"
        raise type(error)(error.errno, why, str(path)) from None


def _write(path: Path, writer: Callable[[BinaryIO], object]) -> None:
    # Not mkstemp: what it makes is for the owner's eyes only, and results are shared.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{SUFFIX}")
    try:
        with io.FileIO(temporary, "x") as raw, io.BufferedWriter(raw) as stream:
            writer(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
