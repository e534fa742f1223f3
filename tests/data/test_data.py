from __future__ import annotations

import hashlib
import pickle
import shutil
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from innt_lib import data
from innt_lib.data import ImageSet, cache, load, loading
from innt_lib.data.boxes import clip_box
from innt_lib.data.cache import to_rgb
from innt_lib.system.tensors import standardise


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root of its own for every test: no real data, an empty cache."""
    monkeypatch.setenv("INNT_ROOT", str(tmp_path))
    return tmp_path


def flat(colour: Any, width: int = 8, height: int = 4, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (width, height), colour)


@dataclass(frozen=True)
class Bird:
    key: int
    kind: int
    train: int
    image: Image.Image
    box: str = "0 0 4 4"

    @property
    def path(self) -> str:
        return f"{self.kind:03}.Kind/{self.key}.png"


# neither contiguous nor ordered, and class 5 of classes.txt has no image
BIRDS = [
    Bird(40, 7, 1, flat((40, 0, 0)), "2.0 1.0 4.0 2.0"),
    Bird(3, 7, 0, flat((3, 0, 0), 16, 4)),
    Bird(12, 2, 1, flat((12, 0, 0))),
    Bird(9, 2, 0, flat((9, 0, 0)), "4 0 4.6 4"),
]


def write_cub(folder: Path, birds: list[Bird] = BIRDS) -> Path:
    """Write the layout, every file in another order."""
    for bird in birds:
        (folder / "images" / bird.path).parent.mkdir(parents=True, exist_ok=True)
        bird.image.save(folder / "images" / bird.path)
    tables = {
        "images.txt": [f"{b.key} {b.path}" for b in birds],
        "image_class_labels.txt": [f"{b.key} {b.kind}" for b in birds[::-1]],
        "train_test_split.txt": [f"{b.key} {b.train}" for b in sorted(birds, key=lambda b: b.key)],
        "bounding_boxes.txt": [f"{b.key} {b.box}" for b in birds[1:] + birds[:1]],
        "classes.txt": ["7 007.Seven", "2 002.Two", "5 005.Absent"],
    }
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


def write_folder(folder: Path, train: int = 5, test: int = 2, boxes: str = "") -> Path:
    """Classes a and b; the red of an image is its number, the green 200 in the test part."""
    for part, count, green in (("train", train, 0), ("test", test, 200)):
        for name in "ab":
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                image = flat((number, green, 0))
                image.save(folder / part / name / f"{number:02}.png")
    if boxes:
        (folder / "boxes.csv").write_text("path,x,y,width,height\n" + boxes)
    return folder


# ------------------------------------------------------------------------------- layouts


def test_cub_is_joined_on_the_image_id(home: Path) -> None:
    splits = load("cub200", 8, root=write_cub(home / "birds"))
    train, test = splits.train, splits.test
    assert train.name == "cub200"
    assert train.classes == test.classes == ("002.Two", "007.Seven")
    assert train.ids == ("images/002.Kind/12.png", "images/007.Kind/40.png")
    assert test.ids == ("images/007.Kind/3.png", "images/002.Kind/9.png")
    assert train.labels.tolist() == [0, 1] and test.labels.tolist() == [1, 0]
    assert train.labels.dtype == np.int64 and train.images.dtype == np.uint8
    assert train.images.shape == (2, 8, 8, 3) and not train.images.flags.writeable
    assert train.images[:, 0, 0, 0].tolist() == [12, 40]
    assert train.boxes is not None and test.boxes is not None
    assert train.boxes.dtype == np.float32
    # 8 x 4 to 8 x 8: x as it is, y doubled
    assert train.boxes.tolist() == [[0, 0, 4, 8], [2, 2, 6, 6]]
    # 16 x 4 to 8 x 8: x halved; the other reaches 0.6 px beyond its image, and is clipped
    assert test.boxes.tolist() == [[0, 0, 2, 8], [4, 0, 8, 8]]


def test_a_part_of_cub_needs_only_a_shorter_list_of_images(home: Path) -> None:
    folder = write_cub(home / "part")
    lines = (folder / "images.txt").read_text().splitlines()
    (folder / "images.txt").write_text("\n".join(lines[:2]))
    splits = load(str(folder), 8)
    assert splits.train.name == "part"
    assert splits.train.classes == ("007.Seven",)
    assert (len(splits.train), len(splits.test)) == (1, 1)


def test_published_boxes_may_reach_beyond_if_most_is_inside(home: Path) -> None:
    wide = [replace(bird, box="3 0 8 4") if bird.key == 40 else bird for bird in BIRDS]
    boxes = load("cub200", 8, root=write_cub(home / "a", wide)).train.boxes
    assert boxes is not None and boxes[1].tolist() == [3, 0, 8, 8]  # 5 of 8 columns inside
    wide = [replace(bird, box="5 0 8 4") if bird.key == 40 else bird for bird in BIRDS]
    with pytest.raises(ValueError, match=r"bounding_boxes.txt:4: box x=5 .* 5 px beyond .*40.png"):
        load("cub200", 8, root=write_cub(home / "b", wide))


def test_image_folder_with_boxes(home: Path) -> None:
    folder = write_folder(home / "mine", boxes="test/b/01.png,4,1,2,3\n")
    (folder / "train" / "a" / ".DS_Store").write_text("")
    (folder / "train" / "a" / "notes.txt").write_text("")
    splits = load("mine", 4)  # relative paths count from the root
    assert splits.train.name == "mine" and splits.train.classes == ("a", "b")
    assert splits.test.ids == ("test/a/00.png", "test/a/01.png", "test/b/00.png", "test/b/01.png")
    assert splits.test.images[:, 0, 0].tolist() == [[0, 200, 0], [1, 200, 0]] * 2
    assert splits.test.boxes is not None
    assert splits.test.boxes[3].tolist() == [2, 1, 3, 4]
    assert np.isnan(splits.test.boxes[:3]).all()
    assert splits.train.boxes is not None and np.isnan(splits.train.boxes).all()


def test_image_folder_without_boxes(home: Path) -> None:
    write_folder(home / "data" / "cifar10")
    assert load("cifar10", 4).train.boxes is None


def test_boxes_of_a_folder_may_round_by_one_pixel_only(home: Path) -> None:
    write_folder(home / "mine", boxes="test/b/01.png,-1,0,9,4.5\n")
    boxes = load("mine", 8).test.boxes
    assert boxes is not None and boxes[3].tolist() == [0, 0, 8, 8]
    write_folder(home / "more", boxes="test/b/01.png,0,0,8,5.1\n")
    with pytest.raises(ValueError, match="boxes.csv:2: .* reaches 1.1 px beyond test/b/01.png"):
        load("more", 8)


def test_exif_orientation_of_an_image_folder(home: Path) -> None:
    folder = write_folder(home / "mine", boxes="train/a/00.jpg,1,2,2,4\n")
    stored = flat((250, 0, 0), 8, 4)
    stored.paste((0, 0, 250), (0, 0, 4, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: upright it is 4 wide, 8 high
    stored.save(folder / "train" / "a" / "00.jpg", exif=exif, quality=95, subsampling=0)
    train = load("mine", 8).train
    row = train.ids.index("train/a/00.jpg")
    assert train.images[row, 1, 4, 2] > 200 and train.images[row, 6, 4, 0] > 200
    assert train.boxes is not None and train.boxes[row].tolist() == [2, 2, 6, 6]


def test_cifar10_as_published(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CIFAR10

    folder = home / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def batch(name: str, content: dict[str, Any]) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    pixels = np.zeros((2, 3, 32, 32), np.uint8)
    pixels[1, 2] = 9
    parts = {"data": pixels.reshape(2, -1), "labels": [1, 0]}
    monkeypatch.setattr(CIFAR10, "train_list", [batch("data_batch_1", parts)])
    monkeypatch.setattr(CIFAR10, "test_list", [batch("test_batch", parts)])
    name, md5 = batch("batches.meta", {"label_names": ["airplane", "cat"]})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": name, "key": "label_names", "md5": md5})
    test = load("cifar10", 16).test
    assert test.classes == ("airplane", "cat") and test.labels.tolist() == [1, 0]
    assert test.ids == ("test/0", "test/1") and test.boxes is None
    assert test.images[:, 5, 5].tolist() == [[0, 0, 0], [0, 0, 9]]
    (folder / "test_batch").write_bytes(b"damaged")
    with pytest.raises(FileNotFoundError, match="python -m innt_lib.data.download cifar10"):
        load("cifar10", 16)


def test_birds_are_generated_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def write_birds(folder: Path) -> None:
        written.append(write_cub(folder))

    monkeypatch.setitem(
        sys.modules, "innt_lib.data.birds", SimpleNamespace(write_birds=write_birds)
    )
    assert load("birds", 8).train.name == "birds"
    load("birds", 4)
    assert written == [home / "data" / "birds"]


def test_the_real_birds(home: Path) -> None:
    from innt_lib.data.birds import write_birds

    write_birds(home / "some", species=2, train_per_species=3, test_per_species=2, size=32)
    splits = load("birds", 16, root=home / "some")
    assert splits.train.labels.tolist() == [0] * 3 + [1] * 3 and len(splits.test) == 4
    boxes = splits.train.boxes
    assert boxes is not None and (boxes >= 0).all() and (boxes <= 16).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


# ------------------------------------------------------------------------------- parts


def test_validation_leaves_the_test_images_alone(home: Path) -> None:
    write_folder(home / "mine", train=10)
    splits = load("mine", 4, split="validation")
    assert [i for i in splits.test.ids if "/a/" in i] == ["train/a/04.png", "train/a/09.png"]
    assert len(splits.test) == 4 and len(splits.train) == 16
    assert not set(splits.train.ids) & set(splits.test.ids)
    assert splits.test.images[:, 0, 0, 0].tolist() == [4, 9, 4, 9]
    whole = load("mine", 4).train
    assert set(whole.ids) == set(splits.train.ids) | set(splits.test.ids)
    few = load("mine", 4, split="validation", train_per_class=2, test_per_class=1)
    assert few.train.ids == tuple(f"train/{c}/{i:02}.png" for c in "ab" for i in (0, 1))
    assert few.test.ids == ("train/a/04.png", "train/b/04.png")
    assert few.test.images[:, 0, 0, 0].tolist() == [4, 4]


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=60))
def test_every_fifth_of_each_class(images: list[tuple[int, bool]]) -> None:
    labels = np.array([label for label, _ in images])
    training = np.array([train for _, train in images])
    counts = [int((training & (labels == label)).sum()) for label in range(4)]
    if max(counts) < 2:
        with pytest.raises(ValueError, match="at least two"):
            loading._every_fifth(labels, training)
        return
    held_out = loading._every_fifth(labels, training)
    assert not (held_out & ~training).any()
    for label, count in enumerate(counts):
        assert (held_out & (labels == label)).sum() == (max(1, count // 5) if count > 1 else 0)


def test_so_many_of_each_class(home: Path) -> None:
    write_folder(home / "mine")
    splits = load("mine", 4, train_per_class=3, test_per_class=1)
    assert splits.train.ids == tuple(f"train/{c}/{i:02}.png" for c in "ab" for i in range(3))
    assert splits.test.ids == ("test/a/00.png", "test/b/00.png")
    assert splits.train.images[:, 0, 0, 0].tolist() == [0, 1, 2] * 2
    assert len(load("mine", 4, train_per_class=99).train) == 10


def test_select(home: Path) -> None:
    write_folder(home / "mine", boxes="test/b/01.png,4,1,2,3\n")
    test = load("mine", 4).test
    chosen = test.select([3, -4])
    assert chosen.ids == ("test/b/01.png", "test/a/00.png")
    assert chosen.labels.tolist() == [1, 0] and chosen.images[:, 0, 0, 0].tolist() == [1, 0]
    assert chosen.boxes is not None and chosen.boxes[0].tolist() == [2, 1, 3, 4]
    assert not chosen.images.flags.writeable and len(chosen) == 2
    assert test.select(np.array([False, True, False, False])).ids == ("test/a/01.png",)
    assert test.select(range(4)) is test and len(test.select([])) == 0
    prints = [test.fingerprint] + [test.select(i).fingerprint for i in ([0], [1], [0, 1], [1, 0])]
    assert len(set(prints)) == 5
    assert test.select([1]).fingerprint == prints[2]
    for wrong in ([4], [True], [0.5]):
        with pytest.raises(IndexError):
            test.select(wrong)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------- images


def palette(transparent: int | None = None) -> Image.Image:
    image = flat(0, mode="P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(1, (0, 0, 4, 4))
    if transparent is not None:
        image.info["transparency"] = transparent
    return image


@pytest.mark.parametrize(
    ("image", "left", "right"),
    [
        (flat(77, mode="L"), 77, 77),
        (flat(1, mode="1"), 255, 255),
        (flat((0, 255, 255, 0), mode="CMYK"), (255, 0, 0), (255, 0, 0)),
        (flat((10, 20, 30, 255), mode="RGBA"), (10, 20, 30), (10, 20, 30)),
        (flat((10, 20, 30, 0), mode="RGBA"), 255, 255),
        (flat((100, 0), mode="LA"), 255, 255),
        (palette(), (200, 100, 50), (10, 20, 30)),
        (palette(transparent=0), (200, 100, 50), 255),
        (Image.fromarray(np.full((4, 8), 65535, np.uint16)), 255, 255),
        (Image.fromarray(np.full((4, 8), 0x8080, np.uint16)), 128, 128),
        (Image.fromarray(np.full((4, 8), 300, np.uint16)), 1, 1),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_any_image_becomes_rgb(image: Image.Image, left: Any, right: Any, home: Path) -> None:
    suffix = "tif" if image.mode == "CMYK" else "png"
    folder = write_folder(home / "mine", train=1, test=1)
    image.save(folder / "train" / "a" / f"z.{suffix}")
    array = load("mine", 8).train.images[1]
    assert array[4, 0].tolist() == list(np.broadcast_to(left, 3))
    assert array[4, 7].tolist() == list(np.broadcast_to(right, 3))


def test_16_bits_are_scaled_not_clipped() -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    array = np.asarray(to_rgb(Image.fromarray(ramp)))
    assert array.shape == (256, 256, 3)
    np.testing.assert_array_equal(array[..., 0], np.round(ramp / 257))
    with pytest.raises(ValueError, match="mode F"):
        to_rgb(Image.new("F", (2, 2), 0.5))


def test_resize_is_direct_and_antialiased(home: Path) -> None:
    folder = write_folder(home / "mine", train=1, test=1)
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (8, 16)))
    stripes.save(folder / "train" / "a" / "00.png")
    inner = load("mine", 4).train.images[0][:, 1:3]
    assert (np.abs(inner.astype(int) - 128) < 8).all()  # without antialiasing: 0 or 255


def test_standardise_is_the_usual_one() -> None:
    images = torch.randint(0, 256, (2, 5, 4, 3), dtype=torch.uint8)
    mean, std = torch.tensor(data.MEAN).double(), torch.tensor(data.STD).double()
    expected = ((images.double() / 255 - mean) / std).permute(0, 3, 1, 2)
    result = standardise(images)
    assert result.dtype == torch.float32 and result.shape == (2, 3, 5, 4)
    assert result.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(result.double(), expected, rtol=0, atol=2e-6)
    assert standardise(images[:0]).shape == (0, 3, 5, 4)
    for wrong in (images.float(), images[0], images.permute(0, 3, 1, 2)):
        with pytest.raises(ValueError, match=r"uint8 of shape \(B, H, W, 3\), not"):
            standardise(wrong)


# ------------------------------------------------------------------------------- the cache


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "in_threads", lambda *_: pytest.fail("read an image again"))


def same(a: ImageSet, b: ImageSet) -> bool:
    return a.fingerprint == b.fingerprint and np.array_equal(a.images, b.images)


def test_decodes_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(home / "mine")
    first = load("mine", 4)
    with monkeypatch.context() as patch:
        forbid_decoding(patch)
        again = load("mine", 4)
        load("mine", 4, split="validation")  # shares the array of the training part
    assert same(first.train, again.train) and same(first.test, again.test)
    assert isinstance(again.train.images, np.memmap)
    other = load("mine", 5)
    assert other.train.images.shape[1:] == (5, 5, 3)
    assert other.train.fingerprint != first.train.fingerprint


def test_a_changed_image_is_noticed(home: Path) -> None:
    folder = write_folder(home / "mine")
    before = load("mine", 4)
    flat((99, 0, 0)).save(folder / "train" / "b" / "04.png")
    after = load("mine", 4)
    assert after.train.images[-1, 0, 0, 0] == 99 and before.train.images[-1, 0, 0, 0] == 4
    assert after.train.fingerprint != before.train.fingerprint
    assert same(after.test, before.test)


def test_the_key_is_the_content(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(home / "mine")
    before = load("mine", 4)
    shutil.copytree(folder, home / "elsewhere" / "mine")
    arrays = set((home / "data" / ".cache").glob("*.npy"))
    after = load("elsewhere/mine", 4)
    assert same(before.train, after.train)
    assert set((home / "data" / ".cache").glob("*.npy")) == arrays


def test_labels_and_boxes_are_in_the_fingerprint(home: Path) -> None:
    folder = write_cub(home / "birds")
    before = load("birds", 8, root=folder).train.fingerprint
    text = (folder / "bounding_boxes.txt").read_text()
    (folder / "bounding_boxes.txt").write_text(text.replace("2.0 1.0 4.0", "2.5 1.0 4.0"))
    assert load("birds", 8, root=folder).train.fingerprint != before


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"rubbish"])
def test_a_damaged_cache_is_made_anew(damage: bytes, home: Path) -> None:
    write_folder(home / "mine")
    before = load("mine", 4).train
    copy = np.array(before.images)
    for path in (home / "data" / ".cache").iterdir():
        if path.suffix in (".npy", ".json"):
            path.unlink()
            path.write_bytes(damage)
    after = load("mine", 4).train
    assert after.fingerprint == before.fingerprint and np.array_equal(after.images, copy)


def test_a_cut_cache_is_made_anew(home: Path) -> None:
    write_folder(home / "mine")
    before = np.array(load("mine", 4).train.images)
    for path in (home / "data" / ".cache").glob("*.npy"):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[:-50])
    np.testing.assert_array_equal(load("mine", 4).train.images, before)


def test_several_at_once_decode_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(home / "mine", train=20)
    fills: list[Path] = []
    fill = cache._fill

    def counted(path: Path, *rest: Any) -> None:
        fills.append(path)
        fill(path, *rest)

    monkeypatch.setattr(cache, "_fill", counted)
    together, results = threading.Barrier(4), []

    def work() -> None:
        together.wait()
        results.append(load("mine", 4))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and len(fills) == 2
    assert all(same(r.train, results[0].train) and same(r.test, results[0].test) for r in results)
    assert results[0].train.images[:, 0, 0, 0].tolist() == [*range(20), *range(20)]


def test_room_on_the_disk_is_checked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(home / "mine")
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(OSError, match="takes 0.0 GB, but 0.0 GB are free"):
        load("mine", 4)


# ------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the file is empty"),
        (b"not an image", "it is in no known image format"),
        ("truncated", "truncated"),
    ],
)
def test_an_image_that_cannot_be_decoded(content: Any, why: str, home: Path) -> None:
    folder = write_folder(home / "mine")
    path = folder / "train" / "b" / "03.jpg"
    if content == "truncated":
        noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(noise).save(path)
        content = path.read_bytes()[:-600]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"mine/train/b/03.jpg: this image cannot.*{why}") as e:
        load("mine", 4)
    assert "\n" not in str(e.value)
    left = {path.suffix for path in (home / "data" / ".cache").iterdir()}
    assert left <= {".json", ".lock"}
    path.unlink()
    assert len(load("mine", 4).train) == 10


def test_an_image_that_is_missing(home: Path) -> None:
    folder = write_cub(home / "birds")
    (folder / "images" / BIRDS[0].path).unlink()
    with pytest.raises(FileNotFoundError, match="images/007.Kind/40.png: .* listed but not there"):
        load("cub200", 8, root=folder)


def test_unknown_data_set_and_missing_folders(home: Path) -> None:
    known = "birds, digits, cub200, cifar10, svhn"
    with pytest.raises(ValueError, match=f"'cub': choose {known}, or give the path"):
        load("cub", 8)
    for name in ("cub200", "cifar10"):
        with pytest.raises(FileNotFoundError, match=f"python -m innt_lib.data.download {name}"):
            load(name, 8)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"size": 0}, "size=0"),
        ({"split": "train"}, "split='train': choose test or validation"),
        ({"train_per_class": -1}, "train_per_class=-1"),
        ({"test_per_class": -1}, "test_per_class=-1"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], why: str, home: Path) -> None:
    write_folder(home / "mine")
    with pytest.raises(ValueError, match=why):
        load("mine", **({"size": 4} | arguments))


@pytest.mark.parametrize(
    ("file", "old", "new", "why"),
    [
        ("bounding_boxes.txt", "2.0 1.0 4.0 2.0", "2.0 1.0 0 2.0", "width and height must be pos"),
        ("bounding_boxes.txt", "2.0 1.0 4.0 2.0", "2.0 1.0 4.0 -2", "width and height must be pos"),
        ("bounding_boxes.txt", "2.0 1.0 4.0 2.0", "nan 1.0 4.0 2", "numbers must be finite"),
        ("bounding_boxes.txt", "2.0 1.0 4.0 2.0", "2.0 1.0 inf 2", "numbers must be finite"),
        ("bounding_boxes.txt", "2.0 1.0 4.0 2.0", "2,0 1.0 4.0 2.0", "four numbers.*"),
        ("bounding_boxes.txt", "2.0 1.0 4.0 2.0", "2.0 1.0 4.0", "bounding_boxes.txt:4: expected"),
        ("bounding_boxes.txt", "2.0 1.0 4.0 2.0", "50 1 4 2", "beyond images/007.Kind/40.png"),
        ("bounding_boxes.txt", "40 2.0", "41 2.0", "no line for image 40"),
        ("image_class_labels.txt", "40 7", "40 8", "image 40 is of class 8, which is not"),
        ("image_class_labels.txt", "40 7", "40 x", "labels.txt:4: expected a whole number"),
        ("image_class_labels.txt", "40 7", "", "no line for image 40"),
        ("image_class_labels.txt", "40 7", "12 7", "labels.txt:4: image id 12 is given twice"),
        ("image_class_labels.txt", "40 7", "40 2", "class '007.Seven' has no training image"),
        ("train_test_split.txt", "40 1", "40 2", "split.txt:4: expected 1"),
        ("train_test_split.txt", "40 1", "40", "split.txt:4: expected an image id and 1 more"),
        ("train_test_split.txt", "40 1", "40 0", "class '007.Seven' has no training image"),
        ("images.txt", "40 ", "12 ", "images.txt:3: image id 12 is given twice"),
        ("images.txt", "12 002.Kind/12", "12 007.Kind/40", "images.txt:3: .* a second time"),
        ("images.txt", "40 ", "4.5 ", "images.txt:1: expected a whole number, not '4.5'"),
        ("images.txt", "40 ", "40\xff ", "not a UTF-8 text file"),
        ("classes.txt", "2 002.Two", "7 002.Two", "classes.txt:2: class id 7 is given twice"),
    ],
)
def test_cub_mistakes_are_named(file: str, old: str, new: str, why: str, home: Path) -> None:
    path = write_cub(home / "birds") / file
    text = path.read_text()
    assert old in text
    path.write_bytes(text.replace(old, new).encode("latin-1"))
    with pytest.raises(ValueError, match=why) as caught:
        load("cub200", 8, root=home / "birds")
    assert "\n" not in str(caught.value)
    assert not list((home / "data").rglob("*.npy"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("path,x,y,width\n", ":1: no column height; expected the header path,x,y,width,height"),
        ("", ":1: no column path, x, y, width, height"),
        ("path,x,y,width,height\ntest/a/9.png,0,0,1,1\n", ":2: no image 'test/a/9.png'"),
        ("path,x,y,width,height\ntest/a/00.png,0,0,1\n", ":2: not as many fields"),
        ("path,x,y,width,height\ntest/a/00.png,0,0,1,1,1\n", ":2: not as many fields"),
        ("path,x,y,width,height\ntest/a/00.png,0,0,1,b\n", ":2: box 0 0 1 b of test/a/00.png"),
        ("path,x,y,width,height\ntest/a/00.png,0,0,1,-1\n", ":2: box 0 0 1 -1 of test/a/00.png"),
        ("path,x,y,width,height\ntest/a/00.png,0,0,nan,1\n", ":2: .* must be finite"),
        ("path,x,y,width,height\n" + 2 * "test/a/00.png,0,0,1,1\n", ":3: a second box for"),
    ],
)
def test_boxes_csv_mistakes_are_named(text: str, why: str, home: Path) -> None:
    (write_folder(home / "mine") / "boxes.csv").write_text(text)
    with pytest.raises(ValueError, match="boxes.csv" + why):
        load("mine", 4)


def test_boxes_csv_of_a_spreadsheet(home: Path) -> None:
    folder = write_folder(home / "mine")
    lines = ["\ufeffheight,width,y,x,path,by", "1,2,3,4,test/a/00.png,me", ""]
    (folder / "boxes.csv").write_text("\r\n".join(lines), encoding="utf-8", newline="")
    boxes = load("mine", 8).test.boxes
    assert boxes is not None and boxes[0].tolist() == [4, 6, 6, 8]


def test_wrong_layout_names_what_is_missing(home: Path) -> None:
    folder = write_cub(home / "birds")
    for name in ("classes.txt", "train_test_split.txt", "images.txt"):
        (folder / name).unlink()
        with pytest.raises(FileNotFoundError, match=f"layout of CUB-200-2011: no {name}"):
            load("cub200", 8, root=folder)
    write_cub(folder)
    shutil.rmtree(folder / "images")
    with pytest.raises(FileNotFoundError, match="layout of CUB-200-2011: no folder images"):
        load("cub200", 8, root=folder)
    shutil.rmtree(write_folder(home / "mine") / "test")
    with pytest.raises(FileNotFoundError, match="not an image folder: no folder test"):
        load("mine", 8)


def test_wrong_image_folders(home: Path) -> None:
    folder = write_folder(home / "mine")
    (folder / "test" / "c").mkdir()
    with pytest.raises(ValueError, match="class 'c' has no training image"):
        load("mine", 4)
    (folder / "test" / "c").rmdir()
    (folder / "train" / "a" / "deeper").mkdir()
    with pytest.raises(ValueError, match="train/a/deeper is a folder"):
        load("mine", 4)
    write_folder(home / "untested", test=0)
    with pytest.raises(ValueError, match="no test images"):
        load("untested", 4)
    for part in ("train", "test"):
        (home / "void" / part).mkdir(parents=True)
    with pytest.raises(ValueError, match="no images in train/<class>/"):
        load("void", 4)


@given(
    st.tuples(*[st.floats(-50, 50)] * 2, *[st.floats(0.01, 60)] * 2),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([None, 0.5]),
)
def test_a_clipped_box_lies_in_its_image(
    box: tuple[float, float, float, float], width: int, height: int, least: float | None
) -> None:
    try:
        x0, y0, x1, y1 = clip_box(box, width, height, least, "here:1", "image")
    except ValueError as error:
        assert "beyond image, which is" in str(error)
        x, y, w, h = box
        assert x < 0 or y < 0 or x + w > width or y + h > height
    else:
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height


# --- arrays --------------------------------------------------------------------------------------


def arrays(n=6, classes=3):
    images = np.random.default_rng(0).integers(0, 256, (n, 8, 10, 3), dtype=np.uint8)
    return images, np.arange(n, dtype=np.int32) % classes


def test_arrays_become_an_image_set_that_knows_its_content():
    images, labels = arrays()
    boxes = np.tile([1.0, 1.0, 5.0, 5.0], (6, 1))
    made = ImageSet.from_arrays(images, labels, boxes, classes=["a", "b", "c"], name="mine")
    assert (len(made), made.name, made.classes) == (6, "mine", ("a", "b", "c"))
    assert made.labels.dtype == np.int64 and made.boxes.dtype == np.float32
    assert made.images is images and ImageSet.from_arrays(images, labels).classes == tuple("012")
    same = ImageSet.from_arrays(images[:, ::-1][:, ::-1], labels, boxes, classes=list("abc"))
    assert same.fingerprint == made.fingerprint
    others = [
        ImageSet.from_arrays(images ^ 1, labels, boxes, classes=list("abc")),
        ImageSet.from_arrays(images, labels[::-1], boxes, classes=list("abc")),
        ImageSet.from_arrays(images, labels, boxes + 1, classes=list("abc")),
        ImageSet.from_arrays(images, labels, boxes, classes=list("abd")),
        ImageSet.from_arrays(images, labels, classes=list("abc")),
        ImageSet.from_arrays(images.reshape(6, 10, 8, 3), labels, boxes, classes=list("abc")),
    ]
    assert len({made.fingerprint, *(other.fingerprint for other in others)}) == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((6, 8, 10, 3))}, r"images \(float64, of .*must be uint8"),
        (
            {"images": np.zeros((6, 3, 8, 10), np.uint8)},
            r"images \(uint8, of shape \(6, 3, 8, 10\)",
        ),
        ({"labels": np.zeros(5, np.int64)}, r"labels \(int64, of shape \(5,\)\) must be \(6,\)"),
        ({"labels": np.zeros(6)}, r"labels \(float64"),
        ({"labels": np.full(6, -1)}, "labels .from -1 to -1. must lie in 0 to"),
        ({"labels": np.zeros(6, np.int64)}, "at least two classes"),
        ({"classes": ["a", "b"]}, "labels .from 0 to 2. must lie in 0 to 1"),
        ({"boxes": np.zeros((6, 2))}, r"boxes \(of shape \(6, 2\)\) must be \(6, 4\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, message):
    images, labels = arrays()
    given = {"images": images, "labels": labels} | change
    with pytest.raises(ValueError, match=message):
        ImageSet.from_arrays(**given)
