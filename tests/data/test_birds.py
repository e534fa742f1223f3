import numpy as np
import pytest
from PIL import Image

from innt_lib.data import ImageSet, load
from innt_lib.data.biased import biased_birds, conflicting, counterfactuals, read_backgrounds
from innt_lib.data.birds import write_birds
from innt_lib.data.drawing import PARTS, draw_bird
from innt_lib.data.masks import read_masks
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


def test_the_bird_is_the_same_on_any_background():
    """Paired counterfactuals: same pose, same texture, other palette; and the scene without the bird."""
    other = 0
    for seed in range(12):
        own, random = (bird(2, seed, size=48, background_bias=b) for b in (1.0, 0.0))
        assert np.array_equal(own.mask, random.mask) and own.box == random.box
        inside = own.mask.copy()  # two pixels from its edge: the edge itself is blended
        for _ in range(2):
            inside[1:-1, 1:-1] &= (
                inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
            )
        assert np.array_equal(own.image[inside], random.image[inside])
        other += random.background != own.background
        empty = bird(2, seed, size=48, background_bias=1.0, visible=False)
        assert np.array_equal(empty.mask, own.mask)
        outside = ~own.mask
        difference = np.abs(empty.image.astype(int) - own.image).max(2)
        assert np.median(difference[outside]) == 0 and np.median(difference[inside]) > 20
    assert other > 6


def test_biased_sets(root):
    sets = {
        b: load(biased_birds(b, train_per_species=8, test_per_species=3), 32) for b in (0, 0.5, 1)
    }
    share = {
        b: conflicting(s.train.labels, read_backgrounds(s.train)).mean() for b, s in sets.items()
    }
    assert share[1] == 0 and 0.6 < share[0] <= 1 and share[1] < share[0.5] < share[0]
    assert np.array_equal(sets[0].test.images, sets[1].test.images)  # random backgrounds in all
    assert np.array_equal(read_masks(sets[0].train), read_masks(sets[1].train))
    found = counterfactuals(sets[1].train, per_species=3)
    assert np.array_equal(found.rand.images, sets[1].test.images)
    assert np.array_equal(found.rand.boxes, sets[1].test.boxes)
    assert np.array_equal(found.masks, read_masks(sets[1].test))
    assert np.array_equal(found.backgrounds, read_backgrounds(sets[1].test))
    assert found.conflicting.any() and found.rand.classes == sets[1].test.classes
    same = [np.array_equal(a, b) for a, b in zip(found.rand.images, found.same.images, strict=True)]
    assert np.array_equal(np.array(same), ~found.conflicting)
    part = sets[1].train.select([5, 2])  # a selection keeps its folder
    assert np.array_equal(read_masks(part), read_masks(sets[1].train)[[5, 2]])


def test_what_has_no_masks_or_backgrounds_says_so(root):
    arrays = ImageSet.from_arrays(np.zeros((2, 4, 4, 3), np.uint8), np.arange(2), name="mine")
    with pytest.raises(ValueError, match="mine has no folder segmentations"):
        read_masks(arrays)
    with pytest.raises(FileNotFoundError, match="mine has no backgrounds.txt"):
        read_backgrounds(arrays)
    with pytest.raises(ValueError, match="background_bias .=2"):
        biased_birds(2.0)
