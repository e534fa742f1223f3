import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torchvision.transforms import functional

from innt_lib.explain.cam import cam
from innt_lib.learn import augment
from innt_lib.learn.monitor import accuracy
from innt_lib.learn.networks import build
from innt_lib.learn.settings import Settings
from innt_lib.learn.split import SplitNetwork
from innt_lib.learn.step import Step
from innt_lib.learn.tau import suggest_tau
from innt_lib.learn.training import DivergenceError, _Loop, train
from innt_lib.neighbors import near_fixed
from innt_lib.system.environment import pick_device
from innt_lib.system.tensors import standardise

QUICK = Settings(epochs=2, batch_size=4, tau=0.01)


def fit(images, settings=QUICK, **options):
    network = build("smallcnn", 3, seed=settings.seed)
    return network, train(network, images, settings, **options)


def weights(network):
    return torch.cat([p.flatten() for p in network.state_dict().values()]).double()


@pytest.mark.parametrize("method", ["baseline", "nt", "nt_weighted", "innt_origin", "innt"])
def test_every_method_learns_and_reports(tiny_images, method):
    settings = dataclasses.replace(QUICK, method=method, epochs=12)
    network, history = fit(tiny_images, settings, monitor=tiny_images)
    assert list(history["epoch"]) == list(range(1, 13))
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert history["test_clean"].iloc[-1] > 0.6
    assert history["reg"].isna().all() == (method == "baseline")
    assert not network.training


def test_one_step_is_the_step_one_would_write(tiny_images):
    """The loop's loss and gradients against Eq. 14 written out in the plain way."""
    settings = dataclasses.replace(QUICK, batch_size=12, rotation=0.0, flip=False)
    network, reference = build("smallcnn", 3), build("smallcnn", 3)
    step = Step(network, tiny_images, settings, torch.device("cpu"))
    network.train()
    logged = step(torch.arange(12))

    clean = standardise(tiny_images.tensor())
    noisy = settings.make_neighbor()(clean, torch.Generator().manual_seed(3 * settings.seed + 2))
    labels = torch.from_numpy(tiny_images.labels)
    reference.train()
    a = reference.features(torch.cat([clean, noisy]))
    logits = reference.head(a)
    cross_entropy = nn.CrossEntropyLoss()
    loss = 0.7 * cross_entropy(logits[:12], labels) + 0.3 * cross_entropy(logits[12:], labels)
    loss = loss + torch.log(settings.tau * (a[:12] - a[12:]).norm() + 1)
    loss.backward()
    assert float(logged[0]) == pytest.approx(float(loss.detach()), rel=1e-5)
    # Gradients, not weights: Adam's first step is all sign.
    for ours, plain in zip(network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, plain.grad, rtol=1e-3, atol=1e-5)


def test_same_seed_same_bits_other_seed_other_weights(tiny_images):
    torch.manual_seed(1)
    one, first = fit(tiny_images)
    torch.manual_seed(2)  # the global state must not matter
    two, second = fit(tiny_images)
    assert torch.equal(weights(one), weights(two))
    assert first.equals(second)
    other, _ = fit(tiny_images, dataclasses.replace(QUICK, seed=1))
    assert not torch.equal(weights(one), weights(other))


def test_the_global_random_state_is_left_alone(tiny_images):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    fit(tiny_images)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "options", [{}, {"method": "nt", "resample": False}, {"precision": "bfloat16"}]
)
def test_interrupted_and_resumed_ends_with_the_same_bits(tiny_images, tmp_path, options):
    settings = dataclasses.replace(QUICK, epochs=4, **options)
    state = tmp_path / "state.pt"

    def go(epochs, **more):
        plain = build("smallcnn", 3)  # and dropout, which draws from the global generator
        network = SplitNetwork(plain.features, nn.Sequential(nn.Dropout(0.3), *plain.head))
        short = dataclasses.replace(settings, epochs=epochs)
        return network, train(network, tiny_images, short, monitor=tiny_images, **more)

    whole, history = go(4)
    go(2, state=state)
    torch.manual_seed(11)
    resumed, again = go(4, state=state)
    assert torch.equal(weights(whole), weights(resumed))
    assert history.equals(again)


def test_a_state_from_another_device_is_refused(tiny_images, tmp_path):
    fit(tiny_images, state=tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True) | {"device": "cuda"}
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(ValueError, match="state.pt: this training began on cuda .*'cuda'"):
        fit(tiny_images, state=tmp_path / "state.pt", device="cpu")


