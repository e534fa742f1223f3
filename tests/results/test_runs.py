import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from innt_lib.learn import networks
from innt_lib.learn.monitor import accuracy
from innt_lib.neighbors.noise import GaussianNoise, NeighborhoodNoise
from innt_lib.results import claims, paper, runs, tables
from innt_lib.results.evaluation import Reading, evaluate, mask

STRENGTHS = {"gaussian": 0.15, "neighborhood": 1.0}
COMMON = {"size": 16, "epochs": 1, "batch_size": 8}


def small_grid(methods="baseline,nt,innt", seeds=2, **options):
    return runs.grid("smallcnn", methods, STRENGTHS, seeds, **COMMON | options)


# --- names and grids -----------------------------------------------------------------------------


def test_a_path_names_a_run_as_its_text_does(tmp_path):
    assert runs.Run(dataset=tmp_path).name == runs.Run(dataset=str(tmp_path)).name


def test_only_what_matters_names_a_run():
    plain = runs.Run(method="baseline", noise="none")
    assert plain.name == runs.Run(method="baseline", noise="gaussian", tau=1.0).name
    assert plain.name == runs.Run(method="baseline", test_per_class=3).name
    nt = runs.Run(method="nt")
    assert nt.name == runs.Run(method="nt", tau=1.0, lambda_=0.5).name
    for other in ({"strength": 0.2}, {"seed": 1}, {"resample": False}, {"train_per_class": 3}):
        assert nt.name != runs.Run(method="nt", **other).name
    assert runs.Run(method="innt").name != runs.Run(method="innt", tau=1.0).name


def test_grid_has_the_baseline_once_and_one_tau_a_network(root):
    cells = small_grid()
    assert len(cells) == 2 * (1 + 2 + 2)
    assert len({run.name for run in cells}) == len(cells)
    taus = {run.tau for run in cells if run.method != "baseline"}
    assert len(taus) == 1
    assert {run.tau for run in small_grid("nt,innt", tau=0.25)} == {0.25}


def test_nt_with_noise_drawn_once_is_a_method_of_its_own_in_grids_and_tables(root):
    once, again = runs.grid("smallcnn", "nt_once,nt", {"gaussian": 0.15}, 1, tau=1.0)
    assert (once.method, once.resample, once.label) == ("nt", False, "nt_once")
    assert (again.method, again.resample, again.label) == ("nt", True, "nt")
    assert once.name != again.name


def test_suggested_tau_starts_the_regulariser_at_one_half(root):
    from innt_lib import activation_distance, build, data

    run = runs.Run(**COMMON)
    images = run.load_data().train
    chosen = torch.linspace(0, len(images) - 1, 8).long().numpy()
    clean = data.standardise(images.select(chosen).tensor())
    noisy = GaussianNoise(0.15)(clean, torch.Generator().manual_seed(0))
    network = build("smallcnn", len(images.classes)).train()
    a, b = network.features(torch.cat([clean, noisy])).chunk(2)
    tau = runs.suggest_tau(run)
    assert float(activation_distance(a, b, tau).detach()) == pytest.approx(
        0.5, abs=0.04
    )  # one digit
    assert tau == float(f"{tau:.1e}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "vgg99"}, "'vgg99'.*smallcnn"),
        ({"method": "x"}, "'x'.*baseline"),
        ({"noise": "salt"}, "'salt'"),
    ],
)
def test_bad_runs_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        runs.Run(**options)


def test_bad_grids_are_named(root):
    with pytest.raises(ValueError, match="seeds .=0."):
        small_grid(seeds=0)
    with pytest.raises(ValueError, match="tau .='big'"):
        small_grid(tau="big")


# --- training and reuse --------------------------------------------------------------------------


def test_ensure_trains_once_and_leaves_a_whole_run(root, monkeypatch):
    run = runs.Run(**COMMON)
    runs.ensure(run)
    assert {p.name for p in run.directory.iterdir()} - {".lock"} == {
        "run.json", "history.csv", "weights.safetensors",
    }  # fmt: skip
    record = json.loads((run.directory / "run.json").read_text())
    assert record["parameters"]["method"] == "innt"
    assert record["data"]["images"] == 24
    assert record["versions"]["torch"] == torch.__version__
    monkeypatch.setattr(runs, "train", lambda *_, **__: pytest.fail("trained again"))
    runs.ensure(run)
    assert len(runs.history(run)) == 1


def test_reg_is_shown_only_as_it_was_measured(root):
    """NT's runs are the same whatever tau is, but Reg_na beside it was measured with one."""
    run = runs.Run(**COMMON | {"method": "nt", "tau": 0.1})
    other = replace(run, tau=0.2)
    assert run.name == other.name
    runs.ensure(run)
    assert runs.history(run)["reg"].notna().all() and runs.history(other)["reg"].isna().all()


