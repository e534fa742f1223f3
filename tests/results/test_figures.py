import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

matplotlib.use("agg")

from innt_lib.learn.networks import build  # noqa: E402
from innt_lib.neighbors.noise import GaussianNoise  # noqa: E402
from innt_lib.results import figures, gallery, tables  # noqa: E402
from innt_lib.results.curves import at_equal_accuracy  # noqa: E402
from innt_lib.system.tensors import standardise  # noqa: E402


@pytest.fixture(autouse=True)
def _in_the_style_of_the_series():
    with plt.rc_context():
        figures.use_style()
        yield
    plt.close("all")


def test_calibration_draws_the_means_and_marks_the_chosen_points():
    rows = [
        ("n", seed, "Gaussian", mu, top1 + seed)
        for seed in (0, 2)
        for mu, top1 in ((0.0, 90), (0.15, 40), (0.3, 20))
    ]
    curves = pd.DataFrame(rows, columns=["network", "seed", "noise", "strength", "top1"])
    figure = figures.noise_calibration(curves, {"Gaussian": [0.15]})
    ax = figure.axes[0]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [91, 41, 21])
    assert "at 0.15\nn 41 %" in [text.get_text() for text in ax.texts]
    assert ax.get_ylabel() and ax.get_xlabel()


def test_training_curves_show_what_there_is():
    history = pd.DataFrame({
        "epoch": [1, 2], "seed": 0, "clean": [2.0, 1.0], "noise": [2.1, 1.1], "reg": [0.5, 0.2],
        "train_clean": [0.1, 0.4], "train_noisy": [0.1, 0.3], "test_clean": [0.2, 0.3],
        "test_noisy": np.nan,
    })  # fmt: skip
    losses, reg, accuracy = figures.training_curves(history, regularised=False).axes
    np.testing.assert_allclose(losses.lines[1].get_ydata(), [2.1, 1.1])
    assert "not trained on" in reg.get_title()
    assert [line.get_label() for line in accuracy.lines] == [
        "train, clean", "held out, clean", "train, noisy",
    ]  # fmt: skip
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), [10, 40])


def test_comparison_has_a_dot_a_seed_and_the_interval():
    results = pd.DataFrame({
        "network": "n", "method": ["nt", "nt", "innt", "innt"], "noise": "gaussian",
        "ad": [0.49, 0.51, 0.1, 0.3],
    })  # fmt: skip
    ax = figures.comparison(results, ["ad"]).axes[0]
    dots, interval, mean = ax.lines[:3]
    np.testing.assert_allclose(dots.get_ydata(), [0.49, 0.51])
    np.testing.assert_allclose(mean.get_ydata(), 0.5)
    np.testing.assert_allclose(np.diff(interval.get_ydata()), 2 * 12.7062 * 0.01, rtol=1e-4)


def test_variants_stand_below_each_other_around_the_reference():
    results = pd.DataFrame({
        "network": "n", "method": ["b", "b", "a", "a"], "noise": "gaussian", "ad": [0.4, 0.6, 0.1, 0.3],
    })  # fmt: skip
    ax = figures.variants(results, ["ad"], "b").axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a"]
    reference, dots, bar = ax.lines[0], ax.lines[4], ax.lines[5]
    np.testing.assert_allclose(reference.get_xdata(), 0.5)
    np.testing.assert_allclose(dots.get_xdata(), [0.1, 0.3])
    np.testing.assert_allclose(dots.get_ydata(), 1.25)
    # t(0.975, 1 degree of freedom) = 12.7 times 0.1 to either side, cut where Average Drop ends
    np.testing.assert_allclose(bar.get_xdata(), [0, 1])


def test_panels_place_pictures_maps_and_boxes():
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    rows = [
        [gallery.Panel(image, map=np.eye(8), caption="x", correct=False), None],
        [gallery.Panel(image, box=np.array([1, 2, 5, 7])), gallery.Panel(image)],
    ]
    axes = gallery.panels(rows, ["a", "b"], ["r", "s"]).axes
    assert [len(ax.images) for ax in axes] == [2, 0, 1, 1]
    frame = axes[2].patches[0]
    assert (frame.get_x(), frame.get_y(), frame.get_width(), frame.get_height()) == (0.5, 1.5, 4, 5)
    assert axes[0].get_title() == "a" and axes[2].get_ylabel() == "s"


