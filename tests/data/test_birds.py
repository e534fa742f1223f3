import numpy as np
import pytest
from PIL import Image

from innt_lib.data import load
from innt_lib.data.birds import write_birds
from innt_lib.data.drawing import PARTS, draw_bird
from innt_lib.data.species import BACKGROUNDS, SPECIES


def bird(species=0, seed=0, **options):
    return draw_bird(species, np.random.default_rng(seed), **options)


def test_same_seed_same_bird_and_species_differ_in_the_same_pose():
    assert np.array_equal(bird(seed=3).image, bird(seed=3).image)
    assert not np.array_equal(bird(seed=3).image, bird(seed=4).image)
    looks = [bird(species, seed=3).image.tobytes() for species in range(len(SPECIES))]
    assert len(set(looks)) == len(SPECIES)


@pytest.mark.parametrize("seed", range(5))
def test_box_is_the_extent_of_the_mask_and_parts_lie_on_the_bird(seed):
    one = bird(seed % len(SPECIES), seed)
    rows, columns = np.nonzero(one.mask)
    x, y, width, height = one.box
    assert (x, y) == (columns.min(), rows.min())
    assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
    assert one.parts.keys() == set(PARTS)
    for name in ("breast", "belly", "eye", "wing"):
        px, py = one.parts[name]
        assert one.mask[int(py), int(px)], name


def test_background_is_independent_of_the_species_unless_tied():
    drawn = {bird(2, seed, size=16).background for seed in range(60)}
    assert drawn == set(range(len(BACKGROUNDS)))
    tied = {bird(2, seed, size=16, background_bias=1.0).background for seed in range(20)}
    assert tied == {2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "birds"
    write_birds(folder, species=3, train_per_species=2, test_per_species=1, size=32)
    return folder


def test_the_layout_is_that_of_cub(folder):
    lines = {p.stem: p.read_text().splitlines() for p in folder.rglob("*.txt")}
    assert len(lines["images"]) == 9
    assert lines["classes"][1] == "2 002.Bibbed_Goldwing"
    assert lines["train_test_split"][:3] == ["1 1", "2 1", "3 0"]
    assert len(lines["part_locs"]) == 9 * len(PARTS)
    path = lines["images"][0].split()[1]
    mask = np.asarray(Image.open(folder / "segmentations" / path))
    x, y, width, height = map(float, lines["bounding_boxes"][0].split()[1:])
    assert mask.any(0).sum() <= width and mask[:, int(x)].any() and mask[int(y)].any()
    assert height == np.flatnonzero(mask.any(1)).max() + 1 - y


def test_the_loader_reads_it(folder):
    splits = load("birds", 32, root=folder)
    assert (len(splits.train), len(splits.test)) == (6, 3)
    assert splits.train.classes[0].endswith("Crested_Goldwing")
    assert splits.test.boxes.shape == (3, 4)


def test_an_image_does_not_depend_on_how_many_there_are(folder, tmp_path):
    write_birds(tmp_path / "more", species=4, train_per_species=3, test_per_species=2, size=32)
    for path in (folder / "images").rglob("*.png"):
        same = tmp_path / "more" / path.relative_to(folder)
        assert same.read_bytes() == path.read_bytes()


def test_bad_values_leave_nothing_behind(folder, tmp_path):
    with pytest.raises(FileExistsError, match="birds exists"):
        write_birds(folder)
    for options, message in (
        ({"species": 17}, "species .=17. must lie in 2 to 16"),
        ({"train_per_species": 0}, "train_per_species .=0."),
        ({"size": 8}, "size .=8."),
        ({"background_bias": 1.5}, "background_bias .=1.5."),
    ):
        with pytest.raises(ValueError, match=message):
            write_birds(tmp_path / "birds", **options)
    assert list(tmp_path.iterdir()) == []