def test_all_is_checked_before_anything_is_trained(root):
    good = runs.Run(**COMMON)
    for bad, message in (
        (runs.Run(**COMMON | {"size": 7}), "size .=7. is too small for smallcnn"),
        (runs.Run(**COMMON, weights="nowhere"), "no checkpoint at .*nowhere"),
        (runs.Run(**COMMON | {"batch_size": 1}), "batch_size .=1. is refused"),
        (runs.Run(**COMMON | {"batch_size": 25}), "larger than the training set .24."),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            runs.ensure([good, bad])
    with pytest.raises(ValueError, match="no CUDA GPU|cuda:99"):
        runs.ensure(good, "cuda:99" if torch.cuda.is_available() else "cuda")
    assert not (root / "runs").exists()


def test_an_interrupted_run_goes_on_to_the_same_bits(root, monkeypatch, tmp_path_factory):
    run = runs.Run(**COMMON | {"epochs": 3})
    runs.ensure(run)
    weights = (run.directory / "weights.safetensors").read_bytes()
    history = (run.directory / "history.csv").read_text()

    monkeypatch.setenv("INNT_ROOT", str(other := tmp_path_factory.mktemp("other")))
    (other / "data").symlink_to(root / "data")
    from innt_lib.learn import training

    save = training._Loop.save

    def save_then_die(loop, path):
        save(loop, path)
        if loop.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training._Loop, "save", save_then_die)
    with pytest.raises(KeyboardInterrupt):
        runs.ensure(run)
    assert (run.directory / "state.pt").exists() and not run.finished
    monkeypatch.setattr(training._Loop, "save", save)
    runs.ensure(run)
    assert (run.directory / "weights.safetensors").read_bytes() == weights
    assert (run.directory / "history.csv").read_text() == history
    assert not (run.directory / "state.pt").exists()


def test_what_is_skipped_is_counted_in_the_record(root, tiny_root):
    (root / "data").unlink()  # a link to what all tests share
    shutil.copytree(tiny_root / "data" / "birds", root / "data" / "birds")
    broken = sorted(root.glob("data/birds/images/*/*"))[0]
    broken.write_bytes(b"no image")
    with pytest.raises(ValueError, match="cannot be decoded"):
        runs.ensure(runs.Run(**COMMON))
    run = runs.Run(**COMMON, on_bad="skip")
    runs.ensure(run)
    record = json.loads((run.directory / "run.json").read_text())["data"]
    assert len(record["skipped"]) == 1 and str(broken) in record["skipped"][0]
    assert record["images"] == len(run.load_data().train)


def test_changed_data_are_noticed(root):
    run = runs.Run(**COMMON)
    runs.ensure(run)
    path = run.directory / "run.json"
    path.write_text(path.read_text().replace(run.load_data().train.fingerprint, "0" * 32))
    with pytest.raises(ValueError, match="changed since .* was trained"):
        runs.ensure(run)


def test_a_changed_start_is_noticed(root):
    first = runs.Run(**COMMON)
    runs.ensure(first)
    start = first.directory / "weights.safetensors"
    second = replace(first, weights=f"features:{start}", seed=1)
    runs.ensure(second)
    runs.ensure(second)
    weights = start.read_bytes()
    start.write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(ValueError, match=f"{start.name}, from which .* changed since"):
        runs.ensure(second)
    start.unlink()  # not needed any more
    runs.ensure(second)


# --- evaluation ----------------------------------------------------------------------------------


def test_evaluation_does_not_depend_on_the_batches(root):
    run = runs.Run(**COMMON)
    network, test = runs.load(run), run.load_data().test
    whole = evaluate(network, test, GaussianNoise())
    parts = evaluate(network, test, GaussianNoise(), batch_size=5)
    pd.testing.assert_frame_equal(whole, parts, check_exact=False, rtol=1e-3, atol=1e-4)


def test_evaluation_columns_follow_their_definitions(root):
    run = runs.Run(**COMMON)
    network, test = runs.load(run), run.load_data().test
    table = evaluate(network, test, NeighborhoodNoise())
    clean, masked = table["clean_probability"], table["masked_probability"]
    np.testing.assert_allclose(table["drop"], np.maximum(0, clean - masked) / clean, rtol=1e-5)
    assert (table["increase"] == (masked > clean)).all()
    assert (table["drop_as_printed"] == (masked < clean)).all()
    np.testing.assert_allclose(
        table["pointing_error"], (table["ebpg_clean"] - table["ebpg_noisy"]).abs(), rtol=1e-5
    )
    assert table["clean_top1"].mean() == pytest.approx(accuracy(network, test))
    assert table["noisy_top1"].mean() == pytest.approx(accuracy(network, test, NeighborhoodNoise()))
    assert (table["clean_top1"] == (table["predicted"] == table["label"])).all()
    assert "clean_top5" not in table  # 4 species


