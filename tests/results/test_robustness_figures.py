"""Sentences on the published orderings, and that the figures show the tables they are given."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("agg")

from innt_lib.learn.networks import build  # noqa: E402
from innt_lib.neighbors import GaussianNoise  # noqa: E402
from innt_lib.results import robustness_figures  # noqa: E402
from innt_lib.results.pairs import kept_regions, pairs  # noqa: E402


def measures(**intervals: tuple[float, float]) -> pd.DataFrame:
    names = {"pp": "gradcam++"}
    return pd.DataFrame({
        names.get(name, name): {"rm": (low + high) / 2, "rm_low": low, "rm_high": high}
        for name, (low, high) in intervals.items()
    }).T  # fmt: skip


@pytest.mark.parametrize(
    ("intervals", "best", "least"),
    [
        ({"pp": (0.6, 0.7), "gradcam": (0.4, 0.5), "eigencam": (0.1, 0.2)}, "holds", "holds"),
        ({"pp": (0.4, 0.7), "gradcam": (0.45, 0.5), "eigencam": (0.3, 0.46)}, "undecided", "undecided"),
        ({"pp": (0.1, 0.2), "gradcam": (0.4, 0.5), "eigencam": (0.6, 0.7)}, "does not", "does not"),
    ],
)  # fmt: skip
def test_orderings_are_judged_by_their_intervals(intervals, best, least):
    ranking, first, last = robustness_figures.orderings(measures(**intervals))
    assert ranking.startswith("by RM: ")
    assert first.startswith("Grad-CAM++") and best in first
    assert last.startswith("Eigen-CAM") and least in last


def test_a_pair_in_six_panels_and_curves_of_a_table(root, tiny_images):
    network, areas = build("smallcnn", 3, seed=1).eval(), kept_regions(tiny_images)
    kinds = {("gaussian", s): GaussianNoise(s) for s in (0.5, 1.0)}
    table = pairs(network, tiny_images, areas, kinds, ["gradcam", "eigencam"])
    row = table.iloc[5]
    panels = robustness_figures.pair(network, tiny_images, areas, kinds, row)
    assert len(panels) == 6 and panels[5].caption == f"rho = {row['rho']:.2f}"
    assert panels[0].image.shape == (224, 224, 3) and (panels[0].image == 255).all(2).any()
    ax = robustness_figures.curves(table).axes[0]
    means = table[table["cam"] == "gradcam"].groupby("strength")["similarity"].mean()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), means)
