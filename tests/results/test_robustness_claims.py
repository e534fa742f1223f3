"""Verdicts on the robustness of CAMs: on made-up pairs whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from innt_lib.results.robustness import robustness
from innt_lib.results.robustness_claims import (
    between_data_sets,
    check_methods,
    joined,
    on_shared_copies,
    published,
    readings,
    trained,
    turned,
    under,
)


def _pairs(kept: float, moves: float, *, seed: int = 0, flips: float = 0.4, **columns: object):
    """Forty pictures, two strengths, two draws; rho about ``kept``, and ``moves`` less if flipped."""
    names = ["picture", "corruption", "strength", "draw"]
    index = pd.MultiIndex.from_product([range(40), ["shot"], [1, 3], [0, 1]], names=names)
    rows, rng = index.to_frame(index=False), np.random.default_rng(seed)
    rows["flipped"] = np.random.default_rng(99).random(len(rows)) < flips  # the same for all
    rho = kept - moves * rows["flipped"] + rng.normal(0, 0.03, len(rows))
    rows["correct"] = rows["picture"] % 2 == 0
    rows = rows.assign(rho=rho.clip(0, 1), network="n", seed=0, cam="gradcam", method="baseline")
    return rows.assign(**{"rho_0.5": rows["rho"], "rho_0.9": rows["rho"]}).assign(**columns)


def _cams(**robust: float):
    """CAMs by how robust they are: stays, and moves, by so much."""
    names = {"pp": "gradcam++"}
    return pd.concat(
        [
            _pairs(0.5 + value / 2, value, seed=i, cam=names.get(name, name))
            for i, (name, value) in enumerate(robust.items())
        ],
        ignore_index=True,
    )


@pytest.mark.parametrize(
    ("robust", "best", "least"),
    [
        (
            {"pp": 0.8, "gradcam": 0.5, "eigencam": 0.2, "ablationcam": 0.1},
            "holds for",
            "holds for",
        ),
        (
            {"pp": 0.5, "gradcam": 0.5, "eigencam": 0.5, "ablationcam": 0.5},
            "undecided",
            "undecided",
        ),
        ({"pp": 0.1, "gradcam": 0.5, "eigencam": 0.6, "ablationcam": 0.7}, "does not", "does not"),
        ({"gradcam": 0.5, "hirescam": 0.2, "xgradcam": 0.3}, "not measurable", "not measurable"),
    ],
)
def test_published_orderings(robust: dict[str, float], best: str, least: str) -> None:
    first, last, differ = published(_cams(**robust))
    assert first.claim.startswith("Grad-CAM++") and first.verdict.startswith(best)
    assert last.claim.startswith("Eigen-CAM") and last.verdict.startswith(least)
    same = len(set(robust.values())) == 1
    assert differ.verdict == ("undecided" if same else "holds for these networks")
    assert "n: Friedman over 38 pictures" in differ.evidence  # two flip in every copy


def test_three_trainings_make_a_verdict_on_trainings() -> None:
    parts = [
        _cams(pp=0.8, gradcam=0.5, eigencam=0.2, ablationcam=0.1 + s / 1000).assign(seed=s)
        for s in (0, 1, 2)
    ]
    for i, part in enumerate(parts):
        part["rho"] = (part["rho"] + np.random.default_rng(i).normal(0, 0.02, len(part))).clip(0, 1)
    assert published(pd.concat(parts))[0].verdict == "holds"


def test_without_flips_nothing_is_said_of_rm() -> None:
    verdicts = published(_cams(pp=0.8, gradcam=0.5, eigencam=0.2).assign(flipped=False))
    assert [v.verdict for v in verdicts[:2]] == ["not measurable here"] * 2
    assert verdicts[2].verdict == "holds for these networks"  # of kept pairs, which there are
    flipped = published(_cams(pp=0.8, gradcam=0.5, eigencam=0.2).assign(flipped=True))
    assert {v.verdict for v in flipped} == {"not measurable here"}


def test_readings_exchange_what_they_say() -> None:
    pairs = pd.concat([
        _cams(pp=0.8, gradcam=0.5, eigencam=0.2),
        _pairs(0.1, 0.0, cam="gradcam++_as_in_library"), _pairs(0.9, 0.8, cam="eigencam_as_in_library"),
    ], ignore_index=True).assign(**{"rho_0.9": 0.5})  # fmt: skip
    found = readings(pairs)
    assert list(found) == [
        "default", "p = 0.5", "p = 0.9", "correct pictures only", "pooled over strengths",
        "Grad-CAM++ as in the library", "Eigen-CAM as in the library",
    ]  # fmt: skip
    assert "correct pictures only" not in readings(pairs.assign(correct=False))
    assert (found["p = 0.9"]["rho"] == 0.5).all()
    assert (found["correct pictures only"]["picture"] % 2 == 0).all()
    by_cam = ["cam"]
    strata = ["corruption", "strength"]
    pooled = robustness(found["pooled over strengths"], by_cam, within=strata)
    pd.testing.assert_frame_equal(pooled, robustness(pairs, by_cam), rtol=1e-9)
    other = found["Grad-CAM++ as in the library"].query("cam == 'gradcam++'")
    assert other["rho"].mean() < 0.2 and len(other) == 160
    table = under(found)
    assert table.columns[1] == "default" and len(table) == 3
    row = table.set_index("claim").loc["Grad-CAM++ is the most robust"]
    assert row["default"] == "holds for these networks"
    assert row["Grad-CAM++ as in the library"] == "does not hold for these networks"
    said = turned(table)
    assert "'Grad-CAM++ is the most robust' is 'does not hold for these networks'" in said
    assert turned(table[["claim", "default", "p = 0.5"]]) == (
        "All 3 verdicts under other readings are the default's."
    )


def test_shared_copies_are_those_on_which_both_agree() -> None:
    one = _pairs(0.8, 0.5)
    two = one.assign(method="nt", flipped=one["flipped"] & (one["strength"] == 3))
    two.loc[0, "rho"] = np.nan
    found = on_shared_copies(pd.concat([one, two, one.assign(method="innt")]), "nt", "baseline")
    assert set(found["method"]) == {"nt", "baseline"}
    agreed = (one["flipped"] == two["flipped"]) & two["rho"].notna()
    assert len(found) == 2 * agreed.sum() < 2 * len(one)
    assert (found.groupby(["picture", "strength", "draw"])["flipped"].nunique() == 1).all()


def test_a_network_that_keeps_hard_copies_is_not_less_consistent_for_it() -> None:
    """The trap: maps move alike, but one network keeps the copies on which they move."""
    one = _pairs(0.9, 0.5)
    other = one.assign(method="nt", flipped=one["flipped"] & (one["draw"] == 0))
    table = trained(pd.concat([one, other])).set_index(["measure", "copies"])
    assert table.loc[("consistency", "own"), "high"] < 0
    assert table.loc[("consistency", "shared"), "difference"] == pytest.approx(0)


def test_what_training_does_is_judged_both_ways() -> None:
    pairs = pd.concat([
        _pairs(0.5, 0.4, method="baseline"), _pairs(0.7, 0.4, method="nt", seed=1),
        _pairs(0.7, 0.1, method="innt", seed=2),
    ])  # fmt: skip
    verdicts = {v.claim: v for v in joined(trained(pairs))}
    assert len(verdicts) == 12

    def said(claim: str) -> str:
        return verdicts[f"{claim}, on the same copies"].verdict

    assert said("NT is more consistent than baseline") == "holds for these networks"
    assert said("INNT is more consistent than NT") == "undecided"
    assert said("INNT is less responsive than NT") == "holds for these networks"
    assert said("NT is less responsive than baseline") == "holds for these networks"
    evidence = verdicts["NT is more consistent than baseline, on the same copies"].evidence
    assert evidence.startswith("n +0.195 [+0.1")
    calm = {v.claim: v for v in joined(trained(pairs.assign(flipped=False)))}
    assert {v.verdict for c, v in calm.items() if "responsive" in c} == {"not measurable here"}
    assert calm["NT is more consistent than baseline, on the same copies"].verdict.startswith(
        "holds"
    )


def test_methods_that_leave_nothing_to_compare_are_refused() -> None:
    check_methods(["baseline", "innt", "innt"])
    for methods in (["nt", "innt"], ["baseline"], ["baseline", "nt_once"]):
        with pytest.raises(
            ValueError, match=rf"methods \(={','.join(methods)}\) must hold baseline"
        ):
            check_methods(methods)


def test_data_sets_differ_where_their_intervals_are_far_apart() -> None:
    def measures(kept: float, network: str = "n", seed: int = 0) -> pd.DataFrame:
        pairs = pd.concat(
            [_pairs(kept, 0.3, cam=cam, seed=seed) for cam in ("gradcam", "eigencam")]
        )
        return robustness(pairs.assign(network=network), ["network", "cam"])

    found = between_data_sets({"a": measures(0.5), "b": measures(0.7, seed=1)})
    assert found.verdict == "holds for these networks" and found.evidence.startswith("2 of 2")
    same = between_data_sets({"a": measures(0.5), "b": measures(0.5, seed=1)})
    assert same.verdict == "undecided" and same.evidence.startswith("0 of 2")
    other = between_data_sets({"a": measures(0.5), "b": measures(0.7, "other")})
    assert other.verdict == "not measurable here"