def test_readings_change_what_they_say(root):
    run = runs.Run(**COMMON)
    network, test = runs.load(run), run.load_data().test
    default = evaluate(network, test, GaussianNoise())
    for reading in (
        Reading(mask_image="clean"), Reading(reference="explanation"), Reading(fill="black"),
    ):  # fmt: skip
        other = evaluate(network, test, GaussianNoise(), reading=reading)
        assert not np.allclose(
            default[["clean_probability", "masked_probability"]],
            other[["clean_probability", "masked_probability"]],
        ), reading
    with pytest.raises(ValueError, match="'both'.*noisy, clean"):
        Reading(mask_image="both")
    with pytest.raises(ValueError, match=r"'cam'.*gradcam"):
        evaluate(network, test, GaussianNoise(), cam="cam")


def test_mask_fades_to_the_mean_or_to_black():
    from innt_lib.system.tensors import standardise

    black = standardise(torch.zeros(1, 2, 2, 3, dtype=torch.uint8))
    images = torch.randn(1, 3, 2, 2)
    nothing, everything = torch.zeros(1, 2, 2), torch.ones(1, 2, 2)
    assert torch.equal(mask(images, nothing), torch.zeros_like(images))
    torch.testing.assert_close(mask(images, nothing, "black"), black)
    for fill in ("mean", "black"):
        torch.testing.assert_close(mask(images, everything, fill), images)
    with pytest.raises(ValueError, match=r"images .of shape .1, 1, 2, 2.. must be .B, 3, H, W."):
        mask(images[:, :1], nothing, "black")


def test_a_network_of_another_number_of_classes_is_refused(tiny_images):
    with pytest.raises(ValueError, match="knows 5 classes, and tiny has 3"):
        evaluate(networks.build("smallcnn", 5), tiny_images, GaussianNoise())


def test_evaluations_are_kept(root, monkeypatch):
    run = runs.Run(**COMMON)
    first = runs.evaluation(run, GaussianNoise())
    monkeypatch.setattr(runs, "evaluate", lambda *_, **__: pytest.fail("evaluated again"))
    pd.testing.assert_frame_equal(first, runs.evaluation(run, GaussianNoise()))


def test_evaluations_of_an_earlier_version_are_measured_anew(root, monkeypatch):
    run = runs.Run(**COMMON)
    runs.evaluation(run, GaussianNoise())
    monkeypatch.setattr(runs, "VERSION", runs.VERSION + 1)
    again = pd.DataFrame({"measured": ["anew"]})
    monkeypatch.setattr(runs, "evaluate", lambda *_, **__: again)
    pd.testing.assert_frame_equal(again, runs.evaluation(run, GaussianNoise()))


# --- tables and claims ---------------------------------------------------------------------------


def test_a_corrected_test_box_is_measured_anew(root, tiny_root):
    (root / "data").unlink()  # a link to what all tests share
    birds = root / "data" / "birds"
    shutil.copytree(tiny_root / "data" / "birds", birds)
    run = runs.Run(**COMMON)
    runs.ensure(run)
    before = runs.evaluation(run, GaussianNoise())
    tested = [line.split()[1] == "0" for line in (birds / "train_test_split.txt").open()]
    path = birds / "bounding_boxes.txt"
    lines = path.read_text().splitlines()
    place = tested.index(True)
    lines[place] = f"{lines[place].split()[0]} 0.0 0.0 5.0 5.0"
    path.write_text("\n".join(lines) + "\n")
    runs.load_images.cache_clear()
    after = runs.evaluation(run, GaussianNoise())
    assert after["clean_top1"].tolist() == before["clean_top1"].tolist()
    assert after["ebpg_clean"].iloc[0] != before["ebpg_clean"].iloc[0]


def test_no_runs_no_tables():
    with pytest.raises(ValueError, match="no run to measure"):
        tables.per_image([], STRENGTHS)


