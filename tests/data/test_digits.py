"""The generated digits, and SVHN's loader on files that are made here."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from scipy.io import savemat

from innt_lib.data import load
from innt_lib.data.digits import FONTS, draw_digit, write_digits


def test_same_seed_same_digit_and_digits_differ_in_the_same_place():
    one, box = draw_digit(3, np.random.default_rng(1))
    again, _ = draw_digit(3, np.random.default_rng(1))
    assert one.shape == (32, 32, 3) and one.dtype == np.uint8 and np.array_equal(one, again)
    looks = {draw_digit(digit, np.random.default_rng(1))[0].tobytes() for digit in range(10)}
    assert len(looks) == 10 and len(FONTS) == 10
    x, y, width, height = box
    assert x >= 0 and x + width <= 32 and y >= 0 and y + height <= 32 and height >= 12
    with pytest.raises(ValueError, match=r"digit \(=10\) must lie in 0 to 9"):
        draw_digit(10, np.random.default_rng(0))


def test_the_loader_reads_them_and_a_picture_depends_on_its_seed_alone(tmp_path):
    write_digits(tmp_path / "digits", train_per_class=2, test_per_class=1)
    splits = load("digits", 32, root=tmp_path / "digits")
    assert (len(splits.train), len(splits.test)) == (20, 10)
    assert splits.train.classes == tuple("0123456789") and splits.test.boxes.shape == (10, 4)
    write_digits(tmp_path / "more", train_per_class=3, test_per_class=2)
    for path in (tmp_path / "digits").rglob("*.png"):
        same = tmp_path / "more" / path.relative_to(tmp_path / "digits")
        assert same.read_bytes() == path.read_bytes()
    drawn, _ = draw_digit(4, np.random.default_rng([0, 1, 4, 1]))
    assert np.array_equal(splits.train.images[splits.train.labels == 4][1], drawn)


def test_bad_values_leave_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match=r"train_per_class \(=0\)"):
        write_digits(tmp_path / "digits", train_per_class=0)
    assert not list(tmp_path.iterdir())
    (tmp_path / "digits").mkdir()
    with pytest.raises(FileExistsError, match="digits exists"):
        write_digits(tmp_path / "digits", train_per_class=1, test_per_class=1)


def test_svhn_is_read_as_published(tmp_path, monkeypatch):
    """Files of its form, made here: pixels (32, 32, 3, N), labels 1 to 10, where 10 is the digit 0."""
    from torchvision.datasets import SVHN

    rng, published = np.random.default_rng(0), {}
    pixels = {}
    for name, count in (("train", 20), ("test", 10)):
        pixels[name] = rng.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        labels = (np.arange(count) % 10 + 1)[:, None].astype(np.uint8)
        path = tmp_path / f"{name}_32x32.mat"
        savemat(path, {"X": pixels[name], "y": labels})
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
        published[name] = ["https://example.org", path.name, md5]
    monkeypatch.setattr(SVHN, "split_list", published)
    splits = load("svhn", 32, root=tmp_path)
    assert (len(splits.train), len(splits.test)) == (20, 10)
    assert splits.train.labels.tolist()[:10] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    assert splits.train.classes == tuple("0123456789")
    assert np.array_equal(splits.test.images, pixels["test"].transpose(3, 0, 1, 2))
    (tmp_path / "test_32x32.mat").write_bytes(b"damaged")
    with pytest.raises(FileNotFoundError, match="test_32x32.mat is missing or damaged; get them"):
        load("svhn", 32, root=tmp_path)
