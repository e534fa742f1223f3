"""Metrics against values by hand, plain float64 loops, and what must hold for any input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from innt_lib.explain.metrics import (
    aepe,
    drop,
    ebpg,
    increase,
    map_similarity,
    topk_correct,
)

NAN = math.nan


def _close(found: Tensor, expected: list[float], tolerance: float = 1e-6) -> None:
    torch.testing.assert_close(
        found.double(), torch.tensor(expected).double(), atol=tolerance, rtol=0, equal_nan=True
    )


# --- Average Drop and Average Increase -----------------------------------------------------------

CLEAN = torch.tensor([0.8, 0.5, 0.2, 0.0, 0.4, 0.0, NAN, 0.3])
NOISY = torch.tensor([0.2, 0.5, 0.8, 0.3, 0.0, 0.0, 0.3, NAN])


def test_drop_and_increase_by_hand() -> None:
    _close(drop(CLEAN, NOISY), [0.75, 0, 0, 0, 1, 0, NAN, NAN])
    _close(increase(CLEAN, NOISY), [0, 0, 1, 1, 0, 0, NAN, NAN])


def test_drop_and_increase_as_printed_by_hand() -> None:
    _close(drop(CLEAN, NOISY, convention="as_printed"), [1, 0, 0, 0, 1, 0, NAN, NAN])
    _close(increase(CLEAN, NOISY, convention="as_printed"), [0, 0, 0.75, 1, 0, 0, NAN, NAN])


scores = arrays(np.float32, 6, elements=st.floats(0, 1, width=32))


@settings(max_examples=50)
@given(scores, scores)
def test_drop_and_increase_against_a_loop(clean: np.ndarray, noisy: np.ndarray) -> None:
    falls, rises, fell, rose = [], [], [], []
    for c, n in zip(clean.astype(float), noisy.astype(float), strict=True):
        falls.append((c - n) / c if n < c else 0.0)
        rises.append((n - c) / n if n > c else 0.0)
        fell.append(float(n < c))
        rose.append(float(n > c))
    y = torch.from_numpy(clean), torch.from_numpy(noisy)
    _close(drop(*y), falls)
    _close(increase(*y), rose)
    _close(drop(*y, convention="as_printed"), fell)
    _close(increase(*y, convention="as_printed"), rises)


@pytest.mark.parametrize("measure", [drop, increase])
def test_drop_and_increase_refuse(measure) -> None:  # type: ignore[no-untyped-def]
    y = torch.tensor([0.5, 0.5])
    with pytest.raises(ValueError, match=r"noisy scores \(with -3\).*not logits"):
        measure(y, torch.tensor([0.5, -3.0]))
    with pytest.raises(ValueError, match=r"clean \(of shape \(2,\)\) and noisy \(of shape \(1,\)"):
        measure(y, y[:1])
    with pytest.raises(ValueError, match=r"must both be \(N,\)"):
        measure(y[None], y[None])
    with pytest.raises(ValueError, match="'printed'.*standard, as_printed"):
        measure(y, y, convention="printed")


# --- energy in the box ---------------------------------------------------------------------------

ASYMMETRIC = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])  # H = 2, W = 3, energy 21


@pytest.mark.parametrize(
    ("box", "energy"),
    [
        ((0, 0, 3, 2), 21),  # the whole image
        ((0, 0, 1, 1), 1),  # corners: first, then the others
        ((2, 0, 3, 1), 3),
        ((0, 1, 1, 2), 4),
        ((2, 1, 3, 2), 6),
        ((0, 0, 2, 1), 3),  # x runs along the width
        ((0, 0, 1, 2), 5),
        ((0.5, 0, 1, 1), 0.5),  # half a pixel
        ((0.5, 0.5, 1.5, 1.5), (1 + 2 + 4 + 5) / 4),
        ((1.25, 0, 1.5, 1), 0.5),  # both edges in one pixel
        ((-5, -5, 1, 1), 1),  # beyond the border
        ((2, 1, 99, 99), 6),
        ((-9, -9, -1, -1), 0),  # outside
        ((1, 1, 1, 2), 0),  # empty
    ],
)
def test_ebpg_by_hand(box: tuple[float, ...], energy: float) -> None:
    _close(ebpg(ASYMMETRIC[None], torch.tensor([box], dtype=torch.float32)), [energy / 21])


def test_ebpg_unknown_is_nan_and_only_there() -> None:
    maps = torch.stack([ASYMMETRIC, ASYMMETRIC * 0, ASYMMETRIC, ASYMMETRIC * NAN])
    boxes = torch.tensor([[0, 0, 3, 1], [0, 0, 3, 2], [NAN, 0, 3, 2], [0, 0, 3, 2]])
    _close(ebpg(maps, boxes), [6 / 21, NAN, NAN, NAN])


def test_ebpg_of_other_types_and_layouts() -> None:
    box = torch.tensor([[0, 0, 3, 1]])
    _close(ebpg(ASYMMETRIC[None].long(), box), [6 / 21])
    _close(ebpg(ASYMMETRIC[None].half(), box.double()), [6 / 21])
    _close(ebpg(ASYMMETRIC.T.contiguous().T[None], box), [6 / 21])
    assert ebpg(ASYMMETRIC[None].double(), box).dtype == torch.float64
    assert ebpg(ASYMMETRIC[None][:0], box[:0]).shape == (0,)


heat = arrays(np.float32, (2, 5, 7), elements=st.floats(0, 1, width=32).map(lambda v: round(v, 3)))
corners = st.tuples(*[st.integers(-4, 36)] * 4)


@settings(max_examples=80)
@given(heat, corners)
def test_ebpg_against_counting_sixteenths(maps: np.ndarray, corners: tuple[int, ...]) -> None:
    x0, x1 = sorted(corners[:2])
    y0, y1 = sorted(corners[2:])
    boxes = torch.tensor([[x0, y0, x1, y1]] * 2) / 4
    found = ebpg(torch.from_numpy(maps), boxes)
    for one, value in zip(maps.astype(float), found.tolist(), strict=True):
        inside = 0.0
        for row in range(20):  # quarters of a pixel
            for column in range(28):
                if x0 <= column < x1 and y0 <= row < y1:
                    inside += one[row // 4, column // 4] / 16
        if one.sum() == 0:
            assert math.isnan(value)
        else:
            assert 0 <= value <= 1
            assert value == pytest.approx(inside / one.sum(), abs=1e-6)
    # Turned over its diagonal, box and map together, nothing changes; its scale says nothing.
    turned = ebpg(torch.from_numpy(maps).mT, boxes[:, [1, 0, 3, 2]])
    torch.testing.assert_close(turned, found, equal_nan=True)
    torch.testing.assert_close(ebpg(torch.from_numpy(maps) * 0.01, boxes), found, equal_nan=True)
    whole = ebpg(torch.from_numpy(maps), torch.tensor([[0, 0, 7, 5]] * 2))
    assert whole[~whole.isnan()].tolist() == [1] * int((~whole.isnan()).sum())


def test_ebpg_refuses() -> None:
    with pytest.raises(ValueError, match=r"box \[10.0, 20.0, 5.0, 30.0\].*width, height"):
        ebpg(torch.ones(2, 4, 4), torch.tensor([[0.0, 0, 4, 4], [10, 20, 5, 30]]))
    with pytest.raises(ValueError, match=r"\(2, 4, 4\).*\(1, 4\)"):
        ebpg(torch.ones(2, 4, 4), torch.ones(1, 4))
    with pytest.raises(ValueError, match=r"maps \(of shape \(4, 4\)\)"):
        ebpg(torch.ones(4, 4), torch.ones(4, 4))
    with pytest.raises(ValueError, match=r"maps \(with -1\)"):
        ebpg(-torch.ones(1, 4, 4), torch.tensor([[0, 0, 4, 4]]))


def test_aepe_by_hand() -> None:
    clean, noisy = torch.tensor([0.9, 0.2, NAN, 0.5]), torch.tensor([0.6, 0.6, 0.5, NAN])
    _close(aepe(clean, noisy), [0.3, 0.4, NAN, NAN])
    _close(aepe(clean, noisy, signed=True), [0.3, -0.4, NAN, NAN])
    with pytest.raises(ValueError, match="ebpg_clean"):
        aepe(clean, noisy[:1])


# --- similarity of maps --------------------------------------------------------------------------


def test_map_similarity_by_hand() -> None:
    ramp = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    bump = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    flat = torch.full((2, 2), 0.3)
    clean = torch.stack([ramp, ramp, ramp, ramp, flat, flat])
    noisy = torch.stack([ramp * 0.1 + 5, -ramp, bump, flat, ramp, flat])
    _close(map_similarity(clean, noisy), [1, -1, 0, NAN, NAN, NAN])
    # Their mean in float32 is not quite 0.1, and yet they are flat.
    _close(map_similarity(torch.full((1, 7, 7), 0.1), torch.rand(1, 7, 7)), [NAN])
    with pytest.raises(ValueError, match=r"must both be \(N, H, W\)"):
        map_similarity(ramp, ramp)


@settings(max_examples=50)
@given(heat, heat)
def test_map_similarity_against_numpy(clean: np.ndarray, noisy: np.ndarray) -> None:
    found = map_similarity(torch.from_numpy(clean), torch.from_numpy(noisy)).tolist()
    for a, b, value in zip(clean, noisy, found, strict=True):
        if np.ptp(a) == 0 or np.ptp(b) == 0:
            assert math.isnan(value)
        else:
            expected = np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1]
            assert value == pytest.approx(expected, abs=2e-3) and -1 <= value <= 1


# --- accuracy ------------------------------------------------------------------------------------


def test_topk_by_hand() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0]] * 3)
    labels = torch.tensor([0, 2, 1])
    assert topk_correct(logits, labels).tolist() == [1, 0, 0]
    assert topk_correct(logits, labels, 2).tolist() == [1, 1, 0]
    assert topk_correct(logits, labels, 3).tolist() == [1, 1, 1]


def test_topk_gives_a_network_that_knows_nothing_nothing() -> None:
    labels = torch.tensor([0, 1, 2, 3])
    assert topk_correct(torch.zeros(4, 4), labels).tolist() == [1, 0, 0, 0]
    assert topk_correct(torch.zeros(4, 4), labels, 2).tolist() == [1, 1, 0, 0]
    for k in (1, 2, 4):
        assert topk_correct(torch.full((4, 4), NAN), labels, k).sum() == 0
    one_nan = torch.tensor([[NAN, 5.0, 1.0]])
    assert topk_correct(one_nan, torch.tensor([1]), 1).tolist() == [0]
    assert topk_correct(one_nan, torch.tensor([1]), 2).tolist() == [1]


@settings(max_examples=50)
@given(
    arrays(np.float32, (4, 6), elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0])),
    arrays(np.int64, 4, elements=st.integers(0, 5)),
    st.integers(1, 6),
)
def test_topk_against_sorting(logits: np.ndarray, labels: np.ndarray, k: int) -> None:
    expected = [
        float(label in sorted(range(6), key=lambda c, row=row: (-row[c], c))[:k])  # type: ignore[misc]
        for row, label in zip(logits, labels, strict=True)
    ]
    assert topk_correct(torch.from_numpy(logits), torch.from_numpy(labels), k).tolist() == expected


def test_topk_refuses() -> None:
    logits, labels = torch.zeros(2, 3), torch.tensor([0, 1])
    for k in (0, 4):
        with pytest.raises(ValueError, match=rf"k \(={k}\).*3"):
            topk_correct(logits, labels, k)
    with pytest.raises(ValueError, match=r"labels \(with 3\).*0 to 2"):
        topk_correct(logits, labels + 2)
    with pytest.raises(ValueError, match=r"labels \(of shape \(1,\)\)"):
        topk_correct(logits, labels[:1])