def test_from_grid_to_tables(root):
    cells = small_grid(seeds=2)
    images = tables.per_image(cells, STRENGTHS)
    assert len(images) == 2 * (2 + 2 + 2) * 12  # the baseline is judged by both noises
    results = tables.per_run(images)
    one = results.iloc[0]
    part = images[(images["run"] == one["run"]) & (images["noise"] == one["noise"])]
    assert one["ad"] == pytest.approx(part["drop"].mean())
    assert one["gap_top1"] == pytest.approx(100 * (part["clean_top1"] - part["noisy_top1"]).mean())
    cell = tables.intervals(results, ["ad"]).iloc[0]
    values = results[(results["method"] == "baseline") & (results["noise"] == "gaussian")]["ad"]
    assert cell["mean"] == pytest.approx(values.mean())
    reach = 12.7062 * values.std(ddof=1) / np.sqrt(2)  # t(0.975, 1 degree of freedom)
    assert cell["high"] - cell["mean"] == pytest.approx(reach, rel=1e-4)
    shown = tables.wide(tables.intervals(results, ["ad", "ai"]), 3)
    assert list(shown.columns)[0] == ("gaussian", "ad") and len(shown) == 3
    tables.save(tables.intervals(results, ["ad"]), "figures/x", "t", shown)
    assert (root / "figures/x/t.md").read_text().count("\n") == 5
    compared = claims.compare(results, images, "innt", "nt", ["ad", "similarity"])
    assert set(compared["noise"]) == set(STRENGTHS)


def frame(metric, a, b):
    rows = [
        {"run": f"{m}{s}", "network": "n", "noise": "gaussian", "method": m, "seed": s, metric: v}
        for m, values in (("innt", a), ("nt", b))
        for s, v in enumerate(values)
    ]
    return pd.DataFrame(rows)


def image_frame(column, a, b):
    rows = [
        {"network": "n", "noise": "gaussian", "method": m, "seed": 0, "image": str(i), column: v}
        for m, values in (("innt", a), ("nt", b))
        for i, v in enumerate(values)
    ]
    return pd.DataFrame(rows)


def compare(a, b, images_a, images_b):
    return claims.compare(
        frame("ad", a, b), image_frame("drop", images_a, images_b), "innt", "nt", ["ad"]
    )


def test_verdicts():
    low, high = np.linspace(0.1, 0.2, 30), np.linspace(0.6, 0.9, 30)
    clear = compare([0.1, 0.11, 0.12, 0.1], [0.5, 0.52, 0.51, 0.5], low, high)
    assert clear["favours"].item() == 1 and clear["p_seeds"].item() < 0.01
    assert claims.judge("c", clear).verdict == "holds"
    few = compare([0.1, 0.2], [0.3, 0.5], low, high)
    assert claims.judge("c", few).verdict == "holds for these networks"
    unclear = compare([0.1, 0.6], [0.3, 0.5], low[:3], high[:3])
    assert claims.judge("c", unclear).verdict == "undecided"
    against = compare([0.5, 0.52, 0.51, 0.5], [0.1, 0.11, 0.12, 0.1], high, low)
    assert claims.judge("c", against).verdict == "does not hold"
    against_few = compare([0.3, 0.5], [0.1, 0.2], high, low)
    assert claims.judge("c", against_few).verdict == "does not hold for these networks"
    both = pd.concat([clear, clear, against])
    assert claims.judge("c", both).verdict == "does not hold"
    assert claims.judge("c", both, needed="most").verdict == "holds"
    assert claims.judge("c", clear[:0]).verdict == "not measurable here"
    tie = compare([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], low, low)
    assert claims.judge("c", pd.concat([clear, tie])).verdict == "holds"
    assert "1 without a difference" in claims.judge("c", pd.concat([clear, tie])).evidence
    measured = str(clear["metric"].iloc[0])
    assert "not measured" not in claims.judge("c", clear, metrics=[measured]).evidence
    assert claims.judge("c", clear, metrics=[measured, "x"]).evidence.endswith("not measured: x")
    assert claims.judge("c", tie).verdict == "not measurable here"


def test_methods_that_were_not_trained_give_no_comparisons():
    results, images = frame("ad", [0.1, 0.2], [0.3, 0.5]), image_frame("drop", [0.1], [0.3])
    none = claims.compare(results, images, "innt", "nt_once", ["ad"])
    assert none.empty
    assert list(none.columns) == list(claims.compare(results, images, "innt", "nt", ["ad"]).columns)
    of_ad = claims.judge("c", none[none["metric"] == "ad"])
    assert of_ad.verdict == "not measurable here" and claims.describe(none, {}) == []


def test_two_trainings_that_differ_alike_decide_nothing():
    low, high = np.linspace(0.1, 0.2, 30), np.linspace(0.6, 0.9, 30)
    alike = compare([0.1, 0.2], [0.3, 0.4], low, high)  # a t-test on them would say p = 0
    assert np.isnan(alike["p_seeds"].item())
    assert claims.judge("c", alike).verdict == "holds for these networks"


