"""Virtual adversarial neighbours: by hand, against a float64 oracle, and what a search leaves behind."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from innt_lib.learn.networks import build
from innt_lib.neighbors import LVAT, VAT, make_neighbor, near, near_fixed
from innt_lib.neighbors.vat import divergence, unit
from innt_lib.system.tensors import from_pixels, to_pixels


def pictures(count: int = 3, side: int = 8, seed: int = 0) -> Tensor:
    drawn = torch.Generator().manual_seed(seed)
    return from_pixels(torch.rand(count, 3, side, side, generator=drawn))


class Linear:
    """A generator whose decoder is one matrix a level: latents of 4 and of 5 numbers."""

    shapes = ((4,), (5,))

    def __init__(self, side: int = 8) -> None:
        drawn = torch.Generator().manual_seed(1)
        self.side = side
        self.matrices = [torch.randn(n, 3 * side**2, generator=drawn) / 40 for (n,) in self.shapes]
        self.scale = 1.0

    def encode(self, pixels: Tensor) -> list[Tensor]:
        return [pixels.flatten(1) @ matrix.T for matrix in self.matrices]

    def decode(self, latents: list[Tensor]) -> Tensor:
        parts = [z @ matrix.to(z) for z, matrix in zip(latents, self.matrices, strict=True)]
        return (0.5 + self.scale * sum(parts)).view(-1, 3, self.side, self.side)


def smooth_network(side: int = 8, classes: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(3 * side**2, 16), nn.Tanh(), nn.Linear(16, classes)
    )


def test_divergence_by_hand():
    p, q = torch.tensor([[0.5, 0.5], [0.9, 0.1]]), torch.tensor([[0.25, 0.75], [0.9, 0.1]])
    expected = [0.5 * math.log(2) + 0.5 * math.log(2 / 3), 0.0]
    torch.testing.assert_close(divergence(p.log(), q.log()), torch.tensor(expected))


@given(st.floats(-8, 18), st.integers(0, 100))
def test_unit_is_of_length_1_for_every_picture_however_small(exponent, seed):
    drawn = torch.Generator().manual_seed(seed)
    move = [
        torch.randn(2, 5, generator=drawn).double(),
        torch.randn(2, 3, 2, generator=drawn).double(),
    ]
    move = [part * 10**exponent for part in move]
    ones = torch.ones(2).double()
    for part in unit(move, [[0], [1]]):
        torch.testing.assert_close(part.flatten(1).norm(dim=1), ones, atol=1e-3, rtol=0)
    joint = unit(move, [[0, 1]])
    lengths = [part.flatten(1).norm(dim=1) for part in joint]
    torch.testing.assert_close(torch.stack(lengths).norm(dim=0), ones, atol=1e-3, rtol=0)
    wanted = move[0].flatten(1).norm(dim=1) / move[1].flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths[0] / lengths[1], wanted)


def test_one_iteration_is_a_product_with_the_hessian():
    """In float64, with the Hessian of the KL at r = 0 written out."""
    net, x = smooth_network().double(), pictures().double()
    vat = VAT(0.7, xi=1e-4)
    start = vat.start(x, torch.Generator().manual_seed(3))
    found = vat.search(x, net, start)
    moved = (to_pixels(found.images) - to_pixels(x)).flatten(1)
    for i in range(len(x)):
        pixels, target = to_pixels(x[i : i + 1]), net(x[i : i + 1]).detach()

        def kl(r: Tensor, pixels: Tensor = pixels, target: Tensor = target) -> Tensor:
            return divergence(target, net(from_pixels(pixels + r.view_as(pixels))))[0]

        zero = torch.zeros(pixels.numel(), dtype=torch.float64)
        hessian = torch.autograd.functional.hessian(kl, zero)
        product = hessian @ start[0][i].flatten()
        expected = 0.7 * product / product.norm()
        cosine = torch.cosine_similarity(moved[i], expected, 0)
        assert cosine > 1 - 1e-5
        assert moved[i].norm() == pytest.approx(0.7, rel=1e-3)


def test_more_iterations_come_to_the_top_eigenvector():
    net, x = smooth_network().double(), pictures(1).double()
    vat = VAT(1.0, xi=1e-4, iterations=60)
    pixels, target = to_pixels(x), net(x).detach()
    zero = torch.zeros(pixels.numel(), dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(
        lambda r: divergence(target, net(from_pixels(pixels + r.view_as(pixels))))[0], zero
    )
    top = torch.linalg.eigh(hessian).eigenvectors[:, -1]
    found = vat.search(x, net, vat.start(x, torch.Generator().manual_seed(0)))
    moved = (to_pixels(found.images) - pixels).flatten()
    assert torch.cosine_similarity(moved, top, 0).abs() > 0.999


def test_float32_with_the_default_xi_finds_the_float64_direction():
    net, x = smooth_network(16), pictures(4, 16)
    start = [torch.randn(x.shape, generator=torch.Generator().manual_seed(0))]
    single = VAT(1.0).search(x, net, start).images - x
    exact = VAT(1.0, xi=1e-5).search(x.double(), net.double(), [start[0].double()]).images
    cosine = torch.cosine_similarity(single.flatten(1).double(), (exact - x).flatten(1))
    assert cosine.min() > 0.99


def test_epsilon_0_is_the_picture_or_its_reconstruction():
    net, x, generator = smooth_network(), pictures(), Linear()
    assert torch.equal(VAT(0.0)(x, net), x)
    still = LVAT(0.0, generator=generator)(x, net)
    decoded = generator.decode(generator.encode(to_pixels(x))).clamp(0, 1)
    torch.testing.assert_close(to_pixels(still), decoded)


def test_adversarial_is_worse_than_random_and_the_distance_is_epsilon():
    net, x = smooth_network(), pictures(16)
    kls = {}
    for direction in ("adversarial", "random"):
        vat = VAT(1.5, direction=direction)
        found = vat.search(x, net, vat.start(x, torch.Generator().manual_seed(0)))
        moved = (to_pixels(found.images) - to_pixels(x)).flatten(1).norm(dim=1)
        torch.testing.assert_close(moved, torch.full((16,), 1.5), rtol=1e-3, atol=0)
        kls[direction] = divergence(found.target, net(found.images)).detach()
    assert (kls["adversarial"] > kls["random"]).all()


def test_every_picture_has_its_own_radius():
    net, x = smooth_network(), pictures(4)
    vat, radius = VAT(1.0), torch.tensor([0.0, 0.5, 1.0, 2.0])
    start = vat.start(x, torch.Generator().manual_seed(0))
    found = vat.search(x, net, start, radius=radius)
    moved = (to_pixels(found.images) - to_pixels(x)).flatten(1).norm(dim=1)
    torch.testing.assert_close(moved, radius, rtol=1e-3, atol=1e-6)


def test_levels_of_length_epsilon_each_or_together():
    generator, x = Linear(), pictures()
    generator.scale = 0.01  # far from the borders, where pixels are clipped
    net = smooth_network()
    for levels, lengths in (("separate", (2.0, 2.0)), ("joint", None)):
        neighbor = LVAT(2.0, generator=generator, levels=levels)
        start = neighbor.start(x, torch.Generator().manual_seed(0))
        assert [tuple(s.shape) for s in start] == [(3, 4), (3, 5)]
        steps = [2.0 * part for part in neighbor.unit(start)]
        found = torch.stack([part.norm(dim=1) for part in steps])
        if lengths:
            torch.testing.assert_close(found, torch.full((2, 3), 2.0), rtol=1e-4, atol=0)
        else:
            torch.testing.assert_close(
                found.square().sum(0).sqrt(), torch.full((3,), 2.0), rtol=1e-4, atol=0
            )
        images = neighbor.search(x, net, start).images
        assert images.isfinite().all()


def test_with_a_generator_that_blurs_the_start_matters_only_to_the_reconstruction():
    """As coded, the KL at r = 0 is not 0 and its gradient swamps the Hessian's product."""
    generator, net, x = Linear(), smooth_network().double(), pictures(8).double()
    generator.scale = 0.3
    cosines = {}
    for target in ("image", "reconstruction"):
        neighbor = LVAT(0.5, xi=1e-4, generator=generator, target=target)
        latents = [z.double() for z in generator.encode(to_pixels(x).float())]
        seen = []
        for seed in (0, 1):
            start = neighbor.start(x, torch.Generator().manual_seed(seed))
            found = neighbor.search(x, net, start, latents=latents)
            seen.append((found.images - neighbor.decode(latents, None)).flatten(1))
        cosines[target] = torch.cosine_similarity(*seen).abs()
    assert cosines["image"].min() > 0.999
    assert cosines["reconstruction"].mean() < 0.98


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_what_is_not_finite_is_replaced_and_said(broken):
    class Breaks(Linear):
        def decode(self, latents: list[Tensor]) -> Tensor:
            pixels = super().decode(latents)
            bad = torch.zeros(len(pixels), 1, 1, 1)
            bad[1] = broken
            return pixels + bad

    net, x = smooth_network(), pictures()
    neighbor = LVAT(1.0, generator=Breaks())
    found = neighbor.search(x, net, neighbor.start(x))
    assert found.usable.tolist() == [True, False, True]
    assert torch.equal(found.images[1], x[1])
    inside = to_pixels(found.images)
    assert found.images.isfinite().all() and inside.min() > -1e-6 and inside.max() < 1 + 1e-6


