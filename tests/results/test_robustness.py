"""Consistency, responsiveness and their tests: by hand, and against scipy's own."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from innt_lib.results.robustness import MEASURES, RESAMPLES, contrasts, readable, robustness
from innt_lib.results.significance import differing, friedman, kept_against_flipped, pairwise
from innt_lib.results.stats import holm, paired_images, paired_test

NAN = math.nan
COLUMNS = ["picture", "strength", "rho", "flipped"]


def _pairs(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)


def _random(pictures: int, seed: int = 0, draws: int = 3, strengths: int = 3) -> pd.DataFrame:
    """Stronger noise moves maps and flips classes, and a flip moves maps further."""
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product(
        [range(pictures), range(1, strengths + 1), range(draws)],
        names=["picture", "strength", "draw"],
    )
    pairs = index.to_frame(index=False)
    ease = rng.random(pictures)[pairs["picture"]]
    pairs["flipped"] = rng.random(len(pairs)) < 0.25 * pairs["strength"] * ease
    moved = 0.2 * pairs["strength"] + 0.15 * pairs["flipped"] + 0.2 * ease
    return pairs.assign(rho=(1 - moved + rng.normal(0, 0.05, len(pairs))).clip(0, 1))


def _one(table: pd.DataFrame) -> pd.Series:
    assert len(table) == 1
    return table.iloc[0]


HAND = _pairs(
    ("a", 1, 0.9, False), ("a", 1, 0.7, False), ("a", 2, 0.2, True),
    ("b", 1, 0.8, False), ("b", 2, 0.4, False), ("b", 2, 0.3, True),
    ("c", 1, 0.5, True), ("c", 2, NAN, True),
)  # fmt: skip

# --- the measure ---------------------------------------------------------------------------------


def test_robustness_by_hand() -> None:
    found = _one(robustness(HAND))
    assert found["consistency"] == pytest.approx((0.9 + 0.7 + 0.8 + 0.4) / 4)
    assert found["responsiveness"] == pytest.approx((0.8 + 0.7 + 0.5) / 3)
    assert found["rm"] == pytest.approx(0.7 * 2 / 3)
    assert found["j"] == pytest.approx(0.7 + 2 / 3 - 1)
    counts = {"kept": 4, "flipped": 3, "dropped": 1, "pictures": 3}
    assert found[list(counts)].to_dict() == counts


def test_robustness_of_groups_is_that_of_each() -> None:
    pairs = _random(30).assign(cam="one")
    other = _random(25, seed=1).assign(cam="other")
    both = robustness(pd.concat([pairs, other]).sample(frac=1, random_state=0), ["cam", "strength"])
    assert both.columns[:2].tolist() == ["cam", "strength"] and len(both) == 6
    for (cam, strength), row in both.set_index(["cam", "strength"]).iterrows():
        table = pairs if cam == "one" else other
        alone = _one(robustness(table[table["strength"] == strength]))
        assert row.tolist() == pytest.approx(alone.tolist(), nan_ok=True)
    # A missing value is a value of its own, as for a method without a parameter.
    assert len(robustness(pairs.assign(tau=[NAN, 1.0, 2.0] * 90), ["tau"])) == 3


def test_robustness_within_strengths_by_hand() -> None:
    # Strength 1: three kept of mean 0.8, one flipped of 0.5; 2: one kept of 0.4, two flipped.
    weights = np.array([3 * 1 / 4, 1 * 2 / 3])
    found = _one(robustness(HAND, within=["strength"]))
    c, r = (np.average(of_strata, weights=weights) for of_strata in ([0.8, 0.4], [0.5, 0.75]))
    assert found[list(MEASURES)].tolist() == pytest.approx([c, r, c * r, c + r - 1])
    assert found[["kept", "flipped", "dropped", "pictures"]].tolist() == [4, 3, 1, 3]
    # A strength at which nothing flips has no say, and none is like with like without any flip.
    calm = _pairs(*[(p, 0, 1.0, False) for p in "abc"])
    more = _one(robustness(pd.concat([HAND, calm]), within=["strength"]))
    assert more[list(MEASURES)].tolist() == pytest.approx(found[list(MEASURES)].tolist())
    assert _one(robustness(calm, within=["strength"]))[list(MEASURES)].isna().all()
    # A missing value is a stratum, too.
    half = HAND.assign(strength=HAND["strength"].replace(2, NAN))
    assert _one(robustness(half, within=["strength"])).equals(found)
    # In one stratum of all there is nothing to average.
    pairs = _random(30, strengths=1)
    pd.testing.assert_frame_equal(robustness(pairs), robustness(pairs, within=["strength"]))


def test_within_strengths_nothing_is_left_of_what_strength_explains() -> None:
    rng = np.random.default_rng(0)
    pairs = _random(2000, seed=2)
    indifferent = pairs.assign(rho=1 - 0.25 * pairs["strength"] + rng.normal(0, 0.01, len(pairs)))
    indifferent["rho"] = indifferent["rho"].clip(0, 1)
    pooled = _one(robustness(indifferent))
    within = _one(robustness(indifferent, within=["strength"]))
    assert pooled["j_low"] > 0.05
    assert within["j"] == pytest.approx(0, abs=1e-3) and within["j_low"] < 0 < within["j_high"]


def test_what_cannot_be_known_is_nan() -> None:
    none_flipped = _one(robustness(HAND[~HAND["flipped"]]))
    assert none_flipped["consistency"] == pytest.approx(0.7)
    assert none_flipped[["responsiveness", "rm", "j", "rm_low", "j_high"]].isna().all()
    assert none_flipped["consistency_low"] <= 0.7 <= none_flipped["consistency_high"]
    assert none_flipped[["kept", "flipped"]].tolist() == [4, 0]
    none_kept = _one(robustness(HAND[HAND["flipped"]]))
    assert none_kept["responsiveness"] == pytest.approx(2 / 3) and math.isnan(none_kept["rm"])
    unknown = HAND[HAND["rho"].isna()]
    for within in ([], ["strength"]):
        nothing = _one(robustness(unknown, within=within))
        assert nothing[["kept", "flipped", "dropped", "pictures"]].tolist() == [0, 0, 1, 0]
        assert nothing[list(MEASURES)].isna().all() and math.isnan(nothing["rm_low"])


def test_a_perfect_and_an_indifferent_cam() -> None:
    pairs = _random(20)
    perfect = _one(robustness(pairs.assign(rho=1.0 - pairs["flipped"])))
    assert perfect[[*MEASURES, "rm_low", "rm_high"]].tolist() == [1] * 6
    rigid = _one(robustness(pairs.assign(rho=1.0)))
    assert rigid[list(MEASURES)].tolist() == [1, 0, 0, 0]
    indifferent = _one(robustness(pairs.assign(rho=0.5)))
    assert indifferent[list(MEASURES)].tolist() == [0.5, 0.5, 0.25, 0]


# --- its intervals -------------------------------------------------------------------------------


def test_intervals_contain_the_estimate_and_shrink_with_pictures() -> None:
    widths = []
    for pictures in (60, 240):
        of_tables = [_one(robustness(_random(pictures, seed))) for seed in range(12)]
        for found in of_tables:
            for name in MEASURES:
                assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]
        of_names = [[t[f"{name}_high"] - t[f"{name}_low"] for t in of_tables] for name in MEASURES]
        widths.append(np.mean(of_names, axis=1))
    assert widths[0] / widths[1] == pytest.approx([2] * 4, rel=0.1)  # four times as many


def test_intervals_depend_on_seed_and_confidence_alone() -> None:
    pairs = _random(40)
    first = robustness(pairs)
    pd.testing.assert_frame_equal(first, robustness(pairs, seed=0))
    shuffled = robustness(pairs.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(first, shuffled, rtol=1e-12)
    renamed = robustness(pairs.assign(picture=pairs["picture"].map("{:03d}.png".format)))
    pd.testing.assert_frame_equal(first, renamed)
    assert _one(robustness(pairs, seed=1))["rm_low"] != _one(first)["rm_low"]
    narrow = _one(robustness(pairs, confidence=0.5))
    assert narrow["rm"] == _one(first)["rm"]
    assert _one(first)["rm_low"] < narrow["rm_low"] < narrow["rm_high"] < _one(first)["rm_high"]


def test_intervals_are_those_of_drawing_pictures() -> None:
    """Against a plain bootstrap that copies the pairs of the pictures drawn."""
    pairs = _random(12, draws=2)
    rng = np.random.default_rng(0)
    of_picture = [group for _, group in pairs.groupby("picture")]
    drawn = []
    for _ in range(RESAMPLES):
        copy = pd.concat([of_picture[i] for i in rng.integers(12, size=12)])
        flipped = copy["flipped"]
        drawn.append((copy["rho"][~flipped].mean(), 1 - copy["rho"][flipped].mean()))
    c, r = np.array(drawn).T
    found = _one(robustness(pairs))
    for name, values in zip(MEASURES, (c, r, c * r, c + r - 1), strict=True):
        expected = np.quantile(values, [0.025, 0.975])
        assert found[[f"{name}_low", f"{name}_high"]].tolist() == pytest.approx(expected.tolist())


def test_copies_of_a_pair_are_no_further_pictures() -> None:
    pairs = _random(30, draws=1)
    once, copied = _one(robustness(pairs)), _one(robustness(pd.concat([pairs] * 10)))
    measured = [f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high")]
    assert copied[measured].tolist() == pytest.approx(once[measured].tolist())
    assert copied["kept"] == 10 * once["kept"] and copied["pictures"] == once["pictures"]
    # Taken for pictures of their own, they feign precision.
    naive = pd.concat([pairs.assign(picture=pairs["picture"] + 100 * i) for i in range(10)])
    width = [found["rm_high"] - found["rm_low"] for found in (once, _one(robustness(naive)))]
    assert width[1] < width[0] / 2.5


def test_intervals_cover_as_often_as_they_say() -> None:
    truth = _one(robustness(_random(20_000, seed=9)))
    hits = []
    for seed in range(120):
        found = _one(robustness(_random(60, seed=100 + seed), confidence=0.9))
        hits.append([found[f"{m}_low"] <= truth[m] <= found[f"{m}_high"] for m in MEASURES])
    assert np.mean(hits, axis=0) == pytest.approx([0.9] * 4, abs=0.07)


def test_intervals_of_little() -> None:
    single = _one(robustness(HAND[HAND["picture"] == "a"]))
    assert single["rm"] == pytest.approx(0.64) and single["pictures"] == 1
    assert single[[f"{m}{end}" for m in MEASURES for end in ("_low", "_high")]].isna().all()
    # Of 100 pictures, two that flip are missing from 13 % of the resamples, four from 2 %.
    for flips, known in ((2, False), (4, True)):
        pairs = _pairs(*[(p, 1, 0.1 + 0.2 * (p % 2), p < flips) for p in range(100)])
        found = _one(robustness(pairs))
        assert found[["consistency_low", "rm"]].notna().all()
        bounds = found[["responsiveness_low", "rm_low", "j_high"]]
        assert bounds.notna().all() if known else bounds.isna().all()


rows = st.lists(
    st.tuples(st.integers(0, 4), st.integers(1, 2), st.floats(0, 1) | st.just(NAN), st.booleans()),
    min_size=1,
    max_size=30,
)


@settings(max_examples=40)
@given(rows)
def test_robustness_for_any_pairs(rows: list[tuple]) -> None:
    pairs = _pairs(*rows)
    found = _one(robustness(pairs))
    kept = [rho for _, _, rho, flipped in rows if not flipped and not math.isnan(rho)]
    flipped = [1 - rho for _, _, rho, flipped in rows if flipped and not math.isnan(rho)]
    assert (found["kept"], found["flipped"]) == (len(kept), len(flipped))
    assert found["kept"] + found["flipped"] + found["dropped"] == len(rows)
    c, r = (np.mean(values) if values else NAN for values in (kept, flipped))
    expected = [c, r, c * r, c + r - 1]
    assert found[list(MEASURES)].tolist() == pytest.approx(expected, nan_ok=True)
    within = _one(robustness(pairs, within=["strength"]))
    both = within[["consistency", "responsiveness"]]
    assert both.isna().all() or ((both > -1e-9) & (both < 1 + 1e-9)).all()


# --- differences ---------------------------------------------------------------------------------


def test_contrasts_by_hand() -> None:
    other = HAND.assign(rho=HAND["rho"] / 2)
    both = pd.concat([HAND.assign(cam="one"), other.assign(cam="two")])
    found = contrasts(both, "cam", [("one", "two"), ("two", "one"), ("one", "none")], MEASURES)
    assert found[["a", "b"]].drop_duplicates().to_numpy().tolist() == [
        ["one", "two"],
        ["two", "one"],
    ]
    own, half = (_one(robustness(t))[list(MEASURES)].astype(float) for t in (HAND, other))
    assert found["difference"][:4].tolist() == pytest.approx((own - half).tolist())
    assert found["difference"][4:].tolist() == pytest.approx((half - own).tolist())
    assert found["favours"].tolist() == [1, -1, 1, 1, -1, 1, -1, -1]
    assert (found["seeds"] == 0).all() and found["p_seeds"].isna().all()
    strata = contrasts(both, "cam", [("one", "two")], ["rm"], within=["strength"])
    a, b = (_one(robustness(t, within=["strength"]))["rm"] for t in (HAND, other))
    assert _one(strata)["difference"] == pytest.approx(a - b)


def test_contrasts_draw_the_same_pictures_for_both() -> None:
    """Against a plain bootstrap, and far narrower than the intervals of either."""
    pairs = _cams(15, one=0.0, two=0.1)
    found = _one(contrasts(pairs, "cam", [("one", "two")], ["consistency"]))
    rng, drawn = np.random.default_rng(0), []
    of_picture = [group for _, group in pairs[~pairs["flipped"]].groupby("picture")]
    for _ in range(RESAMPLES):
        copy = pd.concat([of_picture[i] for i in rng.integers(15, size=15)])
        drawn.append(copy.groupby("cam")["rho"].mean())
    differences = np.array([means["one"] - means["two"] for means in drawn])
    assert [found["low"], found["high"]] == pytest.approx(np.quantile(differences, [0.025, 0.975]))
    assert found["p_images"] == pytest.approx(2 / (1 + RESAMPLES))  # no resample crosses 0
    alone = robustness(pairs, ["cam"])
    width = (alone["consistency_high"] - alone["consistency_low"]).min()
    assert found["high"] - found["low"] < width / 3


def test_contrasts_hold_for_chance_as_often_as_they_say() -> None:
    p = [
        _one(contrasts(_cams(30, one=0.0, two=0.0, noise=seed), "cam", [("one", "two")]))[
            "p_images"
        ]
        for seed in range(100)
    ]
    assert np.mean(np.array(p) < 0.2) == pytest.approx(0.2, abs=0.11)


def test_contrasts_over_trainings() -> None:
    parts = [_cams(20, one=0.0, two=0.02 * s, noise=s).assign(seed=s) for s in (1, 2, 3)]
    pairs = pd.concat(parts)
    found = _one(contrasts(pairs, "cam", [("one", "two")], ["consistency"]))
    means = pairs[~pairs["flipped"]].groupby(["seed", "cam"])["rho"].mean().unstack()
    expected = paired_test(means["one"], means["two"])
    assert found["seeds"] == 3 and found["p_seeds"] == pytest.approx(expected.p)
    two = _one(contrasts(pairs[pairs["seed"] < 3], "cam", [("one", "two")]))
    assert two["seeds"] == 2 and math.isnan(two["p_seeds"])  # two trainings prove nothing


def test_contrasts_of_what_is_not_known() -> None:
    calm = _cams(10, one=0.0, two=0.1).assign(flipped=False)
    found = contrasts(calm, "cam", [("one", "two")], ["consistency", "rm"]).set_index("measure")
    assert found.loc["consistency", "favours"] == 1
    unknown = found.loc["rm"]
    assert unknown["favours"] == 0 and unknown[["difference", "low", "p_images"]].isna().all()
    same = _one(contrasts(calm.assign(rho=0.5), "cam", [("one", "two")], ["consistency"]))
    assert same[["difference", "low", "high", "p_images"]].tolist() == [0, 0, 0, 1]
    assert contrasts(calm, "cam", [("one", "none")]).empty


def test_readable_measures() -> None:
    found = readable(robustness(HAND[~HAND["flipped"]]))
    assert found["consistency"].iloc[0].startswith("0.70 [")
    assert found["rm"].iloc[0] == "-" and found["kept"].iloc[0] == 4
    assert not [name for name in found if name.endswith(("_low", "_high"))]


# --- tests ---------------------------------------------------------------------------------------


def test_kept_against_flipped_against_scipy() -> None:
    pairs = _random(50)
    found = kept_against_flipped(pairs)
    assert found["strength"].tolist() == [1, 2, 3]
    for _, row in found.iterrows():
        part = pairs[pairs["strength"] == row["strength"]]
        kept, flipped = (
            part[part["flipped"] == which].groupby("picture")["rho"].mean()
            for which in (False, True)
        )
        assert (row["kept"], row["flipped"]) == (len(kept), len(flipped))
        assert row["mean_kept"] == pytest.approx(kept.mean())
        assert row["mean_flipped"] == pytest.approx(flipped.mean())
        expected = stats.mannwhitneyu(flipped, kept, alternative="less")
        assert row["p"] == pytest.approx(expected.pvalue) and row["p"] < 0.01
        higher = np.sign(kept.to_numpy()[:, None] - flipped.to_numpy()[None])
        assert row["cliffs_delta"] == pytest.approx(higher.mean())
    assert found["p_holm"].tolist() == pytest.approx(holm(found["p"].to_numpy()))
    # The contrary is not found to be lower.
    contrary = kept_against_flipped(pairs.assign(flipped=~pairs["flipped"]))
    assert (contrary["p"] > 0.99).all()
    assert contrary["cliffs_delta"].tolist() == pytest.approx((-found["cliffs_delta"]).tolist())


def test_kept_against_flipped_by_hand() -> None:
    pairs = _pairs(
        ("a", 1, 0.1, False), ("a", 1, 0.5, False), ("b", 1, 0.9, False),
        ("c", 1, 0.1 + 0.2, True), ("a", 1, 0.2, True), ("d", 1, NAN, True), ("a", 2, 0.5, False),
    )  # fmt: skip
    found = kept_against_flipped(pairs)
    first, second = found.iloc[0], found.iloc[1]
    # Means 0.3 and 0.9 against 0.3 and 0.2: three higher, one equal but for rounding.
    assert (first["kept"], first["flipped"], first["cliffs_delta"]) == (2, 2, 0.75)
    assert first["p_holm"] == first["p"]  # the other could not be made
    assert (second["kept"], second["flipped"]) == (1, 0)
    assert second[["cliffs_delta", "p", "p_holm", "mean_flipped"]].isna().all()
    assert _one(kept_against_flipped(pairs.assign(rho=0.5), []))["p"] == 1


def _cams(pictures: int, noise: int = 3, **shift: float) -> pd.DataFrame:
    """The same copies and flips for every CAM, the maps of each moved by some more."""
    pairs, rng = _random(pictures), np.random.default_rng(noise)
    parts = []
    for cam, amount in shift.items():
        rho = (pairs["rho"] - amount + rng.normal(0, 0.02, len(pairs))).clip(0, 1)
        parts.append(pairs.assign(cam=cam, rho=rho))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("flipped", [False, True])
def test_friedman_against_scipy(flipped: bool) -> None:
    pairs = _cams(40, one=0.0, two=0.0, three=0.05)
    found = _one(friedman(pairs, flipped=flipped))
    means = (
        pairs[pairs["flipped"] == flipped].groupby(["picture", "cam"])["rho"].mean().unstack()
    ).dropna()
    expected = stats.friedmanchisquare(*means.to_numpy().T)
    assert (found["levels"], found["pictures"]) == (3, len(means))
    assert (found["statistic"], found["p"]) == pytest.approx(tuple(expected))
    ranks = means.rank(axis=1).sum()
    n = len(means)
    w = 12 * ((ranks - ranks.mean()) ** 2).sum() / (n**2 * (27 - 3))
    assert found["kendalls_w"] == pytest.approx(w)
    assert found["p_holm"] == found["p"] < 1e-4


def test_friedman_of_little() -> None:
    pairs = _cams(10, one=0.0, two=0.0, three=0.0)
    equal = _one(friedman(pairs.assign(rho=0.5)))
    assert equal[["statistic", "kendalls_w", "p", "p_holm"]].tolist() == [0, 0, 1, 1]
    two = _one(friedman(pairs[pairs["cam"] != "two"]))
    assert two["levels"] == 2 and two[["statistic", "kendalls_w", "p"]].isna().all()
    alone = _one(friedman(pairs[pairs["picture"] == 0]))
    assert alone["pictures"] == 1 and math.isnan(alone["p"])
    calm = _one(friedman(pairs.assign(flipped=False), flipped=True))
    assert (calm["levels"], calm["pictures"]) == (3, 0) and math.isnan(calm["p"])
    # A picture that one CAM says nothing of is left out.
    pairs.loc[(pairs["cam"] == "two") & (pairs["picture"] == 3), "rho"] = NAN
    assert _one(friedman(pairs))["pictures"] == _one(friedman(pairs.dropna()))["pictures"] < 11
    groups = friedman(_cams(10, one=0.0, two=0.0, three=0.1), ["strength"])
    assert groups["p_holm"].tolist() == pytest.approx(holm(groups["p"].to_numpy()))


@pytest.mark.parametrize("flipped", [False, True])
def test_pairwise_against_scipy(flipped: bool) -> None:
    pairs = _cams(40, one=0.0, two=0.01, three=0.1)
    found = pairwise(pairs, flipped=flipped)
    assert found[["a", "b"]].to_numpy().tolist() == [
        ["one", "two"], ["one", "three"], ["two", "three"],
    ]  # fmt: skip
    part = pairs[pairs["flipped"] == flipped]
    means = part.groupby(["picture", "cam"])["rho"].mean().unstack()
    for _, row in found.iterrows():
        difference = (means[row["a"]] - means[row["b"]]).dropna()
        assert row["pictures"] == len(difference)
        assert row["difference"] == pytest.approx(difference.mean())
        assert row["p"] == pytest.approx(stats.wilcoxon(difference.round(12)).pvalue)
        assert row["p"] == paired_images(means[row["a"]].dropna(), means[row["b"]].dropna())
    assert found["p_holm"].tolist() == pytest.approx(holm(found["p"].to_numpy()))
    assert (found["p_holm"][1:] < 0.001).all()


def test_pairwise_of_other_columns_and_groups() -> None:
    pairs = _cams(20, one=0.0, two=0.1).rename(columns={"cam": "network"})
    found = pairwise(pairs, ["strength"], of="network")
    assert found["strength"].tolist() == [1, 2, 3] and (found["difference"] > 0.05).all()
    assert pairwise(pairs[pairs["network"] == "one"], of="network").empty
    unknown = _one(pairwise(pairs.assign(flipped=False), of="network", flipped=True))
    assert unknown["pictures"] == 0 and unknown[["difference", "p", "p_holm"]].isna().all()


def test_a_sentence_on_what_differs() -> None:
    found = pairwise(_cams(40, gradcam=0.0, two=0.0, eigencam=0.1))
    assert differing(found) == (
        "2 of 3 pairs differ (the higher rho first): Grad-CAM > Eigen-CAM, two > Eigen-CAM."
    )
    assert differing(found[:1]) == "0 of 1 pairs differ."


def test_refuses() -> None:
    for function in (robustness, kept_against_flipped, friedman, pairwise):
        with pytest.raises(ValueError, match="columns picture, rho, flipped.*no 'rho'"):
            function(HAND.drop(columns="rho"))
        with pytest.raises(ValueError, match="no 'noise'"):
            function(HAND.assign(cam="one"), ["noise"])
        good = HAND.assign(cam="one")
        with pytest.raises(ValueError, match="at least one pair"):
            function(good[:0])
        with pytest.raises(ValueError, match="name the picture"):
            function(good.assign(picture=None))
        with pytest.raises(ValueError, match=r"rho \(with 1.2\) must lie in \[0, 1\]"):
            function(good.assign(rho=1.2))
        for flipped in (2, "no", NAN):
            with pytest.raises(ValueError, match=rf"flipped \(with .*{flipped}.*\)"):
                function(good.assign(flipped=flipped))
    with pytest.raises(ValueError, match="no 'cam'"):
        pairwise(HAND)
    with pytest.raises(ValueError, match="no 'corruption'"):
        robustness(HAND, within=["corruption"])
    for confidence in (0, 1, 95):
        with pytest.raises(ValueError, match=rf"confidence \(={confidence}\)"):
            robustness(HAND, confidence=confidence)
