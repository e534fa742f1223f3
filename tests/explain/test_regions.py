"""Regions, their heat and rank-biased overlap: by hand, by plain loops, and for any input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from skimage.segmentation import quickshift
from torch import Tensor

from innt_lib.explain.overlap import rank_biased_overlap
from innt_lib.explain.regions import (
    CHUNK,
    RegionHeat,
    grid,
    region_heat,
    regions,
)

NAN = math.nan
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _close(found: Tensor, expected: Tensor | list, tolerance: float = 1e-6) -> None:
    expected = torch.as_tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(
        found.cpu().double(), expected, atol=tolerance, rtol=0, equal_nan=True
    )


# --- regions -------------------------------------------------------------------------------------


def _picture(size: int, seed: int = 0) -> np.ndarray:
    """Random colours, four pixels wide, smoothly joined."""
    rng = np.random.default_rng(seed)
    few = rng.integers(0, 256, (size // 4, size // 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(few).resize((size, size), Image.Resampling.BICUBIC))


def test_regions_are_quickshifts_at_224_pixels() -> None:
    small = _picture(32)
    found = regions(small[None])
    assert found.shape == (1, 224, 224) and found.dtype == np.int16
    enlarged = np.asarray(Image.fromarray(small).resize((224, 224), Image.Resampling.BICUBIC))
    settings_ = {"kernel_size": 5, "max_dist": 200, "ratio": 0.2, "rng": 42, "convert2lab": True}
    assert (found[0] == quickshift(enlarged / 255.0, **settings_)).all()
    assert np.unique(found).tolist() == list(range(found.max() + 1)) and found.max() > 4
    assert quickshift(small / 255.0, **settings_).max() < 4  # why it is enlarged
    # Enlarged before or here, alone or among others: the same.
    assert (regions(enlarged[None]) == found).all()
    assert (regions(np.stack([_picture(32, 1), small]))[1] == found[0]).all()


def test_regions_of_other_sizes() -> None:
    oblong = np.concatenate([_picture(32), _picture(32, 1)])
    assert oblong.shape == (64, 32, 3)
    assert regions(oblong[None]).shape == (1, 448, 224)
    large = np.repeat(np.repeat(_picture(64)[None, :, :58], 4, 1), 4, 2)
    assert regions(large).shape == large.shape[:3] == (1, 256, 232)
    assert regions(np.zeros((0, 32, 32, 3), np.uint8)).shape == (0, 224, 224)


def test_regions_refuse() -> None:
    for images in (
        np.zeros((1, 8, 8, 3)),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((1, 8, 8, 1), np.uint8),
        np.zeros((1, 0, 8, 3), np.uint8),
    ):
        with pytest.raises(ValueError, match=r"images \(.*must be uint8 \(N, H, W, 3\), RGB"):
            regions(images)


def test_a_grid_of_squares() -> None:
    assert grid(1, 2, 4)[0].tolist() == [[0, 0, 1, 1]] * 2 + [[2, 2, 3, 3]] * 2
    squares = grid(3)
    assert squares.shape == (3, 224, 224) and squares.dtype == np.int16
    assert (np.bincount(squares.ravel()) == 3 * 28 * 28).all() and squares.max() == 63
    for cells in (0, 5):
        with pytest.raises(ValueError, match=rf"cells \(={cells}\) must lie in 1 to side \(=4\)"):
            grid(1, cells, 4)


# --- their heat ----------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_region_heat_by_hand(device: str) -> None:
    maps = torch.tensor([[[0.0, 1.0], [2.0, 3.0]]] * 3, device=device)
    areas = np.array([[[0, 0], [1, 2]], [[0, 1], [1, 1]], [[0, 2], [2, 2]]])
    found = region_heat(maps, areas)
    assert found.device == maps.device
    _close(found, [[0.5, 2, 3], [0, 2, NAN], [0, NAN, 2]])
    _close(region_heat(maps, areas, "sum"), [[1, 2, 3], [0, 6, NAN], [0, NAN, 6]])


def test_region_heat_of_enlarged_maps() -> None:
    # Bilinear, two pixels to four: 0, 1/4, 3/4, 1 along each row.
    maps = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])
    areas = np.arange(4, dtype=np.int16)[None, None].repeat(4, 1)
    _close(region_heat(maps, areas), [[0, 0.25, 0.75, 1]])
    _close(region_heat(maps, areas // 2), [[0.125, 0.875]])
    _close(region_heat(maps, areas[:, :2]), [[0, 0.25, 0.75, 1]])  # only in width


def test_region_heat_of_flat_and_unknown_maps() -> None:
    areas = np.random.default_rng(0).integers(0, 9, (3, 50, 50)).astype(np.int16)
    areas[0] %= 5
    maps = torch.stack([torch.full((7, 7), 0.3), torch.rand(7, 7), torch.zeros(7, 7)])
    maps[1, 2, 3] = NAN
    found = region_heat(maps, areas)
    assert found[0, :5].unique().tolist() == [maps[0, 0, 0].item()] and found[0, 5:].isnan().all()
    assert found[2].tolist() == [0] * 9
    maps[1] = NAN
    assert region_heat(maps, areas)[1].isnan().all()


def test_region_heat_of_other_types_and_layouts(tmp_path) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(1)
    areas = rng.integers(0, 4, (3, 8, 6))
    maps = torch.from_numpy(rng.random((3, 6, 8))).mT
    expected = region_heat(maps, areas)
    assert expected.dtype == torch.float64
    _close(region_heat(maps.half(), areas.astype(np.uint8)), expected, 1e-3)
    assert region_heat(maps.bfloat16(), areas).dtype == torch.float32
    np.save(tmp_path / "areas.npy", areas.astype(np.int16))  # read-only, as from a cache
    _close(region_heat(maps, np.load(tmp_path / "areas.npy", mmap_mode="r")), expected, 0)
    assert region_heat(maps[:0], areas[:0]).shape == (0, 1)


@settings(max_examples=30)
@given(
    st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 9), st.integers(0, 20), st.integers(0, 20)
)  # fmt: skip
def test_prepared_heat_is_that_of_the_enlarged_map(seed, h, w, more_h, more_w) -> None:  # type: ignore[no-untyped-def]
    """Against PyTorch's own enlargement, whatever the sizes."""
    rng = np.random.default_rng(seed)
    areas = rng.integers(0, 5, (2, h + more_h, w + more_w))
    prepared = RegionHeat(areas, (h, w), torch.device("cpu"))
    for _ in range(2):
        maps = torch.from_numpy(rng.random((2, h, w)))
        larger = F.interpolate(maps[:, None], areas.shape[1:], mode="bilinear")[:, 0]
        _close(prepared(maps), region_heat(larger, areas), 1e-12)
        _close(prepared(maps, "sum"), region_heat(larger, areas, "sum"), 1e-9)