def test_forward_modes_differ_only_by_batch_normalisation(tiny_images):
    losses = {}
    for forward in ("joint", "separate"):
        network = build("smallcnn", 3)
        settings = dataclasses.replace(QUICK, forward=forward)
        step = Step(network, tiny_images, settings, torch.device("cpu"))
        network.eval()  # running statistics: the same for both
        losses[forward] = step(torch.arange(4))
        network.train()
        losses[forward, "train"] = step(torch.arange(4))
    torch.testing.assert_close(losses["joint"], losses["separate"])
    assert not torch.allclose(losses["joint", "train"], losses["separate", "train"])


def test_noise_drawn_once_returns_every_epoch_at_full_strength(tiny_images):
    """The same field in every epoch, however the picture turns, as strong as noise drawn anew."""
    clean, ids = standardise(tiny_images.tensor())[:4], torch.arange(4)
    strength, fields = 0.15, {}
    for resample in (False, True):
        settings = dataclasses.replace(
            QUICK, noise="gaussian", strength=strength, rotation=15.0, resample=resample
        )
        step = Step(build("smallcnn", 3), tiny_images, settings, torch.device("cpu"))
        seen = [step.views(clean, torch.zeros(len(clean)).long(), ids) for _ in range(2)]
        assert not torch.equal(seen[0][0], seen[1][0])  # turned differently
        fields[resample] = [
            (noisy - turned)
            / (turned.amax((1, 2, 3)) - turned.amin((1, 2, 3)))[:, None, None, None]
            for turned, noisy in seen
        ]
        for field in fields[resample]:
            assert field.std().item() == pytest.approx(strength, rel=0.05)
    torch.testing.assert_close(*fields[False], atol=1e-5, rtol=0)
    assert not torch.allclose(*fields[True], atol=0.1)


def test_turning_noise_takes_about_a_third_of_it():
    """Why noise drawn once is added after the rotation; the README gives the 0.7."""
    generator = torch.Generator().manual_seed(0)
    field = torch.randn(256, 3, 40, 40, generator=generator)
    turned = augment.transform(field, augment.augmentation(256, 15.0, False, generator))
    assert turned[:, :, 10:30, 10:30].std().item() == pytest.approx(0.7, abs=0.03)


def test_no_training_meets_the_noise_of_the_test_images(tiny_images):
    clean, ids = standardise(tiny_images.tensor())[:4], torch.arange(4)
    settings = dataclasses.replace(QUICK, resample=False, rotation=0.0, flip=False, seed=0)
    step = Step(build("smallcnn", 3), tiny_images, settings, torch.device("cpu"))
    turned, noisy = step.views(clean, torch.zeros(len(clean)).long(), ids)
    tested = near_fixed(settings.make_neighbor(), clean, ids, seed=0)
    assert not torch.allclose(noisy - turned, tested - clean, atol=0.1)


def test_an_incomplete_last_batch_is_left_out(tiny_images, monkeypatch):
    loop = _Loop(
        build("smallcnn", 3),
        tiny_images,
        dataclasses.replace(QUICK, batch_size=5),
        torch.device("cpu"),
    )
    seen = []

    def count(step, positions):
        seen.append(len(positions))
        return torch.zeros(6)

    monkeypatch.setattr(Step, "__call__", count)
    loop.run_epoch()
    assert seen == [5, 5]


