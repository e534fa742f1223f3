"""Damaged data sets: each kind is a clear error or a right result; docs/damage.md lists them all.

`UPDATE=1 pytest tests/data/test_damage.py` writes the page anew.
"""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from innt_lib import data
from innt_lib.data import check

PAGE = Path(__file__).resolve().parents[2] / "docs" / "damage.md"
SIDE = 20
FIRST = "images/a/0.jpg"  # the image that comes to harm, in the layout of CUB-200-2011
ONE = "train/a/0.jpg"  # and in an image folder


def picture(seed: int, size: tuple[int, int] = (SIDE, SIDE), mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def cub(folder: Path) -> None:
    """Two classes of two training images and one test image."""
    lines: dict[str, list[str]] = {name: [] for name in FILES}
    lines["classes.txt"] = ["1 a", "2 b"]
    for key in range(1, 7):
        group, number = "ab"[(key - 1) // 3], (key - 1) % 3
        path = folder / "images" / group / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(key).save(path)
        lines["images.txt"].append(f"{key} {group}/{number}.jpg")
        lines["image_class_labels.txt"].append(f"{key} {'ab'.index(group) + 1}")
        lines["train_test_split.txt"].append(f"{key} {int(number < 2)}")
        lines["bounding_boxes.txt"].append(f"{key} 2.0 2.0 10.0 10.0")
    for name, content in lines.items():
        (folder / name).write_text("\n".join(content) + "\n")


def plain(folder: Path) -> None:
    """The same as an image folder with boxes."""
    rows = ["path,x,y,width,height"]
    for seed, (part, group, number) in enumerate(
        (p, g, n) for g in "ab" for p, count in (("train", 2), ("test", 1)) for n in range(count)
    ):
        path = folder / part / group / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(path)
        rows.append(f"{part}/{group}/{number}.jpg,2,2,10,10")
    (folder / "boxes.csv").write_text("\n".join(rows) + "\n")


FILES = (
    "images.txt", "image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt",
    "classes.txt",
)  # fmt: skip


# --- kinds of damage ---------------------------------------------------------------------------------


def content(make: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / ONE
        path.write_bytes(make(path.read_bytes()))

    return damage


def saved(image: Image.Image, kind: str = "PNG", **options) -> Callable[[Path], None]:
    """The bytes of an image of this kind, whatever the name of the file says."""

    def damage(folder: Path) -> None:
        stream = io.BytesIO()
        image.save(stream, kind, **options)
        (folder / ONE).write_bytes(stream.getvalue())

    return damage


def without_box(damage: Callable[[Path], None]) -> Callable[[Path], None]:
    """For images whose size would not fit the box."""

    def both(folder: Path) -> None:
        (folder / "boxes.csv").unlink()
        damage(folder)

    return both


def line(name: str, old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return damage


def raw(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return damage


def bomb(content: bytes) -> bytes:
    """A PNG of a few bytes that says it is 50,000 x 50,000."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )  # fmt: skip


def rotated(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(0, (30, 10)).save(folder / ONE, exif=exif)


def animated(folder: Path) -> None:
    frames = [picture(seed, mode="P") for seed in range(3)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    (folder / ONE).write_bytes(stream.getvalue())


def link_outside(folder: Path) -> None:
    other = folder.parent / "elsewhere.jpg"
    picture(9).save(other)
    (folder / ONE).unlink()
    (folder / ONE).symlink_to(other)


def dangling(folder: Path) -> None:
    (folder / ONE).unlink()
    (folder / ONE).symlink_to(folder / "nowhere.jpg")


def undecodable_name(folder: Path) -> None:
    os.rename(os.fsencode(folder / ONE), os.fsencode(folder / "train/a") + b"/\xff\xfe.jpg")
    (folder / "boxes.csv").unlink()


def leak(folder: Path) -> None:
    (folder / "test/a/0.jpg").write_bytes((folder / ONE).read_bytes())


def renamed(folder: Path) -> None:
    (folder / "images/a").rename(folder / "images/A")


def shuffled(folder: Path) -> None:
    for name in FILES:
        lines = (folder / name).read_text().splitlines()
        (folder / name).write_text("\n".join(lines[::-1]) + "\n")


def zero_based(folder: Path) -> None:
    labels = (folder / FILES[1]).read_text()
    down = re.sub(r" (\d)$", lambda m: f" {int(m[1]) - 1}", labels, flags=re.M)
    (folder / FILES[1]).write_text(down)


BAD_UTF8 = b"\xff\xfe1 a\n"
BOM = b"\xef\xbb\xbf"
FOLDER_DAMAGE: dict[str, Callable[[Path], None]] = {
    "truncated JPEG": content(lambda c: c[: len(c) // 2]),
    "JPEG without its first bytes": content(lambda c: c[10:]),
    "zero-byte file": content(lambda c: b""),
    "text renamed .jpg": content(lambda c: b"not an image\n"),
    "random bytes": content(lambda c: bytes(range(256)) * 4),
    "PNG named .jpg": saved(picture(0)),
    "1 x 1 image": without_box(saved(picture(0, (1, 1)))),
    "1 x 1 image with a larger box": saved(picture(0, (1, 1))),
    "20000 x 1 image": without_box(saved(picture(0, (20_000, 1)))),
    "decompression bomb": content(bomb),
    "CMYK JPEG": saved(picture(0, mode="CMYK"), "JPEG"),
    "16-bit grey PNG": saved(Image.fromarray(np.full((SIDE, SIDE), 65535, np.uint16))),
    "floating-point TIFF": saved(Image.fromarray(np.ones((SIDE, SIDE), np.float32)), "TIFF"),
    "transparent PNG": saved(picture(0).convert("RGBA")),
    "animated GIF": animated,
    "EXIF rotation": rotated,
    "symbolic link out of the folder": link_outside,
    "dangling symbolic link": dangling,
    "file name that is not UTF-8": undecodable_name,
    "same image in train and test": leak,
    "class without training images": lambda f: (
        [p.unlink() for p in (f / "train/b").iterdir()] and (f / "boxes.csv").unlink()
    ),
    "class without test images": lambda f: (
        (f / "test/b/0.jpg").unlink() or (f / "boxes.csv").unlink()
    ),
    "empty folder of a class": lambda f: (f / "train/c").mkdir(),
    "folder inside a class": lambda f: (f / "train/a/more").mkdir(),
    "hidden file among the images": lambda f: (f / "train/a/._0.jpg").write_text("x"),
    "file that is no image": lambda f: (f / "train/a/notes.txt").write_text("x"),
    "boxes.csv with Windows line ends and BOM": raw(
        "boxes.csv", lambda c: BOM + c.replace(b"\n", b"\r\n")
    ),
    "boxes.csv with semicolons": raw("boxes.csv", lambda c: c.replace(b",", b";")),
    "boxes.csv without a column": line("boxes.csv", "height", "h"),
    "boxes.csv: NaN box": line("boxes.csv", "2,2,10,10", "nan,2,10,10"),
    "boxes.csv: infinite box": line("boxes.csv", "2,2,10,10", "2,2,inf,10"),
    "boxes.csv: negative width": line("boxes.csv", "2,2,10,10", "2,2,-10,10"),
    "boxes.csv: box beyond the image": line("boxes.csv", "2,2,10,10", "12,2,10,10"),
    "boxes.csv: word for a number": line("boxes.csv", "2,2,10,10", "2,two,10,10"),
    "boxes.csv: a field too few": line("boxes.csv", "2,2,10,10", "2,2,10"),
    "boxes.csv: image that is not there": line("boxes.csv", "train/a/0.jpg", "train/a/7.jpg"),
    "boxes.csv: two boxes for an image": line("boxes.csv", "train/a/1.jpg", "train/a/0.jpg"),
    "boxes.csv: path out of the folder": line("boxes.csv", "train/a/0.jpg", "../0.jpg"),
    "boxes.csv that is not UTF-8": raw("boxes.csv", lambda c: c + b"\xff\xfe"),
}
CUB_DAMAGE: dict[str, Callable[[Path], None]] = {
    "image that is listed but missing": lambda f: (f / FIRST).unlink(),
    "folder of another case": renamed,
    "Windows line ends and BOM": raw("images.txt", lambda c: BOM + c.replace(b"\n", b"\r\n")),
    "text file that is not UTF-8": raw("classes.txt", lambda c: BAD_UTF8 + c),
    "no text file": lambda f: (f / "train_test_split.txt").unlink(),
    "empty list of images": raw("images.txt", lambda c: b""),
    "ids out of order": shuffled,
    "missing line": line("image_class_labels.txt", "1 1\n", ""),
    "extra line about another image": line("bounding_boxes.txt", "1 2.0", "99 1 1 5 5\n1 2.0"),
    "id given twice": line("images.txt", "2 a/1.jpg", "1 a/1.jpg"),
    "image listed twice": line("images.txt", "2 a/1.jpg", "2 a/0.jpg"),
    "id that is no number": line("images.txt", "1 a/0.jpg", "one a/0.jpg"),
    "line with too much": line("train_test_split.txt", "1 1\n", "1 1 1\n"),
    "split that is neither 0 nor 1": line("train_test_split.txt", "1 1\n", "1 2\n"),
    "class ids from 0": zero_based,
    "class that has no name": line("image_class_labels.txt", "1 1\n", "1 9\n"),
    "NaN box": line("bounding_boxes.txt", "1 2.0 2.0", "1 nan 2.0"),
    "negative box": line("bounding_boxes.txt", "1 2.0 2.0 10.0", "1 2.0 2.0 -10.0"),
    "box mostly beyond the image": line("bounding_boxes.txt", "1 2.0 2.0", "1 16.0 2.0"),
    "box a little beyond the image": line("bounding_boxes.txt", "1 2.0 2.0", "1 12.0 2.0"),
    "path that leads out of the folder": line("images.txt", "1 a/0.jpg", "1 ../../a/0.jpg"),
    "blank lines": raw("images.txt", lambda c: c.replace(b"\n", b"\n\n")),
    "all images for training": raw("train_test_split.txt", lambda c: c.replace(b" 0\n", b" 1\n")),
}  # fmt: skip
LAYOUTS = {"image folder": (plain, FOLDER_DAMAGE), "CUB layout": (cub, CUB_DAMAGE)}
KINDS = [(layout, name) for layout, (_, kinds) in LAYOUTS.items() for name in kinds]


def outcome(folder: Path, on_bad: data.OnBad) -> str:
    """What loading comes to: an error in one line, or how many images."""
    try:
        found = data.load(str(folder), 16, on_bad=on_bad)
    except (ValueError, FileNotFoundError) as error:
        return f"error: {shorter(str(error), folder)}"
    for part in (found.train, found.test):
        assert part.images.shape[1:] == (16, 16, 3) and part.images.dtype == np.uint8
    skipped = f", {len(found.skipped)} skipped" if found.skipped else ""
    return f"{len(found.train)} + {len(found.test)} images{skipped}"


def shorter(text: str, folder: Path) -> str:
    text = re.sub(r"<_io.BytesIO object at 0x[0-9a-f]+>", "file", text.replace(f"{folder}/", ""))
    return text.replace(str(folder), folder.name).replace("|", "/")


def examined(folder: Path) -> str:
    try:
        report = check.examine(str(folder))
    except (ValueError, FileNotFoundError) as error:
        return f"error: {shorter(str(error), folder)}"
    return "; ".join(shorter(t, folder) for t in (*report.problems, *report.leaks)) or "nothing"


def measured(folder: Path, layout: str, name: str) -> tuple[str, str, str]:
    """What strict loading, the check and skipping make of a kind of damage."""
    make, kinds = LAYOUTS[layout]
    folder.mkdir()
    make(folder)
    kinds[name](folder)
    return outcome(folder, "error"), examined(folder), outcome(folder, "skip")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("INNT_ROOT", str(tmp_path))


@pytest.fixture(scope="module")
def page() -> dict[tuple[str, str], list[str]]:
    """The rows of the documentation, by layout and damage."""
    rows = [line.strip("| \n").split(" | ") for line in PAGE.read_text().splitlines()]
    return {(row[0], row[1]): row[2:] for row in rows if len(row) == 5}


def test_there_are_enough_kinds():
    assert len(KINDS) >= 40


@pytest.mark.skipif(bool(os.environ.get("UPDATE")), reason="the page is written anew")
@pytest.mark.parametrize("layout, name", KINDS, ids=[f"{a}: {b}" for a, b in KINDS])
def test_damage_is_what_the_documentation_says(layout, name, tmp_path, page):
    strict, found, skipping = measured(tmp_path / "data set", layout, name)
    assert "\n" not in strict + found
    assert [strict, found, skipping] == page[layout, name]
    if strict.startswith("error"):  # then the check knows of it, and nothing went in unseen
        assert found != "nothing"
        assert skipping.startswith("error") or "skipped" in skipping
    else:
        assert skipping == strict


@pytest.mark.skipif(not os.environ.get("UPDATE"), reason="only with UPDATE=1")
def test_write_the_page(tmp_path):
    rows = []
    for i, (layout, name) in enumerate(KINDS):
        (tmp_path / str(i)).mkdir()
        found = measured(tmp_path / str(i) / "data set", layout, name)
        rows.append(f"| {layout} | {name} | {' | '.join(found)} |")
    PAGE.write_text(HEADER + "\n".join(rows) + "\n")


HEADER = """# What damaged data come to

Every kind of damage below is made by `tests/data/test_damage.py` in a data set of four training and two
test images, which also writes this page. *Loading* is what `data.load` says by default, *check* what
`python -m innt_lib.data.check` lists, *skipping* what `data.load(..., on_bad="skip")` is left with and how
much it named as skipped.

| layout | damage | loading | check | skipping |
| --- | --- | --- | --- | --- |
"""
