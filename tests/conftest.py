import numpy as np
import pytest
from hypothesis import settings

from innt_lib.data import ImageSet
from innt_lib.data.birds import write_birds
from innt_lib.results import runs

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory):
    """A root with 4 species of birds, 6 training and 3 test images each."""
    root = tmp_path_factory.mktemp("root")
    write_birds(
        root / "data" / "birds", species=4, train_per_species=6, test_per_species=3, size=48
    )
    return root


@pytest.fixture
def root(tiny_root, tmp_path, monkeypatch):
    """A root of the test's own, with the tiny birds and no runs."""
    (tmp_path / "data").symlink_to(tiny_root / "data")
    monkeypatch.setenv("INNT_ROOT", str(tmp_path))
    runs.load_images.cache_clear()
    runs._suggest_tau.cache_clear()
    return tmp_path


@pytest.fixture
def tiny_images():
    """Twelve random 16 px images of 3 classes, with boxes."""
    rng = np.random.default_rng(0)
    labels = np.arange(12) % 3
    images = rng.integers(0, 120, (12, 16, 16, 3), dtype=np.uint8)
    for i, label in enumerate(labels):
        images[i, :, :, label] += 120  # learnable: each class has a colour
    boxes = np.tile(np.array([2, 2, 12, 12], dtype=np.float32), (12, 1))
    return ImageSet.from_arrays(images, labels, boxes, classes=("a", "b", "c"), name="tiny")
