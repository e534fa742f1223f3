"""Collapsed trainings: counted, said, and left out of means and comparisons."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from innt_lib.results import choice, claims, tables


def results(collapsed: dict[str, list[int]], **values: list[float]) -> pd.DataFrame:
    """Runs of two methods, three seeds each; ``collapsed`` names the seeds that did."""
    rows = []
    for method, measured in values.items():
        for seed, value in enumerate(measured):
            rows.append({
                "run": f"{method}{seed}", "network": "n", "method": method, "noise": "gaussian",
                "seed": seed, "similarity": value, "collapsed": seed in collapsed.get(method, []),
            })  # fmt: skip
    return pd.DataFrame(rows)


def images(of_runs: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame([row] * 20).assign(
            image=range(20), similarity=row["similarity"] + rng.normal(0, 0.01, 20)
        )
        for _, row in of_runs.iterrows()
    ]
    return pd.concat(parts, ignore_index=True)


def test_means_leave_collapsed_trainings_out_and_count_them():
    table = results({"innt": [1]}, nt=[0.5, 0.6, 0.7], innt=[0.8, 0.0, 1.0])
    cells = tables.intervals(table, ["similarity"]).set_index("method")
    assert cells.loc["nt", ["mean", "seeds", "collapsed"]].tolist() == pytest.approx([0.6, 3, 0])
    assert cells.loc["innt", ["mean", "seeds", "collapsed"]].tolist() == pytest.approx([0.9, 2, 1])
    assert cells.loc["innt", "runs"] == "innt0 innt1 innt2"  # all are named
    shown = tables.wide(tables.intervals(table, ["similarity"]), 2)
    assert shown.loc[("n", "innt"), ("gaussian", "similarity")].endswith("(1 collapsed)")
    assert "collapsed" not in shown.loc[("n", "nt"), ("gaussian", "similarity")]


def test_a_cell_of_collapsed_trainings_alone_has_no_mean():
    table = results({"innt": [0, 1, 2]}, innt=[0.8, 0.0, 1.0])
    (cell,) = tables.intervals(table, ["similarity"]).to_dict("records")
    assert math.isnan(cell["mean"]) and (cell["seeds"], cell["collapsed"]) == (0, 3)
    shown = tables.wide(tables.intervals(table, ["similarity"]), 2)
    assert shown.loc[("n", "innt"), ("gaussian", "similarity")] == "3 collapsed"


def test_comparisons_are_among_trainings_that_stand():
    table = results({"innt": [1]}, nt=[0.5, 0.6, 0.7], innt=[0.8, 0.0, 1.0])
    compared = claims.compare(table, images(table), "innt", "nt", ["similarity"])
    (row,) = compared.to_dict("records")
    assert row["difference"] == pytest.approx(0.3) and row["seeds"] == 2
    fallen = results({"innt": [0, 1, 2]}, nt=[0.5, 0.6, 0.7], innt=[0.8, 0.0, 1.0])
    assert claims.compare(fallen, images(fallen), "innt", "nt", ["similarity"]).empty


def test_pictures_are_compared_within_the_same_trainings():
    """Two trainings that agree, and a third whose partner collapsed."""
    table = results({"innt": [2]}, nt=[0.5, 0.6, 0.9], innt=[0.5, 0.6, 0.1])
    same = images(table)
    noise = np.random.default_rng(1).normal(0, 0.1, 20)
    same["similarity"] = same["seed"] + noise[same["image"]]
    compared = claims.compare(table, same, "innt", "nt", ["similarity"])
    assert compared["p_images"].item() == 1


@pytest.mark.parametrize("seeds", [2, 3])
def test_pictures_without_a_map_count_for_neither(seeds):
    """INNT is better by 0.05 wherever both have a map; NT has none of the half that is hard for both."""
    rng, parts, means = np.random.default_rng(0), [], {"nt": [], "innt": []}
    easy = np.arange(20) < 10
    for seed in range(seeds):
        nt = np.where(easy, 0.9, np.nan) + rng.normal(0, 0.001, 20)
        innt = np.where(easy, 0.95, 0.3) + rng.normal(0, 0.001, 20)
        for method, values in (("nt", nt), ("innt", innt)):
            means[method].append(np.nanmean(values))
            about = {"network": "n", "noise": "gaussian", "method": method, "seed": seed}
            parts.append(pd.DataFrame(about | {"image": range(20), "similarity": values}))
    table = results({}, **means)
    (row,) = claims.compare(table, pd.concat(parts), "innt", "nt", ["similarity"]).to_dict(
        "records"
    )
    assert row["difference"] == pytest.approx(0.05, abs=0.002) and row["favours"] == 1
    assert row["low"] > 0.03 and row["p_images"] < 0.05
    assert seeds < 3 or row["p_seeds"] < 0.01


def test_the_rule_that_chooses_a_setting():
    """Of 100 pictures, one standard error of the best 50 % is 5 points, of the best 80 % it is 4."""
    results = pd.DataFrame({
        "method": ["plain", "near", "near", "far", "fallen"],
        "clean_top1": [80.0, 76.0, 76.5, 75.9, 90.0], "noisy_top1": [50.0, 45.0, 45.5, 50.0, 90.0],
        "similarity": [0.6, 0.7, 0.7, 0.9, 1.0], "collapsed": [0, 0, 0, 0, 1],
    })  # fmt: skip
    assert choice.within_one_error(results, 100) == (["plain", "near"], "near")
    assert choice.one_error_below(results, 100) == {
        "clean_top1": 76.0,
        "noisy_top1": 45.0,
    }
    apart = results[results["method"].isin(["far", "near"])].assign(
        clean_top1=[50.0, 50.0, 90.0], noisy_top1=[90.0, 90.0, 50.0]
    )
    assert choice.within_one_error(apart, 100) == ([], None)


def test_what_collapsed_is_said():
    table = results({"innt": [1, 2]}, nt=[0.5, 0.6, 0.7], innt=[0.8, 0.0, 1.0])
    said = tables.collapse(table)
    assert said.startswith("2 of 6 trainings COLLAPSED") and said.endswith("2 of n innt.")
    assert tables.collapse(results({}, nt=[0.5])) == "No training collapsed."


def test_tables_of_earlier_versions_say_nothing_of_it():
    table = results({}, nt=[0.5, 0.7]).drop(columns="collapsed")
    (cell,) = tables.intervals(table, ["similarity"]).to_dict("records")
    assert cell["mean"] == pytest.approx(0.6) and cell["collapsed"] == 0
    assert len(tables.standing(table)) == 2


def test_rounded_p_values_say_when_they_are_small(capsys):
    table = pd.DataFrame({"difference": [0.12345, 1.0], "p_images": [1e-7, np.nan], "n": [3, 4]})
    shown = tables.rounded(table)
    assert list(shown["p_images"])[0] == "< 0.0001" and np.isnan(list(shown["p_images"])[1])
    assert list(shown["difference"]) == [0.1234, 1.0]
    tables.say("word " * 50)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 110 and lines[1].startswith("  word")