@settings(max_examples=30)
@given(
    arrays(np.float32, (2, 4, 5), elements=st.floats(0, 1, width=32)),
    arrays(np.int16, (2, 4, 5), elements=st.integers(0, 6)),
)
def test_region_heat_against_a_loop(maps: np.ndarray, areas: np.ndarray) -> None:
    expected = [
        [
            one[area == region].mean(dtype=float) if (area == region).any() else NAN
            for region in range(areas.max() + 1)
        ]
        for one, area in zip(maps, areas, strict=True)
    ]
    _close(region_heat(torch.from_numpy(maps), areas), expected)


def test_region_heat_does_not_depend_on_the_order_of_pixels() -> None:
    rng = np.random.default_rng(3)
    maps, areas = rng.random((1, 300, 300), np.float32), rng.integers(0, 2, (1, 300, 300))
    found = region_heat(torch.from_numpy(maps), areas)
    _close(found, [[maps[areas == i].mean(dtype=float) for i in (0, 1)]], 3e-8)  # half a last digit
    _close(region_heat(torch.from_numpy(maps[:, ::-1].copy()), areas[:, ::-1]), found, 0)


def test_region_heat_of_many_maps_is_that_of_each() -> None:
    rng = np.random.default_rng(2)
    n = CHUNK + 3
    maps, areas = torch.rand(n, 3, 3), rng.integers(0, 5, (n, 9, 9))
    areas[0, 0, 0], areas[-1] = 6, areas[-1] % 2
    found = region_heat(maps, areas)
    assert found.shape == (n, 7) and found[-1, 2:].isnan().all()
    _close(found[-1:, :2], region_heat(maps[-1:], areas[-1:]), 0)


def test_region_heat_refuses() -> None:
    maps, areas = torch.zeros(2, 4, 4), np.zeros((2, 8, 8), int)
    with pytest.raises(ValueError, match=r"maps \(torch.int64, of shape \(2, 4, 4\)\)"):
        region_heat(maps.long(), areas)
    with pytest.raises(ValueError, match=r"maps \(.*of shape \(4, 4\)\) must be floating"):
        region_heat(maps[0], areas)
    with pytest.raises(
        ValueError, match=r"maps \(.*\(2, 4, 4\)\).*4 x 4 for each of the 1 regions"
    ):
        region_heat(maps, areas[:1])
    with pytest.raises(ValueError, match=r"regions \(float64"):
        region_heat(maps, areas.astype(float))
    with pytest.raises(ValueError, match=r"maps \(of 4 x 4\) must not be larger .*\(of 8 x 3\)"):
        region_heat(maps, areas[:, :, :3])
    with pytest.raises(ValueError, match=r"score \(='max'\) must be one of mean, sum"):
        region_heat(maps, areas, "max")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"regions \(with -1\)"):
        region_heat(maps, areas - 1)