def test_divergence_says_where_and_what_to_try(tiny_images, tmp_path):
    settings = dataclasses.replace(QUICK, learning_rate=1e30, epochs=3)
    state = tmp_path / "state.pt"
    with pytest.raises(DivergenceError, match=r"epoch \d, step \d of 3.*1e\+30; try a smaller"):
        fit(tiny_images, settings, state=state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": "salt"}, "'salt'.*gaussian, neighborhood"),
        ({"strength": -1.0}, "strength .=-1.0."),
        ({"epochs": 0}, "epochs .=0."),
        ({"seed": -1}, "seed .=-1."),
        ({"learning_rate": math.nan}, "learning_rate .=nan."),
        ({"rotation": 200.0}, "rotation .=200.0."),
        ({"forward": "both"}, "'both'.*joint, separate"),
        ({"precision": "float16"}, "'float16'.*float32, bfloat16"),
        ({"lambda_": 1.5}, "lambda .=1.5."),
        ({"tau": 0.0}, "tau .=0.0."),
        ({"method": "xyz"}, "'xyz'.*baseline"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Settings(**options)


def test_batches_that_cannot_work_are_refused(tiny_images):
    with pytest.raises(ValueError, match="batch_size .=1. is refused with batch norm"):
        fit(tiny_images, dataclasses.replace(QUICK, batch_size=1))
    with pytest.raises(ValueError, match="batch_size .=13. is larger than the training set .12."):
        fit(tiny_images, dataclasses.replace(QUICK, batch_size=13))


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device().type == "cpu"
    with pytest.raises(ValueError, match="'cuda'.*no CUDA GPU"):
        pick_device("cuda")
    for nowhere in ("gpu", "meta", "mps", "cuda:x"):
        with pytest.raises(ValueError, match=f"'{nowhere}'.*auto, cpu, cuda or cuda:<number>"):
            pick_device(nowhere)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1").index == 1
    with pytest.raises(ValueError, match="'cuda:2'.*has 2 CUDA"):
        pick_device("cuda:2")


def test_no_gpu_is_seeded_by_the_way(tiny_images, monkeypatch):
    """A GPU's generator is the user's: `torch.manual_seed` would seed every one of them."""
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    fit(tiny_images, device="cpu")
    assert not seeded


def test_a_state_goes_on_with_what_it_began_with(tiny_images, tmp_path):
    state = tmp_path / "state.pt"
    fit(tiny_images, state=state)
    for other, names in (
        (dataclasses.replace(QUICK, learning_rate=1e-5), "learning_rate 0.001, now 1e-05"),
        (dataclasses.replace(QUICK, seed=3), "seed 0, now 3"),
    ):
        with pytest.raises(ValueError, match=f"state.pt: this training began otherwise .{names}."):
            fit(tiny_images, other, state=state)
    with pytest.raises(ValueError, match="began otherwise .images"):
        fit(tiny_images.select(range(8)), state=state)
    with pytest.raises(ValueError, match="began with another network .features"):
        train(build("resnet8", 3, seed=0), tiny_images, QUICK, state=state)
    longer = fit(tiny_images, dataclasses.replace(QUICK, epochs=3), state=state)[1]
    state.unlink()
    fit(tiny_images, dataclasses.replace(QUICK, head_epochs=1), state=state)
    with pytest.raises(ValueError, match="began otherwise .head_epochs 1, now None"):  # the default
        fit(tiny_images, state=state)
    assert len(longer) == 3
    state.unlink()
    plain = dataclasses.replace(QUICK, method="baseline")
    fit(tiny_images, plain, state=state)
    fit(tiny_images, dataclasses.replace(plain, strength=0.3), state=state)  # of no consequence


def test_a_head_that_changes_the_maps_is_refused(tiny_images):
    plain = build("smallcnn", 3)
    for forward in ("joint", "separate"):
        network = SplitNetwork(
            plain.features[:-1], nn.Sequential(nn.ReLU(inplace=True), plain.head)
        )
        with pytest.raises(ValueError, match="head changes the maps .*inplace=False"):
            train(network, tiny_images, dataclasses.replace(QUICK, forward=forward))


def test_tau_does_not_hang_on_what_was_drawn_before(tiny_images):
    found, states = set(), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.add(suggest_tau(build("convsmall", 3), tiny_images, 4))  # it has dropout
        states.append(
            torch.equal(torch.random.get_rng_state(), torch.manual_seed(seed).get_state())
        )
    assert len(found) == 1 and states == [True, True]


def test_no_tau_for_maps_that_do_not_differ(tiny_images):
    for weight, said in ((0.0, "0.0"), (math.nan, "nan")):
        network = build("smallcnn", 3)
        nn.init.constant_(network.features[-2].weight, weight)  # of the last normalisation
        with pytest.raises(ValueError, match=f"no tau suits this network.* is {said}"):
            suggest_tau(network, tiny_images, 4)


# --- augmentation --------------------------------------------------------------------------------


def test_no_rotation_no_flip_is_the_identity():
    images = torch.randn(3, 3, 9, 9)
    matrices = augment.augmentation(3, 0.0, False, torch.Generator())
    torch.testing.assert_close(augment.transform(images, matrices), images, atol=1e-5, rtol=0)


def test_what_is_not_square_is_turned_and_not_sheared():
    """The oracle is torchvision's rotation."""
    images = torch.rand(1, 3, 24, 60, generator=torch.Generator().manual_seed(0))
    angle = torch.tensor([math.radians(15)])
    cos, sin = angle.cos(), angle.sin()
    matrices = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    turned = functional.rotate(images, 15, functional.InterpolationMode.BILINEAR)
    torch.testing.assert_close(augment.transform(images, matrices), turned, atol=1e-4, rtol=0)


def test_flip_mirrors_half_and_a_quarter_turn_is_rot90():
    images = torch.randn(1, 1, 8, 8)
    mirror = torch.tensor([[[-1.0, 0], [0, 1]]])
    torch.testing.assert_close(augment.transform(images, mirror), images.flip(3), atol=1e-5, rtol=0)
    turn = torch.tensor([[[0.0, -1], [1, 0]]])
    turned = augment.transform(images, turn)
    expected = [torch.rot90(images, k, (2, 3)) for k in (1, 3)]
    assert any(torch.allclose(turned, e, atol=1e-5) for e in expected)
    matrices = augment.augmentation(4000, 0.0, True, torch.Generator().manual_seed(0))
    assert (matrices[:, 0, 0] < 0).float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_angles_fill_the_range():
    matrices = augment.augmentation(4000, 15.0, False, torch.Generator().manual_seed(0))
    angles = torch.rad2deg(torch.atan2(matrices[:, 1, 0], matrices[:, 1, 1])).numpy()
    assert np.abs(angles).max() <= 15.001
    assert np.percentile(angles, [5, 95]) == pytest.approx([-13.5, 13.5], abs=0.6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("method", ["baseline", "innt"])
def test_recorded_steps_train_like_plain_ones(tiny_images, monkeypatch, method):
    settings = dataclasses.replace(QUICK, method=method, epochs=4, rotation=0.0, flip=False)
    settings = dataclasses.replace(settings, strength=1e-6)  # draws need not be the same
    _, recorded = fit(tiny_images, settings, device="cuda")
    monkeypatch.setenv("INNT_CUDA_GRAPH", "0")
    _, plain = fit(tiny_images, settings, device="cuda")
    pd.testing.assert_frame_equal(recorded, plain, rtol=1e-3)


def test_a_network_that_says_the_same_of_everything_is_noticed(tiny_images):
    """With a tau that is far too large equal maps pay at once; Reg_na falls and accuracy with it."""
    settings = dataclasses.replace(QUICK, method="innt", tau=1e6, epochs=3, learning_rate=0.03)
    network = build("smallcnn", 3)
    with torch.no_grad():  # as a large tau leaves it: every last map at its bias
        last = network.features[-2]
        last.weight.zero_()
        last.bias.fill_(0.5)
    table = train(network, tiny_images, dataclasses.replace(settings, learning_rate=1e-12))
    assert table["collapsed"].tolist() == [1, 1, 1]
    standing = train(build("smallcnn", 3), tiny_images, QUICK)
    assert set(standing["collapsed"]) == {0}


def test_collapse_by_hand():
    from innt_lib.learn.monitor import constant_maps, fell_silent

    features = torch.nn.Conv2d(3, 2, 1)
    network = SplitNetwork(features, torch.nn.Flatten())
    images = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    assert not constant_maps(network, images)
    with torch.no_grad():
        features.weight.zero_()
    assert constant_maps(network, images)  # the same for all, though not zero
    with torch.no_grad():
        features.bias.zero_()
    assert constant_maps(network, images)
    # of 10 classes and 900 images: chance 0.1, three standard errors 0.03
    assert fell_silent(9e-5, 0.125, 10, 900) and fell_silent(0.0, 0.1, 10, 900)
    assert not fell_silent(9e-5, 0.135, 10, 900)
    assert not fell_silent(2e-4, 0.1, 10, 900)
    assert not fell_silent(math.nan, 0.1, 10, 900)  # no noise, no Reg_na


def test_what_is_frozen_stays_frozen_after_the_head_alone(tiny_images):
    network = build("smallcnn", 3)
    first = next(network.features.parameters()).requires_grad_(False)
    before = [p.detach().clone() for p in network.features.parameters()]
    train(network, tiny_images, dataclasses.replace(QUICK, epochs=2, head_epochs=1))
    after = list(network.features.parameters())
    assert torch.equal(first, before[0]) and not torch.equal(after[-1], before[-1])
    assert [p.requires_grad for p in after] == [False] + [True] * (len(after) - 1)


def test_the_head_alone_leaves_the_features_as_they_are(tiny_images):
    settings = dataclasses.replace(QUICK, head_epochs=1, head_learning_rate=0.01)
    network = build("resnet8", 3, seed=0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    loop = _Loop(network, tiny_images, settings, pick_device("cpu"))

    def moved():
        loop.run_epoch()
        return {n for n, value in network.state_dict().items() if not torch.equal(value, before[n])}

    # Running statistics of batch normalisation too.
    assert moved() == {name for name in before if name.startswith("head.")}
    loop.epoch = 1
    assert moved() == set(before)


def test_a_head_with_the_learning_rate_of_the_features_is_nothing_new(tiny_images):
    one, first = fit(tiny_images)
    same = dataclasses.replace(QUICK, head_learning_rate=QUICK.learning_rate)
    two, second = fit(tiny_images, same)
    assert torch.equal(weights(one), weights(two))
    assert first.equals(second)


def test_reg_na_is_warmed_up(tiny_images):
    settings = dataclasses.replace(QUICK, epochs=3, reg_warmup=2)
    assert [settings.at(e).reg_weight for e in range(3)] == [0.0, 0.5, 1.0]
    later = dataclasses.replace(settings, epochs=4, head_epochs=1)
    assert [later.at(e).reg_weight for e in range(4)] == [0.0, 0.0, 0.5, 1.0]
    assert [later.at(e).head_alone for e in range(4)] == [True, False, False, False]
    _, warmed = fit(tiny_images, settings)
    _, without = fit(tiny_images, dataclasses.replace(settings, reg_warmup=0, method="nt_weighted"))
    _, whole = fit(tiny_images, dataclasses.replace(settings, reg_warmup=0))
    assert warmed.iloc[0].equals(without.iloc[0])
    last = warmed.iloc[-1]  # the loss is that of Eq. 14 again, and Reg_na lower than untrained
    assert last["loss"] == pytest.approx(0.7 * last["clean"] + 0.3 * last["noise"] + last["reg"])
    assert whole["reg"].iloc[0] < warmed["reg"].iloc[0]


def test_phases_survive_an_interruption(tiny_images, tmp_path):
    settings = dataclasses.replace(
        QUICK, epochs=4, head_epochs=1, reg_warmup=2, head_learning_rate=0.01
    )
    whole, _ = fit(tiny_images, settings)
    network = build("smallcnn", 3, seed=0)

    class Killed(Exception):
        pass

    def kill():
        raise Killed

    for _ in range(3):
        with pytest.raises(Killed):
            train(network, tiny_images, settings, state=tmp_path / "state.pt", after_epoch=kill)
        network = build("smallcnn", 3, seed=1)
    train(network, tiny_images, settings, state=tmp_path / "state.pt")
    assert torch.equal(weights(whole), weights(network))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"head_epochs": -1}, r"head_epochs \(=-1\) must be at least 0"),
        ({"reg_warmup": -1}, r"reg_warmup \(=-1\) must be at least 0"),
        ({"head_epochs": 1, "reg_warmup": 1}, r"must leave some of the epochs \(=2\)"),
        ({"head_learning_rate": -1e-3}, r"head_learning_rate \(=-0.001\)"),
        ({"head_learning_rate": math.nan}, r"head_learning_rate \(=nan\)"),
    ],
)
def test_bad_phases_are_refused(changes, what):
    with pytest.raises(ValueError, match=what):
        dataclasses.replace(QUICK, **changes)