def test_beside_paper_has_every_published_cell():
    compared = pd.DataFrame({
        "network": ["n"], "noise": ["gaussian"], "metric": ["ad"], "difference": [-0.1],
        "low": [-0.2], "high": [0.0],
    })  # fmt: skip
    ax = figures.beside_paper(compared, tables.published_differences()).axes[0]
    diamonds = [line for line in ax.lines if line.get_marker() == "D"]
    assert len(diamonds) == 6
    assert min(line.get_xdata()[0] for line in diamonds) == pytest.approx(0.3067 - 0.5228)
    alone = figures.beside_paper(compared[:0], tables.published_differences()).axes[0]
    assert len([line for line in alone.lines if line.get_marker() == "D"]) == 6


def test_saved_figures_are_the_same_files_every_time(tmp_path, monkeypatch):
    monkeypatch.setitem(plt.rcParams, "savefig.format", "pdf")
    for folder in ("a", "b"):
        figure = gallery.panels([[gallery.Panel(np.zeros((4, 4, 3), dtype=np.uint8))]])
        figures.save(figure, str(tmp_path / folder), "f", pd.DataFrame({"x": [1 / 3]}))
    for name in ("f.png", "f.pdf", "f.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    for left in (".f.png.0.tmp", ".f.csv.0.tmp", ".f2.png.0.tmp"):  # by killed writers
        (tmp_path / "a" / left).touch()
    figures.save(figure, str(tmp_path / "a"), "f")
    assert [path.name for path in tmp_path.rglob("*.tmp")] == [".f2.png.0.tmp"]
    (tmp_path / "a" / ".f2.png.0.tmp").unlink()
    figures.save(figure, "", "nowhere")
    assert len(list(tmp_path.rglob("*.*"))) == 6


def test_a_png_alone_by_default_in_few_colours_that_look_the_same(tmp_path):
    rng = np.random.default_rng(0)
    smooth = np.asarray(Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize((80, 80)))
    figure = gallery.panels([[gallery.Panel(smooth)] * 4], side=2)
    figures.save(figure, str(tmp_path), "f")
    assert [path.name for path in tmp_path.iterdir()] == ["f.png"]
    figure.savefig(tmp_path / "full.png")
    with Image.open(tmp_path / "f.png") as saved, Image.open(tmp_path / "full.png") as full:
        assert saved.mode == "P"
        small, whole = (np.asarray(i.convert("RGB"), dtype=float) for i in (saved, full))
    assert small.shape == whole.shape
    assert np.abs(small - whole).mean() < 8  # of 255; with 64 colours it would be 9


def test_pictures_survive_standardising_and_looks_are_of_what_was_shown(tiny_images):
    shown = gallery.displayable(standardise(tiny_images.tensor()))
    assert np.array_equal(shown, tiny_images.images)
    network = build("smallcnn", 3).eval()
    clean, noisy = (gallery.look(network, tiny_images, n) for n in (None, GaussianNoise(0.3)))
    assert np.array_equal(clean.pictures, tiny_images.images)
    assert not np.array_equal(noisy.pictures, clean.pictures)
    assert clean.maps.shape == (12, 16, 16)
    with torch.no_grad():
        logits = network(standardise(tiny_images.tensor()))
    assert np.array_equal(clean.predicted, logits.argmax(1).numpy())
    panel = clean.panel(3)
    assert panel.correct == (clean.predicted[3] == tiny_images.labels[3])


def test_a_look_at_many_pictures_is_that_at_each(tiny_images):
    """More pictures than are processed at once: the noise follows the position in the whole set."""
    many = tiny_images.select([i % 12 for i in range(70)])
    network, noise = build("smallcnn", 3).eval(), GaussianNoise(0.5)
    whole = gallery.look(network, many, noise)
    shown = gallery.displayable(gallery.noisy_batch(many, noise))
    assert np.array_equal(whole.pictures, shown) and whole.maps.shape == (70, *shown.shape[1:3])
    assert not np.array_equal(whole.pictures[0], whole.pictures[60])  # one image, two fields
    few = gallery.look(network, many, noise, chosen=[60, 3])
    assert np.array_equal(few.pictures, whole.pictures[[60, 3]])
    assert np.array_equal(few.labels, whole.labels[[60, 3]])
    np.testing.assert_allclose(few.maps, whole.maps[[60, 3]], atol=1e-5)


def test_curves_of_a_setting_and_of_a_training():
    results = pd.DataFrame({
        "method": ["without", "low", "low", "high"], "collapsed": [0, 0, 0, 1],
        "clean_top1": [60.0, 61.0, 63.0, 2.0], "similarity": [0.7, 0.8, 0.82, np.nan],
    })  # fmt: skip
    values = {"without": 0, "low": 1e-4, "high": 2e-3}
    floors = {"clean_top1": 59.0}
    figure = figures.sweep(results, values, ["clean_top1", "similarity"], "tau", floors)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert list(lines["collapsed"].get_xdata()) == [2e-3]
    assert list(lines["tau = 0"].get_ydata()) == [60.0, 60.0]
    assert list(lines["best - 1 s.e."].get_ydata()) == [59.0, 59.0]
    assert "best - 1 s.e." not in {line.get_label() for line in figure.axes[1].lines}
    mean = next(line for line in figure.axes[0].lines if line.get_linestyle() == "-")
    assert list(mean.get_xdata()) == [1e-4] and list(mean.get_ydata()) == [62.0]

    paths = {"nt": [(0.4, 0.2, 0.5), (0.6, 0.5, 0.6)], "innt": [(0.3, 0.1, 0.8), (0.5, 0.4, 0.9)]}
    rows = [
        (method, seed, epoch, clean, noisy, alike) for method, path in paths.items()
        for seed in (0, 1) for epoch, (clean, noisy, alike) in enumerate(path, 1)
    ]  # fmt: skip
    columns = ["method", "seed", "epoch", "test_clean", "test_noisy", "test_similarity"]
    histories = pd.DataFrame(rows, columns=columns)
    figure = figures.trade_off(histories)
    assert list(figure.axes[1].lines[0].get_xdata()) == [20.0, 50.0]
    met = at_equal_accuracy(histories, "innt", "nt")
    assert met.to_dict("records")[0] == {
        "seed": 0, "accuracy": 0.4, "similarity_a": 0.9, "epoch": 2, "similarity_b": 0.6,
    }  # fmt: skip
    assert at_equal_accuracy(histories, "nt", "innt")["similarity_b"].isna().all()


def test_curves_of_families_leave_out_what_collapsed():
    results = pd.DataFrame({
        "method": ["none", "a", "a", "b", "b x 4"], "collapsed": [0, 0, 0, 0, 1],
        "clean_top1": [60.0, 61.0, 63.0, 50.0, 2.0], "noisy_top1": [10.0, 20.0, 30.0, 40.0, 2.0],
        "similarity": [0.7, 0.8, 0.82, 0.9, 1.0],
    })  # fmt: skip
    families = {"one": ["none", "a"], "other": ["none", "b", "b x 4"], "all": ["b x 4"]}
    figure = figures.agreement(results, families)
    clean, noisy = ({line.get_label(): line for line in ax.lines} for ax in figure.axes)
    assert list(clean["one"].get_xdata()) == [60.0, 62.0]
    assert list(noisy["other"].get_xdata()) == [10.0, 40.0]
    assert list(noisy["other"].get_ydata()) == [0.7, 0.9]
    assert not len(noisy["all (collapsed)"].get_xdata())


def test_variants_that_all_collapsed_are_named():
    results = pd.DataFrame({
        "network": "n", "noise": "gaussian", "method": ["plain", "gone", "gone"], "seed": [0, 0, 1],
        "collapsed": [0, 1, 1], "clean_top1": [60.0, 2.0, 2.0], "ad": [0.5, 0.9, 0.9],
    })  # fmt: skip
    figure = figures.variants(results, ["clean_top1", "ad"], "plain")
    said = [[(text.get_text(), text.get_position()[1]) for text in ax.texts] for ax in figure.axes]
    assert said == [[("collapsed", 1)], []]