# --- rank-biased overlap -------------------------------------------------------------------------


def _heat(*rankings: list[int]) -> Tensor:
    """Heat whose ranking, hottest region first, is the one given."""
    return torch.stack([-torch.tensor(ranking).argsort().double() for ranking in rankings])


M20 = list(range(20))
SWAPPED_12, SWAPPED_23 = [1, 0, *M20[2:]], [0, 2, 1, *M20[3:]]


@pytest.mark.parametrize(
    ("p", "swapped_12", "swapped_23", "spread", "reversed_"),
    [
        (0.2, 0.20, 0.92, 0.195, 0.00),
        (0.5, 0.50, 0.875, 0.162, 0.00),
        (0.9, 0.90, 0.955, 0.081, 0.25),
        (0.98, 0.98, 0.99, 0.024, 0.76),
    ],
)
def test_overlap_of_twenty_regions(
    p: float, swapped_12: float, swapped_23: float, spread: float, reversed_: float
) -> None:
    found = rank_biased_overlap(
        _heat(M20, M20, M20, M20), _heat(M20, SWAPPED_12, SWAPPED_23, M20[::-1]), p
    )
    assert found[0] == 1
    _close(found[1:], [swapped_12, swapped_23, reversed_], 0.005)
    _close(found[1:3], [p, 1 - (1 - p) * p / 2], 1e-12)
    # Of d of 20 regions, d / 20 are expected to be among d others.
    torch.manual_seed(0)
    unrelated = rank_biased_overlap(*torch.rand(2, 50_000, 20, dtype=torch.float64), p)
    expected = (1 - p) * sum(p ** (d - 1) * d / 20 for d in range(1, 21)) + p**20
    _close(torch.stack([unrelated.mean(), unrelated.std()]), [expected, spread], 0.005)


@pytest.mark.parametrize(
    ("p", "first", "first_three"),
    [(0.2, 0.89, 1.00), (0.5, 0.69, 0.95), (0.9, 0.26, 0.52), (0.98, 0.08, 0.19)],
)
def test_weight_of_the_first_ranks(p: float, first: float, first_three: float) -> None:
    """Webber et al., Eq. 21; seen where nothing but the first d of very many regions agrees."""
    for d, rounded in ((1, first), (3, first_three)):
        below = sum(p**i / i for i in range(1, d))
        weight = 1 - p ** (d - 1) + (1 - p) / p * d * (math.log(1 / (1 - p)) - below)
        assert weight == pytest.approx(rounded, abs=0.005)
        many = list(range(4000))
        found = rank_biased_overlap(_heat(many), _heat(many[:d] + many[d:][::-1]), p)
        _close(found, [weight], 1e-9)


def _naive(a: list[float], b: list[float], p: float) -> float:
    """The equation on Python's sets; equal heat by number."""
    m = len(a)
    first, second = (sorted(range(m), key=lambda i, h=heat: (-h[i], i)) for heat in (a, b))  # type: ignore[misc]
    total = 0.0
    for d in range(1, m + 1):
        total += p ** (d - 1) * len(set(first[:d]) & set(second[:d])) / d
    return (1 - p) * total + p**m


row_pairs = st.integers(2, 12).flatmap(
    lambda m: arrays(float, (2, m), elements=st.integers(0, 5).map(lambda v: v / 5))
)
persistences = st.floats(0.01, 0.99)


@settings(max_examples=100)
@given(row_pairs, persistences)
def test_overlap_against_a_loop(rows: np.ndarray, p: float) -> None:
    a, b = (row.tolist() for row in rows)
    found = rank_biased_overlap(torch.tensor([a]), torch.tensor([b]), p)
    flat = [len(set(row)) == 1 for row in (a, b)]
    _close(found, [float(all(flat)) if any(flat) else _naive(a, b, p)], 1e-12)


different = st.integers(2, 12).flatmap(
    lambda m: st.tuples(st.permutations(range(m)), st.permutations(range(m)))
)