def test_leaves_nothing_behind_and_is_aimed_in_evaluation_mode():
    net, x = build("resnet20", 4, seed=1).train(), pictures(4, 16)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    found = VAT(1.0)(x, net, torch.Generator().manual_seed(0))
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert all(m.training for m in net.modules()) and not found.requires_grad


def test_by_name_drawn_anew_or_fixed():
    net, x, ids = smooth_network(), pictures(4), torch.tensor([5, 1, 7, 3])
    vat = make_neighbor("vat", 2.0)
    assert vat == VAT(2.0)
    labels = torch.zeros(4).long()
    drawn = near(vat, x, labels, net, torch.Generator().manual_seed(0))
    assert torch.equal(drawn, vat(x, net, torch.Generator().manual_seed(0)))
    whole = near_fixed(vat, x, ids, 0, labels, net)
    few = near_fixed(vat, x[1:3], ids[1:3], 0, None, net)
    torch.testing.assert_close(few, whole[1:3], atol=5e-3, rtol=0)  # float32: sums by batch
    assert not torch.equal(near_fixed(vat, x, ids, 1, labels, net), whole)


def test_bad_input():
    for options, said in (
        ({"strength": -1.0}, r"epsilon \(=-1.0\)"), ({"strength": math.inf}, r"epsilon \(=inf\)"),
        ({"xi": 0.0}, r"xi \(=0.0\)"), ({"iterations": 0}, r"iterations \(=0\)"),
        ({"direction": "up"}, r"direction \(='up'\) must be one of adversarial, random"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            VAT(**options)
    with pytest.raises(ValueError, match="need a generator"):
        LVAT(1.0)
    with pytest.raises(ValueError, match=r"levels \(='both'\) must be one of separate, joint"):
        LVAT(1.0, generator=Linear(), levels="both")
    with pytest.raises(ValueError, match=r"target \(='x'\) must be one of image, reconstruction"):
        LVAT(1.0, generator=Linear(), target="x")
    with pytest.raises(ValueError, match="standardised"):
        VAT(1.0)(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), smooth_network())
    with pytest.raises(ValueError, match="needs the labels and the network"):
        near_fixed(VAT(1.0), pictures(), torch.arange(3), 0)