def test_settings_of_later_versions_do_not_rename_runs():
    assert not {"head_learning_rate", "head_epochs", "reg_warmup"} & set(QUICK.identity)
    assert "reg_warmup" in dataclasses.replace(QUICK, reg_warmup=1).identity
    assert "reg_warmup" not in dataclasses.replace(QUICK, method="nt", reg_warmup=1).identity


def test_the_monitor_sees_what_accuracy_and_the_cams_say(tiny_images):
    network, history = fit(tiny_images, monitor=tiny_images)
    noise = QUICK.make_neighbor()
    last = history.iloc[-1]
    assert last["test_clean"] == accuracy(network, tiny_images)
    assert last["test_noisy"] == accuracy(network, tiny_images, noise)
    clean, labels = standardise(tiny_images.tensor()), torch.from_numpy(tiny_images.labels)
    noisy = near_fixed(noise, clean, torch.arange(len(clean)), 0, labels, network)
    pairs = zip(
        cam("gradcam", network, clean, labels), cam("gradcam", network, noisy, labels), strict=True
    )
    alike = [np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in pairs if a.std() and b.std()]
    assert last["test_similarity"] == pytest.approx(np.mean(alike), abs=1e-5)
    _, plain = fit(tiny_images, dataclasses.replace(QUICK, method="baseline"), monitor=tiny_images)
    assert plain["test_similarity"].isna().all()
