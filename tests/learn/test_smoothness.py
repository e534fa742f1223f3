"""VAT and LVAT as methods: labels of a part, quiet passes, shared masks, resume, and what is refused."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from innt_lib.learn.batches import batches, labelled
from innt_lib.learn.generation import Generation, build_generator
from innt_lib.learn.generators import freeze
from innt_lib.learn.networks import build
from innt_lib.learn.settings import Settings
from innt_lib.learn.smoothness import Smoothness, quiet
from innt_lib.learn.split import SplitNetwork
from innt_lib.learn.step import Step
from innt_lib.learn.training import DivergenceError, train
from innt_lib.learn.virtual import Virtual
from innt_lib.neighbors.vat import divergence
from innt_lib.results import generator_runs, runs
from innt_lib.system.tensors import standardise, to_pixels

VAE = Generation(kind="vae", width=4, latent=5, batch_size=4, epochs=1)
GLOW = Generation(kind="glow", width=4, blocks=1, batch_size=4, epochs=1)
PLAIN = {"epochs": 2, "batch_size": 4, "rotation": 0.0, "flip": False}
VAT = Settings(method="vat", **PLAIN)
CPU = torch.device("cpu")


def lvat(generation=VAE, **options):
    virtual = Virtual(generator=generation, **options)
    return Settings(method="lvat", vat=virtual, **PLAIN)


def made(settings, images):
    if not settings.vat.generator:
        return None
    generator = build_generator(settings.vat.generator, images.images.shape[1])
    generator.loss(to_pixels(standardise(images.tensor())), torch.Generator())
    return freeze(generator)


def with_dropout(seed=0):
    plain = build("smallcnn", 3, seed=seed)
    return SplitNetwork(plain.features, nn.Sequential(nn.Dropout(0.5), *plain.head))


def weights(network):
    return torch.cat([p.flatten() for p in network.state_dict().values()]).double()


def smoothness(settings, images, network=None):
    network = (network or with_dropout()).train()
    return Smoothness(network, settings, made(settings, images), images)


# --- the term ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [VAT, lvat(), lvat(GLOW)], ids=["vat", "vae", "glow"])
def test_running_averages_and_generator_stay_and_the_classifier_moves(settings, tiny_images):
    network = with_dropout().train()
    held = smoothness(settings, tiny_images, network)
    before = {name: b.clone() for name, b in network.named_buffers()}
    images, rows = standardise(tiny_images.tensor())[:6], torch.arange(6)
    found = held(images, rows, torch.Generator().manual_seed(0))
    found.total.backward()
    assert found.divergence > 0 and found.dropped == 0
    assert all(torch.equal(b, before[name]) for name, b in network.named_buffers())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    if held.generator is not None:
        assert all(p.grad is None for p in held.generator.parameters())
    assert all(m.track_running_stats for m in network.modules() if isinstance(m, nn.BatchNorm2d))


def test_quiet_passes_use_the_statistics_of_the_batch(tiny_images):
    network, images = build("smallcnn", 3).train(), standardise(tiny_images.tensor())
    with torch.no_grad():
        with quiet(network):
            once = network(images)
        assert torch.equal(once, network(images))
        assert not torch.allclose(once, network.eval()(images))


def test_the_passes_of_a_step_share_their_masks(tiny_images):
    """Without a perturbation nothing but the masks could tell two passes apart."""
    still = dataclasses.replace(VAT, vat=Virtual(epsilon=0.0))
    torch.manual_seed(0)
    held = smoothness(still, tiny_images)
    images, rows = standardise(tiny_images.tensor())[:6], torch.arange(6)
    assert held(images, rows, torch.Generator()).divergence == 0
    first = torch.rand(1)
    torch.manual_seed(0)  # the global generator ends as after one pass
    smoothness(still, tiny_images).network(images)
    assert torch.equal(torch.rand(1), first)


def test_the_term_is_the_kl_that_one_would_write(tiny_images):
    network = build("smallcnn", 3).eval()
    settings = dataclasses.replace(VAT, vat=Virtual(epsilon=2.0, entropy=True))
    held = Smoothness(network, settings, None, tiny_images)
    images, rows = standardise(tiny_images.tensor())[:6], torch.arange(6)
    found = held(images, rows, torch.Generator().manual_seed(0))
    near = settings.vat.neighbor()(images, network, torch.Generator().manual_seed(0))
    p, q = network(images).softmax(1), network(near).softmax(1)
    kl = (p * (p.log() - q.log())).sum(1).mean()
    entropy = -(p * p.log()).sum(1).mean()
    torch.testing.assert_close(found.divergence, kl.detach(), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(found.total.detach(), (kl + entropy).detach(), rtol=1e-3, atol=1e-6)


def test_latents_are_kept_where_nothing_is_augmented(tiny_images, monkeypatch):
    held = smoothness(lvat(GLOW), tiny_images)
    moved = smoothness(dataclasses.replace(lvat(GLOW), flip=True), tiny_images)
    assert moved.latents is None
    for kept, level in zip(
        held.latents, held.neighbor.encode(standardise(tiny_images.tensor())), strict=True
    ):
        torch.testing.assert_close(kept, level)
    monkeypatch.setattr(held.generator, "encode", lambda *_: pytest.fail("encoded again"))
    held(standardise(tiny_images.tensor())[2:6], torch.arange(2, 6), torch.Generator())


def test_what_is_not_finite_is_dropped_and_counted(tiny_images):
    held = smoothness(lvat(), tiny_images)
    decode = held.generator.decode

    def broken(latents):
        pixels = decode(latents)
        return pixels + torch.tensor([math.nan, 0, math.inf, 0]).view(4, 1, 1, 1)

    held.generator.decode = broken
    found = held(standardise(tiny_images.tensor())[:4], torch.arange(4), torch.Generator())
    assert found.dropped == 0.5 and found.divergence.isfinite()
    found.total.backward()
    assert all(p.grad.isfinite().all() for p in held.network.parameters())


def test_a_generator_that_blows_up_ends_the_training_with_its_name(tiny_images):
    settings = lvat(GLOW, epsilon=4.0)
    generator = made(settings, tiny_images)
    decode = generator.decode
    generator.decode = lambda latents: decode(latents) * math.inf
    with pytest.raises(DivergenceError, match="generator blows up: 100 % .* epoch 1 .* epsilon 4;"):
        train(with_dropout(), tiny_images, settings, generator=generator)


# --- the step and the loop ---------------------------------------------------------------------------


def test_one_step_is_the_step_one_would_write(tiny_images):
    settings = dataclasses.replace(VAT, vat=Virtual(epsilon=1.5))
    network, reference = build("smallcnn", 3).train(), build("smallcnn", 3).train()
    step = Step(network, tiny_images, settings, CPU)
    logged = dict(
        zip(step.logged, step(torch.arange(4), torch.arange(4, 10)).tolist(), strict=True)
    )
    images, labels = step.augmented(standardise(tiny_images.tensor())), tiny_images.labels
    x, u = images[:4], images[4:10]  # no augmentation: a resampling on the grid
    loss = nn.functional.cross_entropy(reference(x), torch.from_numpy(labels[:4]))
    ce = float(loss.detach())
    with quiet(reference):
        drawn = torch.Generator().manual_seed(3 * settings.seed + 2)
        start = settings.vat.neighbor().start(u, drawn)
        found = settings.vat.neighbor().search(u, reference, start)
        kl = divergence(found.target, reference(found.images)).mean()
    (loss + kl).backward()
    assert logged["clean"] == pytest.approx(ce, rel=1e-4)
    assert logged["reg"] == pytest.approx(float(kl.detach()), rel=1e-2)
    assert logged["loss"] == pytest.approx(logged["clean"] + logged["reg"], rel=1e-5)
    for ours, plain in zip(network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, plain.grad, rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("labels", [None, 6])
@pytest.mark.parametrize("settings", [VAT, lvat(), lvat(GLOW)], ids=["vat", "vae", "glow"])
def test_interrupted_and_resumed_ends_with_the_same_bits(tiny_images, tmp_path, settings, labels):
    settings = dataclasses.replace(settings, labels=labels)
    generator = made(settings, tiny_images)

    def go(epochs, **more):
        network, short = with_dropout(), dataclasses.replace(settings, epochs=epochs)
        table = train(network, tiny_images, short, monitor=tiny_images, generator=generator, **more)
        return network, table

    whole, history = go(3)
    go(1, state=tmp_path / "state.pt")
    torch.manual_seed(11)
    resumed, again = go(3, state=tmp_path / "state.pt")
    assert torch.equal(weights(whole), weights(resumed))
    assert history.equals(again)
    assert history[["reg", "flipped", "dropped"]].notna().all(axis=None)
    assert history[["noise", "train_noisy", "test_noisy"]].isna().all(axis=None)


def test_few_labels_are_balanced_drawn_from_the_seed_and_no_others_are_used(tiny_images):
    labels = tiny_images.labels
    chosen = labelled(labels, 6, 3, 0)
    assert np.bincount(labels[chosen]).tolist() == [2, 2, 2] and len(set(chosen)) == 6
    assert np.array_equal(chosen, labelled(labels, 6, 3, 0))
    assert not np.array_equal(chosen, labelled(labels, 6, 3, 1))
    assert np.array_equal(labelled(labels, 12, 3, 0), np.arange(12))
    wrong = dataclasses.replace(
        tiny_images, labels=np.where(np.isin(np.arange(12), chosen), labels, 0)
    )
    settings = dataclasses.replace(VAT, labels=6, seed=0)
    one, other = build("smallcnn", 3), build("smallcnn", 3)
    train(one, tiny_images, settings)
    # the labels of the others must not matter: but the split is drawn by label, so it is given
    step = Step(other, wrong, settings, CPU)
    generator = torch.Generator().manual_seed(0)
    rows = torch.from_numpy(chosen)
    seen = {int(i) for batch in batches(12, 4, generator, rows, both=True) for i in batch[0]}
    assert seen <= set(chosen.tolist()) and step.logged[-1] == "dropped"


def test_labelled_batches_are_the_same_with_and_without_the_others():
    chosen = torch.tensor([1, 5, 6, 9])
    alone, both = (
        list(batches(20, 6, torch.Generator().manual_seed(3), chosen, both))
        for both in (False, True)
    )
    assert [len(b) for b in alone] == [1, 1, 1] and [len(b) for b in both] == [2, 2, 2]
    for one, two in zip(alone, both, strict=True):
        assert torch.equal(one[0], two[0])
    counts = torch.bincount(torch.cat([b[0] for b in alone]), minlength=10)[chosen]
    assert counts.max() - counts.min() <= 1
    everything = torch.cat([b[1] for b in both])
    assert len(set(everything.tolist())) == 18


def test_the_batches_of_earlier_methods_are_what_they_were():
    expected = torch.randperm(10, generator=torch.Generator().manual_seed(7))
    found = list(batches(10, 3, torch.Generator().manual_seed(7)))
    assert [len(b) for b in found] == [1, 1, 1]
    assert torch.equal(torch.cat([b[0] for b in found]), expected[:9])


# --- runs ----------------------------------------------------------------------------------------------


def test_names_of_other_methods_do_not_hear_of_it():
    assert runs.Run(method="innt").name == runs.Run(method="innt", vat=Virtual(epsilon=3.0)).name
    assert "vat" not in runs.Run(method="innt").identity
    assert "labels" not in runs.Run(method="innt").identity
    plain = runs.Run(method="vat")
    assert plain.name == runs.Run(method="vat", strength=3.0, tau=1.0, lambda_=0.5).name
    for other in (
        runs.Run(method="vat", vat=Virtual(epsilon=2.0)), runs.Run(method="vat", labels=40),
        runs.Run(method="vat", vat=Virtual(iterations=2)),
    ):  # fmt: skip
        assert other.name != plain.name
    assert plain.name == runs.Run(method="vat", vat=Virtual(levels="joint")).name
    one = runs.Run(method="lvat", vat=Virtual(generator=VAE))
    same = dataclasses.replace(VAE, blocks=5)  # of no consequence to a VAE
    assert one.name == runs.Run(method="lvat", vat=Virtual(generator=same)).name
    assert one.name != runs.Run(method="lvat", vat=Virtual(generator=GLOW)).name
    assert (one.label, plain.label) == ("lvat_vae", "vat")


def test_a_run_trains_its_generator_first_and_records_the_labels(root):
    common = {"size": 16, "epochs": 1, "batch_size": 8, "rotation": 0.0, "flip": False}
    virtual = {"lvat_glow": Virtual(epsilon=1.5, generator=GLOW)}
    grid = runs.grid(
        "smallcnn", "baseline,lvat_glow", {"gaussian": 0.15}, 2, vat=virtual, labels=8, **common
    )
    assert [run.label for run in grid] == ["baseline"] * 2 + ["lvat_glow"] * 2
    runs.ensure(grid)
    behind = {generator_runs.behind(run) for run in grid} - {None}
    assert len(behind) == 1 and behind.pop().finished
    import json

    for first, second in ((grid[0], grid[2]), (grid[1], grid[3])):
        records = [json.loads((r.directory / "run.json").read_text()) for r in (first, second)]
        assert (
            records[0]["labelled"] == records[1]["labelled"] == generator_runs.labelled_ids(first)
        )
        assert len(records[0]["labelled"]) == 8
        assert records[0]["generator"] is None and records[1]["generator"].startswith(
            "birds16-glow"
        )
    assert records[0]["labelled"] != generator_runs.labelled_ids(grid[0])  # of another seed
    history = runs.history(grid[2])
    assert history["dropped"].eq(0).all() and history["reg"].gt(0).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "lvat"}, r"method \(='lvat'\) needs a generator"),
        ({"method": "vat", "vat": Virtual(generator=VAE)}, r"method \(='vat'\) takes no generator"),
        ({"labels": 4}, r"labels \(=4\) must be at least the batch_size \(=8\)"),
    ],
)
def test_settings_that_do_not_go_together(options, said):
    with pytest.raises(ValueError, match=said):
        Settings(**options)


def test_bad_input(tiny_images, root):
    for options, said in (
        ({"epsilon": -1.0}, r"epsilon \(=-1.0\)"), ({"iterations": 0}, r"iterations \(=0\)"),
        ({"target": "z"}, r"target \(='z'\)"), ({"levels": "all"}, r"levels \(='all'\)"),
        ({"direction": "down"}, r"direction \(='down'\)"), ({"xi": math.nan}, r"xi \(=nan\)"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            Virtual(**options)
    for count, said in (
        (7, r"labels \(=7\) must be a multiple of the number of classes \(3\)"),
        (15, r"labels \(=15\) are 5 a class, and there is a class of 4 training images"),
    ):
        with pytest.raises(ValueError, match=said):
            train(build("smallcnn", 3), tiny_images, dataclasses.replace(VAT, labels=count))
    with pytest.raises(ValueError, match=r"labels \(=1000\) are 250 a class"):
        runs.ensure(runs.Run(method="vat", size=16, batch_size=8, epochs=1, labels=1000))
    network = build("smallcnn", 3)
    with pytest.raises(ValueError, match=r"'lvat' needs its generator \(vae\)"):
        train(network, tiny_images, lvat())
    with pytest.raises(ValueError, match="for pictures of 24 pixels, and those of tiny have 16"):
        train(network, tiny_images, lvat(), generator=freeze(build_generator(VAE, 24)))
    other = freeze(build_generator(VAE, 16))
    other.trained_on = "abc"
    with pytest.raises(ValueError, match=r"trained on other pictures \(abc\)"):
        train(network, tiny_images, lvat(), generator=other)
