"""Attacks against captum's, by hand, and what must hold for any of them."""

from __future__ import annotations

import captum.robust
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from innt_lib.learn.networks import build
from innt_lib.neighbors import Attack, make_neighbor, near, near_fixed
from innt_lib.neighbors.attacks import loss_gradient
from innt_lib.system.tensors import MEAN, STD

MEANS, STDS = (torch.tensor(c).view(3, 1, 1) for c in (MEAN, STD))


def pixels(n: int = 4, size: int = 16, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def standardised(of: Tensor) -> Tensor:
    return (of - MEANS.to(of)) / STDS.to(of)


def network(name: str = "smallcnn") -> nn.Module:
    net = build(name, 5)
    with torch.no_grad():  # running averages that are not those of a new network
        net(standardised(pixels(16, 16, 1)))
    return net


class OnPixels(nn.Module):
    """What captum attacks: a network of pixels in [0, 1]."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(standardised(x))


LABELS = torch.tensor([0, 1, 2, 3])


@pytest.mark.filterwarnings("ignore:Input Tensor")
@pytest.mark.parametrize("radius", [0.5, 2.0, 8.0])
def test_one_step_is_captums_fgsm(radius):
    net, x = network().double().eval(), pixels().double()
    loss = nn.CrossEntropyLoss(reduction="none")
    fgsm = captum.robust.FGSM(OnPixels(net), loss, lower_bound=0.0, upper_bound=1.0)
    fgsm.zero_thresh = 0.0  # by default it takes gradients below 1e-6 for none
    expected = standardised(fgsm.perturb(x, epsilon=radius / 255, target=LABELS).detach())
    found = Attack(radius)(standardised(x), LABELS, net)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Input Tensor")
@pytest.mark.parametrize("steps", [2, 5])
def test_more_steps_are_captums_pgd(steps):
    net, x, radius = network().double().eval(), pixels().double(), 4 / 255
    loss = nn.CrossEntropyLoss(reduction="none")
    pgd = captum.robust.PGD(OnPixels(net), loss, lower_bound=0.0, upper_bound=1.0)
    pgd.fgsm.zero_thresh = 0.0
    expected = pgd.perturb(
        x, radius, 2.5 * radius / steps, steps, target=LABELS, random_start=False, norm="Linf"
    )
    found = Attack(4.0, steps, random_start=False)(standardised(x), LABELS, net)
    torch.testing.assert_close(found, standardised(expected.detach()), rtol=0, atol=1e-5)


def a_mask(soft: bool = False) -> Tensor:
    found = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(5))
    return found if soft else (found < 0.5).float()


@pytest.mark.filterwarnings("ignore:Input Tensor")
@pytest.mark.parametrize("steps", [1, 4])
def test_with_a_mask_it_is_captums(steps):
    net, x, mask, radius = network().double().eval(), pixels().double(), a_mask().double(), 6 / 255
    loss = nn.CrossEntropyLoss(reduction="none")
    if steps == 1:
        fgsm = captum.robust.FGSM(OnPixels(net), loss, lower_bound=0.0, upper_bound=1.0)
        fgsm.zero_thresh = 0.0
        expected = fgsm.perturb(x, epsilon=radius, target=LABELS, mask=mask)
    else:
        pgd = captum.robust.PGD(OnPixels(net), loss, lower_bound=0.0, upper_bound=1.0)
        pgd.fgsm.zero_thresh = 0.0
        expected = pgd.perturb(
            x, radius, 2.5 * radius / steps, steps, target=LABELS, mask=mask, norm="Linf"
        )
    found = Attack(6.0, steps, random_start=False)(standardised(x), LABELS, net, where=mask)
    torch.testing.assert_close(found, standardised(expected.detach()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_masked_stays_bit_for_bit(steps, dtype):
    net, x, mask = network().to(dtype), standardised(pixels().to(dtype)), a_mask()
    x[0, 0, 0, :4] = 9.0  # out of range, as noisy pictures are
    mask[0, 0, 0, :4] = 0.0
    start = torch.Generator().manual_seed(0)
    found = Attack(8.0, steps, random_start=True)(x, LABELS, net, start, mask)
    kept = (mask == 0).expand_as(x)
    assert torch.equal(found[kept], x[kept]) and not torch.equal(found, x)
    soft = a_mask(soft=True)
    moved = (Attack(8.0, steps)(standardised(pixels()), LABELS, network(), start, soft)
             - standardised(pixels())) * STDS  # fmt: skip
    assert (moved.abs() <= soft * 8 / 255 + 1e-6).all()


def test_a_gradient_that_is_known_saves_a_pass():
    net, x = network().eval(), standardised(pixels())
    leaf = x.clone().requires_grad_()
    gradient = loss_gradient(net(leaf), LABELS, leaf)
    calls = []
    net.register_forward_hook(lambda *_: calls.append(1))
    for steps in (1, 3):
        attack = Attack(2.0, steps, random_start=False)
        known = attack.search(x, LABELS, net, attack.start(x), gradient=gradient)
        assert len(calls) == steps - 1
        assert torch.equal(known, attack(x, LABELS, net))
        calls.clear()


def test_by_hand_every_pixel_goes_up_where_that_hurts():
    """The logits are (mean of red, 0): label 0 suffers where red falls, label 1 where it grows."""
    head = nn.Conv2d(3, 2, 1, bias=False)
    head.weight.data = torch.tensor([[1.0, 0, 0], [0, 0, 0]]).view(2, 3, 1, 1)
    net = nn.Sequential(head, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x = standardised(torch.full((2, 3, 2, 2), 0.5))
    moved = Attack(51.0)(x, torch.tensor([0, 1]), net) * STDS + MEANS
    torch.testing.assert_close(moved[0, 0], torch.full((2, 2), 0.3))
    torch.testing.assert_close(moved[1, 0], torch.full((2, 2), 0.7))
    torch.testing.assert_close(moved[:, 1:], torch.full((2, 2, 2, 2), 0.5))  # no gradient, no step


@given(st.floats(0, 64), st.integers(1, 3), st.integers(0, 1000))
def test_stays_in_the_ball_and_in_range(radius, steps, seed):
    net, x = network(), standardised(pixels(2, 16, seed))
    start = torch.Generator().manual_seed(seed)
    found = Attack(radius, steps, random_start=True)(x, LABELS[:2], net, start)
    moved = (found - x) * STDS
    assert moved.abs().max() <= radius / 255 + 1e-6
    inside = found * STDS + MEANS
    assert inside.min() >= -1e-6 and inside.max() <= 1 + 1e-6


def test_strength_0_changes_nothing_and_more_raises_the_loss():
    net, x = network().eval(), standardised(pixels())

    def loss(of: Tensor) -> float:
        return float(nn.functional.cross_entropy(net(of), LABELS).detach())

    assert torch.equal(Attack(0.0, 3, random_start=False)(x, LABELS, net), x)
    assert loss(x) < loss(Attack(1.0)(x, LABELS, net)) < loss(Attack(4.0, 5)(x, LABELS, net))


def test_leaves_nothing_behind():
    net, x = network("resnet20").train(), standardised(pixels())
    net.head[0].eval()  # a mode of its own
    before = {k: v.clone() for k, v in net.state_dict().items()}
    modes = [m.training for m in net.modules()]
    parameters = list(net.parameters())
    parameters[0].grad = torch.ones_like(parameters[0])
    found = Attack(2.0, 2)(x, LABELS, net)
    assert not found.requires_grad
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert [m.training for m in net.modules()] == modes
    assert torch.equal(parameters[0].grad, torch.ones_like(parameters[0]))
    assert all(p.grad is None for p in parameters[1:])
    with torch.inference_mode():
        assert torch.equal(Attack(2.0, 2, random_start=False)(x, LABELS, net).clone(),
                           Attack(2.0, 2, random_start=False)(x, LABELS, net))  # fmt: skip


def test_is_aimed_in_evaluation_mode():
    """In training mode batch normalisation would mix the pictures of the batch."""
    net, x = network("resnet20").train(), standardised(pixels())
    alone = torch.cat([Attack(2.0)(x[i : i + 1], LABELS[i : i + 1], net) for i in range(4)])
    torch.testing.assert_close(Attack(2.0)(x, LABELS, net), alone)


def test_fixed_start_depends_on_image_and_seed_alone():
    net, x, ids = network().eval(), standardised(pixels()), torch.tensor([5, 1, 7, 3])
    pgd = make_neighbor("pgd", 4.0)
    assert pgd == Attack(4.0, 5, random_start=True)
    whole = near_fixed(pgd, x, ids, 0, LABELS, net)
    part = near_fixed(pgd, x[1:3], ids[1:3], 0, LABELS[1:3], net)
    torch.testing.assert_close(part, whole[1:3])
    assert not torch.equal(near_fixed(pgd, x, ids, 1, LABELS, net), whole)


def test_by_name():
    assert make_neighbor("fgsm", 1.0) == Attack(1.0)
    assert make_neighbor("pgd20", 1.0).steps == 20
    net, x = network().eval(), standardised(pixels())
    assert torch.equal(near(Attack(1.0), x, LABELS, net), Attack(1.0)(x, LABELS, net))


def test_bad_input():
    with pytest.raises(ValueError, match=r"strength \(=-1\) of an attack.*1/255"):
        Attack(-1)
    with pytest.raises(ValueError, match=r"steps \(=0\)"):
        Attack(1.0, 0)
    with pytest.raises(ValueError, match="standardised"):
        Attack(1.0)(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), LABELS[:2], network())
    with pytest.raises(ValueError, match="needs the labels and the network"):
        near_fixed(Attack(1.0), standardised(pixels()), torch.arange(4), 0)
    with pytest.raises(ValueError, match=r"noise \(='fgms'\) must be one of .*fgsm"):
        make_neighbor("fgms", 1.0)
