"""The figures of the robustness notebook show the tables that they are given."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd

mpl.use("agg")

from innt_lib.explain.cam import cam  # noqa: E402
from innt_lib.explain.regions import region_heat  # noqa: E402
from innt_lib.learn.networks import build  # noqa: E402
from innt_lib.neighbors import GaussianNoise  # noqa: E402
from innt_lib.results import robustness_figures  # noqa: E402
from innt_lib.results.pairs import kept_regions, pairs  # noqa: E402
from innt_lib.results.robustness import robustness  # noqa: E402
from innt_lib.results.robustness_claims import trained  # noqa: E402
from innt_lib.system.tensors import standardise  # noqa: E402


def test_a_pair_in_six_panels_and_curves_of_a_table(root, tiny_images):
    network, areas = build("smallcnn", 3, seed=1).eval(), kept_regions(tiny_images)
    kinds = {("gaussian", s): GaussianNoise(s) for s in (0.5, 1.0)}
    table = pairs(network, tiny_images, areas, kinds, ["gradcam", "eigencam"])
    row = table.iloc[5]
    panels = robustness_figures.pair(network, tiny_images, areas, kinds, row)
    assert len(panels) == 6 and panels[5].caption == f"rho = {row['rho']:.2f}"
    assert panels[0].image.shape == (224, 224, 3) and (panels[0].image == 255).all(2).any()
    heat = region_heat(cam("gradcam", network, standardise(tiny_images.tensor())[5:6]), areas[5:6])[
        0
    ]
    x, y, text = panels[2].marks[0]
    assert text == "1" and areas[5][int(y), int(x)] == int(heat.nan_to_num(-1).argmax())
    assert len(panels[2].marks) == 3
    ax = robustness_figures.curves(table).axes[0]
    means = table[table["cam"] == "gradcam"].groupby("strength")["similarity"].mean()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), means)


def made_up(**columns: object) -> pd.DataFrame:
    """Pairs of twenty pictures, two strengths, a third of them flipped."""
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([range(20), (1, 2)], names=["picture", "strength"])
    rows = index.to_frame(index=False).assign(draw=0, seed=0, network="n", corruption="shot")
    rows["flipped"] = rng.random(40) < 0.33
    return rows.assign(rho=rng.random(40), cam="gradcam", method="nt").assign(**columns)


def test_tables_in_colours_and_differences_as_dots():
    kinds = [made_up(cam=cam, corruption=kind) for cam in ("gradcam", "eigencam") for kind in "ab"]
    measures = robustness(pd.concat(kinds), ["network", "cam", "corruption"])
    axes = robustness_figures.by_corruption(measures).axes
    shown = [float(text.get_text()) for text in axes[0].texts]
    np.testing.assert_allclose(shown, measures["consistency"], atol=0.005)
    assert [text.get_text() for text in axes[0].get_yticklabels()] == ["Grad-CAM", "Eigen-CAM"]
    base = made_up(method="baseline")
    found = trained(pd.concat([base, base.assign(method="nt", rho=1.0)]))
    ax = robustness_figures.differences(found).axes[0]
    own = found.query("measure == 'consistency' and copies == 'own'").iloc[0]
    assert own["difference"] in [float(line.get_xdata()[0]) for line in ax.lines]
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        "NT - baseline, n, own pairs", "NT - baseline, n, same copies",
    ]  # fmt: skip


def test_figures_of_networks_that_never_change_their_mind():
    calm = pd.concat([made_up(flipped=False, method=name) for name in ("baseline", "nt")])
    measures = robustness(calm, ["network", "method", "cam", "corruption"])
    robustness_figures.methods(measures)
    robustness_figures.by_corruption(measures[measures["method"] == "nt"])
    robustness_figures.differences(trained(calm))
