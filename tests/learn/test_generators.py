"""VAE and Glow behind one interface: exactness, likelihood, training that is killed, what blows up."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch

from innt_lib.learn import pretraining
from innt_lib.learn.generation import Generation, build_generator, load_generator
from innt_lib.learn.networks import save_checkpoint
from innt_lib.learn.pretraining import BlownUpError, train_generator
from innt_lib.results import generator_runs
from innt_lib.results.generator_runs import GeneratorRun

SMALL = {"width": 8, "blocks": 2, "latent": 6, "batch_size": 4, "epochs": 2, "learning_rate": 1e-3}
KINDS = ("vae", "glow")


def generator(kind: str, size: int = 16, **options):
    return build_generator(Generation(kind=kind, **SMALL | options), size)


def pixels(count: int = 4, size: int = 16, seed: int = 0):
    drawn = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 256, (count, 3, size, size), generator=drawn)
    return levels / 255


@pytest.mark.parametrize("kind", KINDS)
def test_latents_and_pictures_have_their_shapes(kind):
    made, x = generator(kind).eval(), pixels()
    latents = made.encode(x)
    assert [tuple(z.shape[1:]) for z in latents] == list(made.shapes)
    assert made.decode(latents).shape == x.shape
    assert made.loss(x, torch.Generator()).shape == ()
    drawn = made.sample(3, torch.Generator().manual_seed(0))
    assert drawn.shape == (3, 3, 16, 16) and drawn.min() >= 0 and drawn.max() <= 1


def test_glow_gives_back_what_it_encodes_and_the_deepest_level_is_first():
    made = generator("glow").double()
    x = pixels().double()
    made.loss(x, torch.Generator())  # the first batch sets the scales of the activations
    with torch.no_grad():
        for p in made.parameters():  # away from the identity that the couplings begin as
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(made.decode(made.encode(x)), x, atol=1e-9, rtol=0)
    assert made.shapes == ((48, 2, 2), (12, 4, 4), (6, 8, 8))
    assert sum(math.prod(shape) for shape in made.shapes) == 3 * 16 * 16


def test_likelihood_is_that_of_the_change_of_variables():
    """Against the Jacobian by autograd, on a picture of 8 pixels."""
    made = generator("glow", 8).double()
    x = pixels(2, 8).double()
    made.loss(x, torch.Generator())
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))

    def flat(one):
        return torch.cat([z.flatten() for z in made.encode(one.view(1, 3, 8, 8))])

    one = x[:1].flatten()
    jacobian = torch.autograd.functional.jacobian(flat, one)
    z = flat(one).detach()
    # d z / d pixel, where a level of 256 is 255/256 of it; 256 levels to a unit of the density
    log_det = torch.linalg.slogdet(jacobian * 256 / 255).logabsdet
    normal = -0.5 * (z.square() + math.log(2 * math.pi)).sum()
    expected = normal + log_det - 192 * math.log(256)
    found = made.log_likelihood(x)[0].detach()
    assert float(found) == pytest.approx(float(expected), rel=1e-9)
    bits = made.bits_per_dim(x)[0].detach()
    assert float(bits) == pytest.approx(-float(expected) / (192 * math.log(2)), rel=1e-9)
    with pytest.raises(NotImplementedError, match="VAE has no likelihood"):
        generator("vae").log_likelihood(x)


def test_the_vae_s_loss_is_the_one_one_would_write():
    made, x = generator("vae").eval(), pixels()
    mean, log_std = made.encoder(x).chunk(2, 1)
    noise = torch.empty_like(mean).normal_(generator=torch.Generator().manual_seed(5))
    shown = torch.sigmoid(made.decoder(mean + log_std.exp() * noise))
    entropy = -(x * shown.log() + (1 - x) * (1 - shown).log()).sum((1, 2, 3))
    posterior = torch.distributions.Normal(mean, log_std.exp())
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    kl = torch.distributions.kl_divergence(posterior, prior).sum(1)
    expected = (entropy + 0.1 * kl).mean()
    found = made.loss(x, torch.Generator().manual_seed(5))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(made.encode(x)[0], mean)


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_and_a_killed_training_ends_with_the_same_bits(kind, tiny_images, tmp_path):
    def go(epochs, **more):
        settings = Generation(kind=kind, **SMALL | {"epochs": epochs}, flip=True)
        made = build_generator(settings, 16)
        table = train_generator(made, tiny_images, settings, test=tiny_images, **more)
        return made, table

    torch.manual_seed(1)
    whole, history = go(4)
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert history["bits"].isna().all() == (kind == "vae")
    assert not whole.training and not any(p.requires_grad for p in whole.parameters())
    state = tmp_path / "state.pt"
    go(2, state=state)
    torch.manual_seed(2)  # the global state must not matter
    resumed, again = go(4, state=state)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert history.equals(again)
    with pytest.raises(ValueError, match="began otherwise .*seed 0, now 1"):
        other = Generation(kind=kind, **SMALL, flip=True, seed=1)
        train_generator(build_generator(other, 16), tiny_images, other, state=state)


def test_a_flow_that_blows_up_is_named(tiny_images):
    settings = Generation(kind="glow", **SMALL | {"learning_rate": 1e6, "epochs": 200})
    with pytest.raises(
        BlownUpError, match=r"the glow blew up: in epoch \d+ .* \d of 3 steps.*1e\+06"
    ):
        train_generator(build_generator(settings, 16), tiny_images, settings)


def test_a_step_without_a_finite_gradient_is_skipped_and_counted(tiny_images, monkeypatch):
    monkeypatch.setattr(pretraining, "MOST_SKIPPED", 0.2)  # an epoch has 6 steps here
    settings = Generation(kind="vae", **SMALL | {"epochs": 2, "batch_size": 2})
    made = build_generator(settings, 16)
    loss, calls = made.loss, []

    def sometimes(pixels, generator):
        calls.append(None)
        return loss(pixels, generator) * (math.inf if len(calls) == 3 else 1)

    made.loss = sometimes
    history = train_generator(made, tiny_images, settings)
    assert len(calls) == 12
    assert history["skipped"].tolist() == [1, 0] and history["loss"].notna().all()
    assert all(tensor.isfinite().all() for tensor in made.state_dict().values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_found_again_and_its_weights_are_whole(root, kind, monkeypatch):
    run = GeneratorRun(settings=Generation(kind=kind, **SMALL), dataset="birds", size=16)
    first = generator_runs.load(run)
    assert run.finished and not (run.directory / "state.pt").exists()
    assert (
        json.loads((run.directory / "run.json").read_text())["parameters"]["settings"]["kind"]
        == kind
    )
    assert len(generator_runs.history(run)) == 2
    monkeypatch.setattr(generator_runs, "train_generator", lambda *_, **__: pytest.fail("again"))
    generator_runs._load.cache_clear()
    again = generator_runs.load(run)
    x = pixels()
    for one, other in zip(first.encode(x), again.encode(x), strict=True):
        assert torch.equal(one, other)
    assert again.trained_on == run.load_data().train.fingerprint
    record = json.loads((run.directory / "run.json").read_text())
    record["data"]["train"] = "other"
    (run.directory / "run.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="the data of 'birds' changed since the generator"):
        generator_runs.load(run)


def test_only_what_matters_names_a_generator():
    run = GeneratorRun(settings=Generation(kind="vae"), dataset="birds", size=16)
    assert run.name.startswith("birds16-vae-s0-")
    same = dataclasses.replace(run, settings=Generation(kind="vae", blocks=3))
    assert same.name == run.name
    for other in (
        dataclasses.replace(run, settings=Generation(kind="vae", latent=3)),
        dataclasses.replace(run, size=24),
        dataclasses.replace(run, train_per_class=2),
        dataclasses.replace(run, settings=Generation(kind="glow")),
    ):
        assert other.name != run.name


def test_bad_input(tmp_path, tiny_images):
    for options, said in (
        ({"kind": "gan"}, r"generator \(='gan'\) must be one of vae, glow"),
        ({"width": 0}, r"width \(=0\) of a generator"), ({"beta": 0.0}, r"beta \(=0.0\)"),
        ({"learning_rate": math.nan}, r"learning_rate \(=nan\) of a generator"),
        ({"rotation": 200.0}, r"rotation \(=200.0\)"), ({"epochs": 0}, r"epochs \(=0\)"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            Generation(**options)
    for kind in KINDS:
        with pytest.raises(ValueError, match=r"size \(=20\) must be divisible by 8"):
            generator(kind, 20)
    path = tmp_path / "weights.safetensors"
    with pytest.raises(FileNotFoundError, match="no generator at"):
        load_generator(Generation(kind="vae", **SMALL), 16, path)
    save_checkpoint(generator("vae"), path)
    for settings, size in (
        (Generation(kind="glow", **SMALL), 16), (Generation(kind="vae", **SMALL), 24),
    ):  # fmt: skip
        with pytest.raises(
            ValueError, match="another kind or size than (glow|vae) for (16|24) pixels"
        ):
            load_generator(settings, size, path)
    path.write_bytes(b"not one")
    with pytest.raises(ValueError, match="not a safetensors file"):
        load_generator(Generation(kind="vae", **SMALL), 16, path)
    large = Generation(**SMALL | {"batch_size": 64})
    with pytest.raises(ValueError, match=r"batch_size \(=64\) of the generator is larger"):
        train_generator(generator("vae"), tiny_images, large)
