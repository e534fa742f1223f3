"""Training by explanation consistency: scores by hand, weights, and a training that can be interrupted."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from innt_lib.data import ImageSet
from innt_lib.explain.cam import explain
from innt_lib.learn.consistency import (
    PIXELS,
    Scorer,
    attackable,
    foreground_of,
    map_distance,
    probe,
)
from innt_lib.learn.losses import cross_entropy
from innt_lib.learn.networks import build
from innt_lib.learn.settings import Settings
from innt_lib.learn.split import SplitNetwork
from innt_lib.learn.step import Step
from innt_lib.learn.training import train
from innt_lib.learn.weighing import Weighing, effective
from innt_lib.neighbors import Attack
from innt_lib.system.tensors import standardise

QUICK = Settings(method="consistency", epochs=3, batch_size=4, weighing=Weighing(warm_up=1))
NOW = dataclasses.replace(QUICK, epochs=1, weighing=Weighing(warm_up=0))


def fit(images, settings=QUICK, **options):
    network = build("smallcnn", 3, seed=settings.seed)
    return network, train(network, images, settings, **options)


def weights(network):
    return torch.cat([p.flatten() for p in network.state_dict().values()]).double()


@pytest.fixture
def trained(tiny_images):
    plain = Settings(method="baseline", epochs=6, batch_size=4)
    network, _ = fit(tiny_images, plain)
    return network


def batch(images):
    return standardise(images.tensor()), torch.from_numpy(images.labels)


# --- one picture ----------------------------------------------------------------------------------


def test_distances_by_hand():
    a = torch.tensor([[[1.0, 0.0], [0.5, 0.0]]])
    b = torch.tensor([[[0.5, 0.5], [1.0, 0.0]]])
    assert map_distance(a, b, "l1").item() == pytest.approx((0.5 + 0.5 + 0.5) / 4)
    assert map_distance(a, b, "cosine").item() == pytest.approx(1 - 1 / math.sqrt(1.25 * 1.5))
    assert map_distance(a, b, "iou").item() == pytest.approx(1 - (0.5 + 0.5) / (1 + 0.5 + 1))


@pytest.mark.parametrize("distance", ["l1", "cosine", "iou"])
def test_maps_that_are_zero_everywhere(distance):
    zero, some = torch.zeros(1, 2, 2), torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    assert map_distance(zero, zero, distance).item() == 0
    assert map_distance(zero, some, distance).item() == 1
    assert map_distance(some, zero, distance).item() == 1
    for mask in ("threshold", "fraction", "soft", "none"):
        assert (attackable(zero, Weighing(mask=mask)) == 1).all()


@given(st.integers(0, 1000), st.sampled_from(["l1", "cosine", "iou"]))
def test_distances_are_symmetric_and_0_for_a_map_and_itself(seed, distance):
    a, b = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed)).double()
    found = map_distance(a, b, distance)
    assert ((found >= 0) & (found <= 1)).all()
    torch.testing.assert_close(found, map_distance(b, a, distance))
    torch.testing.assert_close(map_distance(a, a, distance), torch.zeros(3).double())


def test_what_may_be_attacked_by_hand():
    maps = torch.tensor([[[1.0, 0.6], [0.4, 0.0]]])

    def where(**options):
        return attackable(maps, Weighing(**options))[0, 0].tolist()

    assert where() == [[0, 0], [1, 1]]
    assert where(threshold=0.3) == [[0, 0], [0, 1]]
    assert where(mask="foreground") == [[1, 1], [0, 0]]
    assert where(mask="fraction", threshold=0.25) == [[0, 1], [1, 1]]
    assert where(mask="none") == [[1, 1], [1, 1]]
    soft = attackable(maps, Weighing(mask="soft"))
    torch.testing.assert_close(soft[0], 1 - maps)
    inside = torch.tensor([[[True, False], [False, True]]])
    for mask in ("box", "segmentation"):
        found = attackable(maps, Weighing(mask=mask), inside)
        assert found[0, 0].tolist() == [[0, 1], [1, 0]]


def test_boxes_cover_the_pixels_whose_middle_they_hold(tiny_images):
    boxes = np.float32([[1, 2, 4, 3], [0.6, 0, 2.4, 16], [np.nan] * 4])
    images = ImageSet.from_arrays(tiny_images.images[:3], np.arange(3), boxes)
    found = foreground_of(images, Weighing(mask="box")).numpy()
    expected = np.zeros((3, 16, 16), dtype=bool)
    expected[0, 2:3, 1:4] = True
    expected[1, :, 1:2] = True
    assert np.array_equal(found, expected)
    assert foreground_of(images, Weighing()) is None


def test_the_six_steps_are_those_one_would_write(trained, tiny_images):
    """One forward serves map and attack; here every step makes its own."""
    x, y = batch(tiny_images)
    found = probe(trained, x, y, Weighing(radius=4.0))
    maps, logits = explain("gradcam", trained, x)
    torch.testing.assert_close(found.maps, maps)
    leaf = x.clone().requires_grad_()
    gradient = torch.autograd.grad(nn.functional.cross_entropy(trained(leaf), y), leaf)[0]
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    moved = x + 4 / 255 / std * (maps < 0.5)[:, None] * gradient.sign()
    pixels = (moved * std + mean).clamp(0, 1)
    torch.testing.assert_close(found.attacked, (pixels - mean) / std, atol=1e-5, rtol=0)
    again, after = explain("gradcam", trained, found.attacked, logits.argmax(1))
    assert torch.equal(found.flipped, after.argmax(1) != logits.argmax(1))
    distance = (maps - again).abs().mean((1, 2))
    torch.testing.assert_close(found.distance, distance)
    torch.testing.assert_close(found.consistency, (1 - distance) * ~found.flipped)


def test_the_foreground_is_left_alone_bit_for_bit(trained, tiny_images):
    x, y = batch(tiny_images)
    for steps in (1, 3):
        found = probe(trained, x, y, Weighing(radius=16.0, steps=steps))
        kept = (found.where == 0).expand_as(x)
        assert kept.any() and torch.equal(found.attacked[kept], x[kept])
        assert not torch.equal(found.attacked, x)


def test_no_attack_changes_nothing_and_a_flip_counts_in_full(trained, tiny_images):
    for by in ("consistency", "maps", "flips"):
        still = Scorer(tiny_images, Weighing(radius=0.0, by=by))(trained)
        assert not still.v.any() and not still.flipped.any()
    hard = Weighing(radius=255.0, mask="none")
    scores = Scorer(tiny_images, hard)(trained)
    flipped = scores.flipped.bool()
    assert flipped.any() and (scores.v[flipped] == 1).all()
    torch.testing.assert_close(scores.v[~flipped], scores.distance[~flipped])
    flips = Scorer(tiny_images, dataclasses.replace(hard, by="flips"))(trained)
    assert torch.equal(flips.v, scores.flipped)
    maps = Scorer(tiny_images, dataclasses.replace(hard, by="maps"))(trained)
    assert torch.equal(maps.v, scores.distance)


def test_a_picture_scores_the_same_in_any_batch(trained, tiny_images, monkeypatch):
    weighing = Weighing(radius=4.0)
    whole = Scorer(tiny_images, weighing)(trained)
    monkeypatch.setattr("innt_lib.learn.consistency.PIXELS", 0)
    monkeypatch.setattr("innt_lib.learn.consistency.FEWEST", 1)
    assert PIXELS
    alone = Scorer(tiny_images, weighing)(trained)
    torch.testing.assert_close(alone.distance, whole.distance, atol=1e-4, rtol=0)
    assert torch.equal(alone.flipped, whole.flipped)


def test_scoring_leaves_the_network_alone(trained, tiny_images):
    trained.train()
    trained.head[0].eval()
    trained.zero_grad(set_to_none=True)
    before = {k: v.clone() for k, v in trained.state_dict().items()}
    modes = [m.training for m in trained.modules()]
    Scorer(tiny_images, Weighing())(trained)
    assert all(torch.equal(v, before[k]) for k, v in trained.state_dict().items())
    assert [m.training for m in trained.modules()] == modes
    assert all(p.grad is None for p in trained.parameters())


def test_the_rivals_by_hand(tiny_images):
    """A head that says 0.8, 0.1, 0.1 of every picture: wrong for all but the first class."""
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    nn.init.zeros_(head[2].weight)
    head[2].bias.data = torch.tensor([0.8, 0.1, 0.1]).log()
    network = SplitNetwork(nn.Identity(), head)
    labels = torch.from_numpy(tiny_images.labels)
    loss = Scorer(tiny_images, Weighing(by="loss"))(network)
    torch.testing.assert_close(loss.v, torch.where(labels == 0, 0.2, 0.9))
    mistakes = Scorer(tiny_images, Weighing(by="mistakes", upweight=7.0))(network)
    torch.testing.assert_close(mistakes.v, torch.where(labels == 0, 1.0, 7.0))
    probed = Scorer(tiny_images, Weighing())(network)  # what it says depends on no pixel
    assert probed.unmoved.all() and probed.degenerate.all() and not probed.v.any()


# --- weights --------------------------------------------------------------------------------------


@given(
    st.lists(st.floats(0, 1, width=32), min_size=2, max_size=20),
    st.floats(0, 1),
    st.booleans(),
)
def test_weights_have_mean_1_and_a_floor(values, floor, shuffled):
    v = torch.tensor(values)
    found = Weighing(floor=floor, shuffled=shuffled).weights(v, seed=3)
    assert found.mean().item() == pytest.approx(1, abs=1e-4)
    assert (found >= floor - 1e-6).all()
    assert 0 < effective(found) <= 1 + 1e-9


def test_weights_by_hand():
    v = torch.tensor([1.0, 0.0, 0.5, 0.5])
    assert Weighing().weights(v, 0).tolist() == [2, 0, 1, 1]
    assert Weighing(floor=0.5).weights(v, 0).tolist() == [1.5, 0.5, 1, 1]
    assert Weighing(normalise="none").weights(v, 0).tolist() == v.tolist()
    assert Weighing().weights(torch.zeros(3), 0).tolist() == [1, 1, 1]
    assert effective(torch.tensor([2.0, 0, 1, 1])) == pytest.approx(16 / (4 * 6))
    assert effective(torch.tensor([4.0, 0, 0, 0])) == pytest.approx(1 / 4)
    shuffled = Weighing(shuffled=True).weights(v, 1)
    assert sorted(shuffled.tolist()) == [0, 1, 1, 2]
    assert torch.equal(shuffled, Weighing(shuffled=True).weights(v, 1))
    others = [Weighing(shuffled=True).weights(v, seed).tolist() for seed in range(20)]
    assert len(set(map(tuple, others))) > 3


def test_the_weighted_loss_and_its_gradient():
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.tensor([0, 1, 2, 0, 1])
    w = torch.tensor([2.0, 0.0, 1.0, 0.5, 1.5])
    found = cross_entropy(logits, labels, w)
    each = nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(found, (w * each).mean())
    (ours,), (plain,) = (torch.autograd.grad(f, logits) for f in (found, (w * each).mean()))
    torch.testing.assert_close(ours, plain)
    ones = cross_entropy(logits, labels, torch.ones(5))
    bare = cross_entropy(logits, labels)
    assert torch.equal(ones, bare)
    assert torch.equal(torch.autograd.grad(ones, logits)[0], torch.autograd.grad(bare, logits)[0])


def test_normalised_in_a_batch(tiny_images):
    weighing = Weighing(normalise="batch", warm_up=0)
    settings = dataclasses.replace(NOW, weighing=weighing)
    step = Step(build("smallcnn", 3), tiny_images, settings, torch.device("cpu"))
    step.weights.values[:4] = torch.tensor([1.0, 3.0, 0.0, 0.0])
    assert step.weights.of_batch(torch.tensor([0, 1])).tolist() == [0.5, 1.5]
    assert step.weights.of_batch(torch.tensor([2, 3])).tolist() == [0, 0]  # not NaN


# --- trainings ------------------------------------------------------------------------------------


def test_weights_of_1_are_the_baseline_bit_for_bit(tiny_images):
    plain, first = fit(tiny_images, Settings(method="baseline", epochs=3, batch_size=4))
    alike = Weighing(warm_up=1, floor=1.0)
    same, second = fit(tiny_images, dataclasses.replace(QUICK, weighing=alike))
    assert torch.equal(weights(plain), weights(same))
    assert first.equals(second[first.columns])
    other, _ = fit(tiny_images)
    assert not torch.equal(weights(plain), weights(other))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weighing": Weighing(warm_up=1, every=2)},  # a resumed epoch with weights made before it
        {"weighing": Weighing(warm_up=1, shuffled=True)},
        {"weighing": Weighing(warm_up=2, by="mistakes")},
        {"method": "innt", "tau": 0.01},
    ],
    ids=["consistency", "every second", "shuffled", "anew", "innt"],
)
def test_interrupted_and_resumed_ends_with_the_same_bits(tiny_images, tmp_path, options):
    settings = dataclasses.replace(QUICK, epochs=5, **options)
    whole, history = fit(tiny_images, settings)
    state = tmp_path / "state.pt"
    fit(tiny_images, dataclasses.replace(settings, epochs=3), state=state)
    resumed, again = fit(tiny_images, settings, state=state)
    assert torch.equal(weights(whole), weights(resumed))
    assert history.equals(again)


def test_the_history_says_what_was_weighed(tiny_images):
    _, history = fit(tiny_images)
    logged = ["flip_rate", "distance", "v", "degenerate", "unmoved", "effective"]
    assert history[logged].iloc[0].isna().all()
    assert history[logged].iloc[1:].notna().all(axis=None)
    assert ((history[logged].iloc[1:] >= 0) & (history[logged].iloc[1:] <= 1)).all(axis=None)


def test_a_training_that_begins_anew_begins_with_the_head_again():
    jtt = Weighing(warm_up=3, by="mistakes")
    settings = Settings(method="consistency", weighing=jtt, epochs=8, head_epochs=2)
    assert [settings.at(epoch).head_alone for epoch in range(7)] == [True, True, False] * 2 + [
        False
    ]
    with pytest.raises(ValueError, match=r"head_epochs \(=2\) come again after warm_up \(=3\)"):
        dataclasses.replace(settings, epochs=5)
    once = dataclasses.replace(settings, weighing=Weighing(warm_up=3))
    assert [once.at(epoch).head_alone for epoch in range(7)] == [True, True] + 5 * [False]


def test_few_labels_cannot_weigh_pictures():
    with pytest.raises(
        ValueError, match=r"labels \(=12\) cannot be few where pictures are weighed"
    ):
        Settings(method="consistency", labels=12)


def test_mistakes_are_learned_anew(tiny_images):
    """After the warm-up of JTT the network is the one it began with, and Adam has forgotten."""
    settings = dataclasses.replace(QUICK, weighing=Weighing(warm_up=1, by="mistakes", upweight=7.0))
    network = build("smallcnn", 3)
    before = weights(network).clone()
    step = Step(network, tiny_images, settings, torch.device("cpu"))
    step(torch.arange(4))
    assert not torch.equal(weights(network), before)
    assert math.isnan(step.weights.renew(0, step.optimizer)["effective"])
    moved = weights(network).clone()
    assert not torch.equal(moved, before)
    found = step.weights.renew(1, step.optimizer)
    assert torch.equal(weights(network), before)
    assert all(not t.any() for s in step.optimizer.state.values() for t in s.values())
    assert found["v"] > 1 and math.isnan(found["flip_rate"])
    assert len(set(step.weights.values.tolist())) <= 2
    assert math.isnan(step.weights.renew(2, step.optimizer)["v"])  # once


def test_heavy_pictures_pull_harder(tiny_images):
    """With all weight on one class, the others are not learned."""
    settings = dataclasses.replace(QUICK, epochs=2, batch_size=12)
    step = Step(build("smallcnn", 3), tiny_images, settings, torch.device("cpu"))
    labels = torch.from_numpy(tiny_images.labels)
    step.weights.values.copy_(3.0 * (labels == 1))
    step.network.train()
    for _ in range(20):
        step(torch.arange(12))
    step.network.eval()
    assert (step.network(batch(tiny_images)[0]).argmax(1) == 1).all()


def test_a_collapse_of_the_weights_is_said(tiny_images, monkeypatch):
    few = torch.zeros(12)
    few[3] = 1.0
    monkeypatch.setattr(Weighing, "weights", lambda self, v, seed: few)
    with pytest.warns(
        UserWarning, match=r"weights have collapsed: after 1 epochs 8.3% .*floor=0.5"
    ):
        fit(tiny_images)


def test_names_of_unweighed_settings_stay_as_they_were():
    assert "weighing" not in Settings().identity
    plain = Settings(method="consistency")
    assert plain.identity == dataclasses.replace(plain, weighing=Weighing()).identity
    assert plain.identity != dataclasses.replace(plain, weighing=Weighing(shuffled=True)).identity
    assert Settings().identity != Settings(weighing=Weighing()).identity


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "luck"}, r"by \(='luck'\) must be one of consistency, flips"),
        ({"distance": "l3"}, r"distance \(='l3'\) must be one of l1, cosine, iou"),
        ({"mask": "heart"}, r"mask \(='heart'\) must be one of threshold"),
        ({"cam": "scorecam"}, r"cam \(='scorecam'\) must be one of gradcam"),
        ({"target": "best"}, r"target \(='best'\) must be one of predicted, label"),
        ({"normalise": "max"}, r"normalise \(='max'\) must be one of dataset"),
        ({"radius": -1.0}, r"strength \(=-1.0\) of an attack"),
        ({"steps": 0}, r"steps \(=0\) of an attack"),
        ({"threshold": 1.0}, r"threshold \(=1.0\) of a weighing must be between 0 and 1"),
        ({"floor": 1.5}, r"floor \(=1.5\)"),
        ({"warm_up": -1}, r"warm_up \(=-1\)"),
        ({"every": 0}, r"every \(=0\)"),
        ({"upweight": 0.5}, r"upweight \(=0.5\)"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Weighing(**options)


def test_what_cannot_work_is_refused_before_anything_is_trained(tiny_images):
    with pytest.raises(ValueError, match=r"warm_up \(=5\) must be less than epochs \(=5\)"):
        Settings(method="consistency", epochs=5)
    with pytest.raises(ValueError, match=r"'baseline'. weighs all pictures alike; use 'consist"):
        Settings(method="baseline", weighing=Weighing())
    arrays = ImageSet.from_arrays(tiny_images.images, tiny_images.labels, name="tiny")
    for mask, message in (
        ("box", r"mask \(='box'\) needs boxes, and tiny has none"),
        ("segmentation", r"mask \(='segmentation'\): tiny has no folder segmentations"),
    ):
        settings = dataclasses.replace(QUICK, weighing=Weighing(warm_up=1, mask=mask))
        with pytest.raises(ValueError, match=message):
            fit(arrays, settings)
    with pytest.raises(
        ValueError, match=r"where \(of shape \(12, 16, 16\)\) must be \(B, 1, H, W\)"
    ):
        Attack(1.0)(*batch(tiny_images), build("smallcnn", 3), where=torch.ones(12, 16, 16))