@settings(max_examples=100)
@given(different, persistences, st.integers(0, 5), st.randoms(use_true_random=False))
def test_overlap_for_any_rankings(rankings, p: float, padding: int, random) -> None:  # type: ignore[no-untyped-def]
    a, b = (torch.tensor([row], dtype=torch.float64) for row in rankings)
    found = rank_biased_overlap(a, b, p)
    assert 0 <= found.item() <= 1 and (found.item() == 1) == bool((a == b).all())
    assert rank_biased_overlap(a, a, p).item() == 1
    assert rank_biased_overlap(b, a, p).item() == found.item()
    renumbered = random.sample(range(a.shape[1]), a.shape[1])
    _close(rank_biased_overlap(a[:, renumbered], b[:, renumbered], p), found, 1e-12)
    _close(rank_biased_overlap(a.exp() * 1e-3, b**3 - 7, p), found, 0)
    holes = torch.full((1, a.shape[1] + padding), NAN, dtype=torch.float64)
    places = sorted(random.sample(range(holes.shape[1]), a.shape[1]))
    padded_a, padded_b = holes.clone(), holes.clone()
    padded_a[:, places], padded_b[:, places] = a, b
    _close(rank_biased_overlap(padded_a, padded_b, p), found, 1e-12)


@pytest.mark.parametrize("device", DEVICES)
def test_overlap_of_several_persistences(device: str) -> None:
    torch.manual_seed(1)
    a, b = torch.rand(2, 40, 25, device=device)
    a[::2, 17:] = b[::2, 17:] = NAN
    several = rank_biased_overlap(a, b, (0.2, 0.5, 0.9))
    assert (
        several.shape == (3, 40) and several.dtype == torch.float64 and several.device == a.device
    )
    for p, found in zip((0.2, 0.5, 0.9), several, strict=True):
        _close(found, rank_biased_overlap(a, b, p).cpu(), 1e-15)
        _close(found[1:2], [_naive(a[1].tolist(), b[1].tolist(), p)], 1e-12)
        _close(found[:1], [_naive(a[0, :17].tolist(), b[0, :17].tolist(), p)], 1e-12)
    assert rank_biased_overlap(a[:0], b[:0]).shape == (0,)


def test_overlap_is_never_below_zero_by_rounding() -> None:
    for m in (25, 40, 60):
        ranking = torch.arange(m)[None].double()
        found = rank_biased_overlap(ranking, -ranking, torch.linspace(0.01, 0.99, 99).tolist())
        assert (found >= 0).all()


def test_maps_that_rank_nothing() -> None:
    zero, flat, some, hole = [0.0, 0, 0], [0.3, 0.3, 0.3], [0.0, 0.2, 0.1], [NAN, NAN, NAN]
    one, other = [0.4, NAN, NAN], [0.0, NAN, NAN]
    rows = [
        (zero, zero, 1), (zero, flat, 1), (zero, some, 0), (some, flat, 0), (some, some, 1),
        (one, other, NAN), (one, one, NAN), (hole, some, NAN), (zero, hole, NAN), (hole, hole, NAN),
    ]  # fmt: skip
    a, b, expected = zip(*rows, strict=True)
    _close(rank_biased_overlap(torch.tensor(a), torch.tensor(b), 0.5), list(expected), 0)


def test_equal_heat_makes_unrelated_maps_hardly_alike() -> None:
    """Regions left at 0 by both maps are in one order in both: how much likeness that lends."""
    torch.manual_seed(2)
    a, b = torch.rand(2, 20_000, 25, dtype=torch.float64)
    zeros_a, zeros_b = a < 0.55, b < 0.55
    as_zero = rank_biased_overlap(
        a.masked_fill(zeros_a, 0), b.masked_fill(zeros_b, 0), (0.2, 0.5, 0.9)
    )
    ranked = rank_biased_overlap(a, b, (0.2, 0.5, 0.9))
    lent = (as_zero - ranked).mean(1)
    assert lent[0].abs() < 1e-3 and lent[1].abs() < 2e-3 and 0.005 < lent[2] < 0.03


def test_overlap_refuses() -> None:
    a = torch.tensor([[0.1, 0.2, 0.3], [0.1, 0.2, NAN]])
    for p in (0, 1, -0.2, 1.5, NAN):
        with pytest.raises(ValueError, match=rf"p \(={p}\) must lie between 0 and 1"):
            rank_biased_overlap(a, a, p)
    with pytest.raises(ValueError, match=r"p \(=2\)"):
        rank_biased_overlap(a, a, (0.2, 2.0))
    with pytest.raises(ValueError, match=r"a \(of shape \(2, 3\)\) and b \(of shape \(2, 2\)\)"):
        rank_biased_overlap(a, a[:, :2])
    with pytest.raises(ValueError, match=r"must both be \(N, M\)"):
        rank_biased_overlap(a[0], a[0])
    with pytest.raises(ValueError, match="infinity"):
        rank_biased_overlap(a, a / 0)
    with pytest.raises(ValueError, match="same regions: those of row 1 differ"):
        rank_biased_overlap(a, a.nan_to_num(0.5))