def test_several_variants_are_corrected_together_and_described():
    results = pd.concat([frame("ad", [0.1, 0.11, 0.12], [0.5, 0.52, 0.51]),
                         frame("ad", [0.5, 0.53, 0.5], []).assign(method="other")])  # fmt: skip
    low, high = np.linspace(0.1, 0.2, 30), np.linspace(0.6, 0.9, 30)
    images = pd.concat([image_frame("drop", low, high),
                        image_frame("drop", high, []).assign(method="other")])  # fmt: skip
    both = claims.compare(results, images, ["innt", "other"], "nt", ["ad"])
    alone = claims.compare(results, images, "innt", "nt", ["ad"])
    assert both["a"].tolist() == ["innt", "other"]
    assert both["p_seeds"][0] == pytest.approx(2 * alone["p_seeds"].item())
    pairs = claims.compare(results, images, ["innt", "nt"], ["nt", "other"], ["ad"])
    assert list(zip(pairs["a"], pairs["b"], strict=True)) == [("innt", "nt"), ("nt", "other")]
    assert pairs["difference"].tolist() == pytest.approx([-0.4, 0])
    with pytest.raises(ValueError, match="a .of 2 methods. and b .of 1."):
        claims.compare(results, images, ["innt", "other"], ["nt"], ["ad"])
    said = claims.describe(both, {"ad": "AD"})
    assert said == [
        "n, gaussian, innt against nt; significant over trainings: AD -0.4.",
        "n, gaussian, other against nt; undecided: AD +0.",
    ]


def test_flattening_by_hand():
    rows = [
        ("n", seed, "neighborhood", mu, top1)
        for seed, curve in enumerate([(90, 50, 40), (92, 50, 44), (88, 46, 38)])
        for mu, top1 in zip((0.0, 1.0, 2.0), curve, strict=True)
    ]
    curves = pd.DataFrame(rows, columns=["network", "seed", "noise", "strength", "top1"])
    fall = claims.flattens(curves, "neighborhood", 1.0)
    assert fall["difference"].item() == pytest.approx(((10 - 40) + (6 - 42) + (8 - 42)) / 3)
    verdict = claims.judge("c", fall)
    assert verdict.verdict == "holds" and "not tested over images" in verdict.evidence
    nothing = claims.judge("c", claims.flattens(curves[:0], "neighborhood", 1.0))
    assert nothing.verdict == "not measurable here"


def test_published_numbers_are_whole_and_their_slips_are_real():
    table3 = paper.interpretability()
    assert len(table3) == len(paper.accuracy("cub200")) == len(paper.accuracy("cifar10")) == 18
    slips = []
    for dataset in ("cub200", "cifar10"):
        table = paper.accuracy(dataset)
        for k in ("top1", "top5"):
            off = (table[f"clean_{k}"] - table[f"noisy_{k}"] - table[f"gap_{k}"]).abs() > 0.011
            slips += [
                (dataset, k, *table.loc[i, ["network", "method", "noise"]]) for i in off[off].index
            ]
    assert slips == [("cub200", "top1", "alexnet", "nt", "neighborhood")]
    same = table3.query("network == 'resnet18' and method == 'innt'")["ai"]
    assert same.tolist() == [0.2354, 0.2354]
    vgg16 = paper.accuracy("cub200").query("network == 'vgg16' and method == 'baseline'")
    assert sorted(vgg16["clean_top1"]) == [73.79, 74.32]
    noisy = vgg16.query("noise == 'gaussian'")["noisy_top1"].item()
    assert noisy == 15.21 and paper.VGG16_CALIBRATION["gaussian", 1.5] == 14.26
    best = table3.loc[table3.groupby(["network", "noise"])["ad"].idxmin()]
    assert set(best["method"]) == {"innt"}
    with pytest.raises(ValueError, match="no accuracies for 'birds'"):
        paper.accuracy("birds")


def test_beside_paper_matches_cells_of_the_same_data_only():
    cells = pd.DataFrame([
        {"network": "resnet18", "method": "innt", "noise": "gaussian", "metric": "clean_top1",
         "mean": 80.0, "low": 79.0, "high": 81.0, "seeds": 3, "runs": "a b c"},
    ])  # fmt: skip
    both = tables.beside_paper(cells, "cub200")
    row = both[both["measured"].notna()]
    assert row["difference"].item() == pytest.approx(80.0 - 78.32)
    assert len(both) == 18 * 3 + 2 * 18 * 6
    birds = tables.beside_paper(cells, "birds")
    assert birds["difference"].isna().all() and len(birds) == len(both) + 1
