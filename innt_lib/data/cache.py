"""Images decoded once: a memory-mapped uint8 array a set of images and a size.

`.cache/` in the data folder holds, for every list of images asked for, one array named after the
content of the files and the size, and for every data set's folder a note of the files' hashes, so
that unchanged files are not read again to know it. It may be deleted at any time. Files are written
under a temporary name and renamed, under a lock: two processes that ask at once decode once.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from filelock import FileLock
from PIL import Image, ImageOps, UnidentifiedImageError

from innt_lib.data.listing import Listing, Record
from innt_lib.system import files
from innt_lib.system.paths import data_dir
from innt_lib.system.progress import progress

T = TypeVar("T")
R = TypeVar("R")
VERSION = 1  # part of every key: raise it when decoding changes


class Seen(NamedTuple):
    """What is known of an image before it is decoded: hash of its file, width and height."""

    digest: str
    width: int
    height: int


def cache_dir() -> Path:
    """The folder of the decoded images, created if absent."""
    folder = data_dir() / ".cache"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def survey(listing: Listing, positions: np.ndarray) -> list[Seen]:
    """Hash and measure the images at `positions` of a listing, reading only what has changed.

    A file counts as unchanged if its size and its times of modification and change are as noted.

    Raises:
        FileNotFoundError: an image that is listed is not there.
        ValueError: a file that is empty or no image.
    """
    records = [listing.records[i] for i in positions]
    if listing.pixels is not None:
        return [_of_array(listing.pixels[i]) for i in positions]

    kind = "upright" if listing.upright else "stored"
    folder = os.path.abspath(listing.folder)
    note = cache_dir() / f"files-{_hash(os.fsencode(folder), kind.encode())[:16]}.json"
    known: dict[str, list[Any]] = _read_note(note)
    marks: dict[str, list[int]] = {}
    for record in records:
        try:
            stat = os.stat(f"{folder}/{record.id}")
        except (FileNotFoundError, NotADirectoryError):
            raise _not_there(folder, record.id) from None
        marks[record.id] = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    new = [r for r in records if known.get(r.id, [None])[:3] != marks[r.id]]
    if new:
        seen = in_threads(
            lambda record: _look(listing, record), new, f"reading {listing.folder.name}"
        )
        known |= {r.id: [*marks[r.id], *s] for r, s in zip(new, seen, strict=True)}
        with FileLock(f"{note}.lock"):
            text = json.dumps(_read_note(note) | known)
            files.write(note, lambda stream: stream.write(text.encode()))
    return [Seen(*known[record.id][3:]) for record in records]


def _of_array(image: np.ndarray) -> Seen:
    return Seen(_hash(image.tobytes()), image.shape[1], image.shape[0])


def _look(listing: Listing, record: Record) -> Seen:
    content = _read(listing.folder, record.id)
    with _named(listing.folder, record.id), Image.open(io.BytesIO(content)) as image:
        width, height = image.size
        # EXIF orientations 5 to 8 lie on their side
        if listing.upright and image.getexif().get(0x0112, 1) >= 5:
            width, height = height, width
    return Seen(_hash(content), width, height)


def decode(listing: Listing, positions: np.ndarray, seen: list[Seen], size: int) -> np.ndarray:
    """Decode the images at `positions`, or find them decoded.

    Direct resize to `size` x `size`, bilinear with antialiasing, after conversion to RGB
    (`to_rgb`). Returns (N, size, size, 3) uint8, a read-only memory map.

    Raises:
        ValueError: an image that cannot be decoded; nothing is left behind.
        OSError: not enough room on the disk.
    """
    shape = (len(positions), size, size, 3)
    key = _hash(f"{VERSION} {size} {listing.upright}".encode(), *(s.digest.encode() for s in seen))
    path = cache_dir() / f"{listing.folder.name}-{size}-{key[:20]}.npy"
    with FileLock(f"{path}.lock"):
        ready = _open(path, shape)
        if ready is not None:
            return ready
        needed, free = int(np.prod(shape)), shutil.disk_usage(path.parent).free
        if needed > free:  # a memory map that outgrows the disk would kill the process
            raise OSError(
                f"{path.parent}: decoding {shape[0]} images at {size} px takes "
                f"{needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free"
            )
        temporary = path.with_suffix(".tmp")  # one writer at a time: the lock is held
        try:
            _fill(temporary, listing, positions, shape)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        ready = _open(path, shape)
        assert ready is not None
        return ready


def _fill(path: Path, listing: Listing, positions: np.ndarray, shape: tuple[int, ...]) -> None:
    """Decode into a new array file, and see it on the disk."""
    array = np.lib.format.open_memmap(path, "w+", np.uint8, shape)

    def place(row: int) -> None:
        array[row] = _decode_one(listing, int(positions[row]), shape[1])

    in_threads(place, range(len(positions)), f"decoding {listing.folder.name}")
    array.flush()
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any image to 8-bit RGB.

    Transparent pixels (RGBA, grey with alpha, a palette with a transparent colour) are laid on
    white; 16-bit grey is scaled to 8 bits (65535 becomes 255), not clipped; CMYK, grey, palette and
    the rest are converted as Pillow does.

    Raises:
        ValueError: 32-bit integer or floating-point pixels, whose range is not known.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        # Pillow reads 16-bit PNG and PGM as 32-bit integers in some versions
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode}, whose range is not known: save as 8-bit")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _decode_one(listing: Listing, position: int, size: int) -> np.ndarray:
    if listing.pixels is not None:
        image = Image.fromarray(listing.pixels[position])
        return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    name = listing.records[position].id
    content = _read(listing.folder, name)
    with _named(listing.folder, name), Image.open(io.BytesIO(content)) as opened:
        opened.load()
        if listing.upright:
            ImageOps.exif_transpose(opened, in_place=True)
        return np.asarray(to_rgb(opened).resize((size, size), Image.Resampling.BILINEAR))


class _named:
    """Whatever goes wrong inside is a ValueError that names the image (Pillow raises all sorts)."""

    def __init__(self, folder: str | Path, name: str) -> None:
        self.path = f"{folder}/{name}"

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception):
            unknown = isinstance(error, UnidentifiedImageError)  # its text is of no use
            why = "it is in no known image format" if unknown else str(error)
            raise ValueError(f"{self.path}: this image cannot be decoded: {why}") from error


def _not_there(folder: str | Path, name: str) -> FileNotFoundError:
    return FileNotFoundError(f"{folder}/{name}: this image is listed but not there")


def _read(folder: str | Path, name: str) -> bytes:
    try:
        with open(f"{folder}/{name}", "rb") as file:
            content = file.read()
    except (FileNotFoundError, NotADirectoryError):
        raise _not_there(folder, name) from None
    if not content:
        raise ValueError(f"{folder}/{name}: this image cannot be decoded: the file is empty")
    return content


def look_whole(listing: Listing, position: int) -> Seen:
    """Read and decode one image to see that it can be; errors as of `survey` and `decode`."""
    _decode_one(listing, position, 8)
    if listing.pixels is not None:
        return _of_array(listing.pixels[position])
    return _look(listing, listing.records[position])


def in_threads(work: Callable[[T], R], items: Iterable[T], title: str) -> list[R]:
    """Map in threads (Pillow frees the interpreter while it decodes), with a progress bar."""
    Image.init()  # not in the threads: the first to find a rare format would race the others
    items = list(items)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        try:
            results = pool.map(work, items)
            return list(progress(results, desc=title, unit="image", total=len(items)))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # an error or Ctrl-C need not wait for the rest
            raise


def _open(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    try:
        array = np.load(path, mmap_mode="r")
    except (FileNotFoundError, ValueError, EOFError):  # absent, or damaged from outside
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


def _read_note(path: Path) -> dict[str, list[Any]]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # absent, or damaged: the files are read again
        return {}


def _hash(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
