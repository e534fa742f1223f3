import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from innt_lib.neighbors import (
    GaussianNoise,
    NeighborhoodNoise,
    at_severity,
    make_neighbor,
    near_fixed,
)


def batch(n=4, size=6, seed=0):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def test_gaussian_is_equation_7_by_hand():
    images = batch()
    field = torch.empty_like(images).normal_(generator=generator())
    for i, image in enumerate(images):
        expected = image + 0.15 * (image.max() - image.min()) * field[i]
        torch.testing.assert_close(GaussianNoise(0.15)(images, generator())[i], expected)


def test_gaussian_ranges_differ_and_follow_their_definition():
    images = batch()
    field = torch.empty_like(images).normal_(generator=generator())
    channel = GaussianNoise(0.2, range="channel")(images, generator())
    image = images[1, 2]
    torch.testing.assert_close(
        channel[1, 2], image + 0.2 * (image.max() - image.min()) * field[1, 2]
    )
    whole = GaussianNoise(0.2, range="batch")(images, generator())
    torch.testing.assert_close(whole, images + 0.2 * (images.max() - images.min()) * field)


def test_neighborhood_forms_by_hand():
    images = batch()
    u = torch.empty_like(images).uniform_(-1, 1, generator=generator())
    torch.testing.assert_close(NeighborhoodNoise(1.5)(images, generator()), images * (1 + 1.5 * u))
    torch.testing.assert_close(
        NeighborhoodNoise(1.5, form="additive")(images, generator()), images + 1.5 * u
    )


def test_moments_of_the_fields():
    flat = torch.ones(8, 3, 64, 64)
    flat[..., 0] = 0  # a range of 1
    noise = GaussianNoise(0.5)(flat, generator()) - flat
    assert noise.std().item() == pytest.approx(0.5, rel=0.01)
    moved = NeighborhoodNoise(2.0, form="additive")(flat, generator()) - flat
    assert moved.std().item() == pytest.approx(2 / math.sqrt(3), rel=0.01)


@given(st.floats(0, 5), st.integers(0, 2**31))
def test_neighborhood_stays_within_its_radius(strength, seed):
    images = batch(2, 4)
    for form, radius in (("multiplicative", images.abs() * strength), ("additive", strength)):
        moved = NeighborhoodNoise(strength, form=form)(images, generator(seed)) - images
        assert (moved.abs() <= radius + 1e-5).all()


@pytest.mark.parametrize("noise", [GaussianNoise(), NeighborhoodNoise()])
def test_same_generator_same_noise_and_strength_0_changes_nothing(noise):
    images = batch()
    assert torch.equal(noise(images, generator(3)), noise(images, generator(3)))
    assert not torch.equal(noise(images, generator(3)), noise(images, generator(4)))
    assert torch.equal(type(noise)(0.0)(images, generator()), images)
    assert noise(images.double(), generator()).dtype == torch.float64
    other_layout = images.to(memory_format=torch.channels_last)
    assert torch.equal(noise(images, generator(3)), noise(other_layout, generator(3)))


def test_fixed_noise_depends_on_image_and_seed_alone():
    images, noise = batch(6), GaussianNoise()
    ids = torch.arange(6)
    whole = near_fixed(noise, images, ids, seed=0)
    assert torch.equal(near_fixed(noise, images[2:4], ids[2:4], seed=0), whole[2:4])
    assert torch.equal(near_fixed(noise, images.flip(0), ids.flip(0), seed=0), whole.flip(0))
    assert not torch.equal(near_fixed(noise, images, ids, seed=1), whole)
    assert not torch.equal(whole[0] - images[0], whole[1] - images[1])


@pytest.mark.parametrize("strength", [-0.1, math.nan, math.inf])
def test_bad_strength_is_named(strength):
    for make in (GaussianNoise, NeighborhoodNoise):
        with pytest.raises(ValueError, match=f"strength .={strength}"):
            make(strength)


@pytest.mark.parametrize("noise", [GaussianNoise(), NeighborhoodNoise()])
def test_images_that_are_no_standardised_batch_are_refused(noise):
    for images in (
        torch.zeros(3, 8, 8),
        torch.zeros(1, 3, 4, 8, 8),
        torch.zeros(1, 3, 8, 8).byte(),
    ):
        with pytest.raises(ValueError, match="must be standardised: floating point, .B, C, H, W."):
            noise(images)


def test_one_scale_for_all_neighbours():
    assert at_severity("gaussian", 3) == GaussianNoise(0.15)
    assert at_severity("neighborhood", 3) == NeighborhoodNoise(1.0)
    assert at_severity("gaussian", 5).strength == pytest.approx(0.25)
    assert at_severity("shot", 4.0) == make_neighbor("shot", 4)
    assert at_severity("pgd", 2) == make_neighbor("pgd", 2.0)
    for severity in (0, 6, 2.5, True, math.nan):
        for name in ("gaussian", "shot", "fgsm"):
            with pytest.raises(
                ValueError, match=r"severity \(=.*\) must be a whole number from 1 to 5"
            ):
                at_severity(name, severity)
    with pytest.raises(ValueError, match=r"noise \(='fog'\) must be one of gaussian, .*shot.*jpeg"):
        at_severity("fog", 3)


def test_which_neighbours_know_chance():
    known = ("gaussian", "neighborhood", "pgd", "shot", "motion")
    assert all(at_severity(name, 3).random for name in known)
    assert not any(at_severity(name, 3).random for name in ("fgsm", "jpeg", "zoom"))


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(ValueError, match=r"'salt'.*gaussian, neighborhood"):
        make_neighbor("salt", 0.1)
    with pytest.raises(ValueError, match=r"'pixel'.*image, channel, batch"):
        GaussianNoise(range="pixel")
    with pytest.raises(ValueError, match=r"'other'.*multiplicative, additive"):
        NeighborhoodNoise(form="other")
    assert make_neighbor("neighborhood", 2.0, noise_form="additive") == NeighborhoodNoise(
        2, "additive"
    )
