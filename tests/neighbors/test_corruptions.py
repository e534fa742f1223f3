import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from innt_lib.neighbors import corruptions
from innt_lib.neighbors.corruptions import CORRUPTIONS, Corruption
from innt_lib.system.tensors import MEAN, STD

NAMES = list(CORRUPTIONS)
RANDOM = ["gaussian_noise", "shot", "impulse", "speckle", "motion"]
FIXED = [name for name in NAMES if name not in RANDOM]
POINTWISE = ["gaussian_noise", "shot", "impulse", "speckle"]
STRENGTHS = (1, 2, 3, 4, 5)
# The names in the package that carries the published code.
PUBLISHED = {
    "gaussian_noise": "gaussian_noise",
    "shot": "shot_noise",
    "impulse": "impulse_noise",
    "speckle": "speckle_noise",
    "gaussian_blur": "gaussian_blur",
    "defocus": "defocus_blur",
    "zoom": "zoom_blur",
    "brightness": "brightness",
    "contrast": "contrast",
    "pixelate": "pixelate",
    "jpeg": "jpeg_compression",
}


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def constants(dtype=torch.float32):
    return (torch.tensor(c, dtype=dtype).view(3, 1, 1) * 255 for c in (MEAN, STD))


def standardised(pictures):
    """(B, H, W, 3) of 0 to 255 to (B, 3, H, W)."""
    mean, std = constants()
    return (torch.as_tensor(pictures).permute(0, 3, 1, 2).float() - mean) / std


def levels(images):
    """And back: (B, H, W, 3) float64, not rounded."""
    mean, std = constants(torch.float64)
    return (images.double() * std + mean).permute(0, 2, 3, 1).numpy()


def scene(height, width=None, seed=0):
    """Something like a photograph: a sky, coloured shapes with edges, fine grain, black and white."""
    width, rng = width or height, np.random.default_rng(seed)
    large = Image.new("RGB", (4 * width, 4 * height))
    draw = ImageDraw.Draw(large)
    for y in range(4 * height):
        shade = y / (4 * height)
        draw.line((0, y, 4 * width, y), (int(90 + 110 * shade), 150, int(230 - 150 * shade)))
    for _ in range(24):
        x, y = rng.uniform(-0.2, 1, 2) * (4 * width, 4 * height)
        w, h = rng.uniform(0.05, 0.5, 2) * (4 * width, 4 * height)
        draw.ellipse((x, y, x + w, y + h), tuple(rng.integers(0, 256, 3).tolist()))
    small = np.asarray(large.resize((width, height), Image.Resampling.BOX)).astype(float)
    picture = (small + rng.normal(0, 6, small.shape)).clip(0, 255).round().astype(np.uint8)
    picture[:2, :2], picture[-2:, -2:] = 0, 255
    return picture


def scenes(size, count=3):
    return np.stack([scene(size, seed=seed) for seed in range(count)])


def flat(value, size=64, count=1):
    return standardised(np.full((count, size, size, 3), value, dtype=np.uint8))


def corrupt(pictures, name, strength, seed=1, **options):
    return levels(Corruption(name, strength, **options)(standardised(pictures), generator(seed)))


# By hand.


def test_brightness_by_hand():
    picture = np.zeros((1, 8, 8, 3), dtype=np.uint8)
    picture[0, 0, 0], picture[0, 0, 1], picture[0, 0, 2] = (100, 50, 0), (0, 0, 0), (10, 255, 20)
    seen = corrupt(picture, "brightness", 2)[0, 0, :3]  # V grows by 0.2 * 255 = 51
    np.testing.assert_allclose(seen[0], (151, 76, 0), atol=1e-3)  # 50 * 1.51 = 75.5
    np.testing.assert_allclose(seen[1], (51, 51, 51), atol=1e-3)  # black has no hue
    np.testing.assert_allclose(seen[2], (10, 255, 20), atol=1e-3)  # V is at its end


def test_contrast_by_hand():
    picture = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    picture[0, :4, :, 0], picture[1] = 200, 80
    seen = corrupt(picture, "contrast", 1)  # mean 100: 100 + 0.4 * 100, 100 - 0.4 * 100
    np.testing.assert_allclose(np.unique(seen[0, :4, :, 0].round(3)), 140)
    np.testing.assert_allclose(np.unique(seen[0, 4:, :, 0].round(3)), 60)
    np.testing.assert_allclose(seen[0, ..., 1:], 0, atol=1e-3)
    np.testing.assert_allclose(seen[1], 80, atol=1e-3)  # a mean for every picture


def test_pixelate_by_hand():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    seen = corrupt(picture, "pixelate", 5)[0]  # 16 to 4: boxes of 4 x 4
    columns = np.floor(picture[0].reshape(16, 4, 4, 3).mean(2) + 0.5)
    small = np.floor(columns.reshape(4, 4, 4, 3).mean(1) + 0.5)
    np.testing.assert_allclose(seen, small.repeat(4, 0).repeat(4, 1), atol=1e-3)


def response(name, strength, size, seed=1, draws=1):
    """Kernels, from one white pixel: weights (draws, size, size), not rounded to 8 bits."""
    function, parameters = corruptions._TABLE[name]
    drawing = (generator(seed),) if Corruption(name).random else ()
    pixels = torch.zeros(draws, 3, size, size, dtype=torch.float64)
    pixels[..., size // 2, size // 2] = 1
    return function(pixels, *parameters[strength - 1], *drawing)[:, 0].numpy()


def moments(kernel):
    """Sum, mean (x, y) from the middle and covariance."""
    half = len(kernel) // 2
    y, x = np.mgrid[: len(kernel), : len(kernel)] - half
    mean = np.array([(x * kernel).sum(), (y * kernel).sum()])
    second = np.array(
        [[(x * x * kernel).sum(), (x * y * kernel).sum()], [0, (y * y * kernel).sum()]]
    )
    second[1, 0] = second[0, 1]
    return kernel.sum(), mean, second - np.outer(mean, mean)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_gaussian_blur_spreads_a_dot_as_it_should(strength):
    deviation = (1, 2, 3, 4, 6)[strength - 1]
    total, mean, covariance = moments(response("gaussian_blur", strength, 224)[0])
    assert total == pytest.approx(1)
    np.testing.assert_allclose(mean, 0, atol=1e-6)
    np.testing.assert_allclose(covariance, deviation**2 * np.eye(2), atol=deviation**2 * 2e-3)


def test_defocus_is_a_disk():
    kernel = response("defocus", 1, 224)[0]  # its softening is nil
    y, x = np.mgrid[-112:112, -112:112]
    inside = x**2 + y**2 <= 9
    assert inside.sum() == 29
    np.testing.assert_allclose(kernel, inside / 29, atol=1e-6)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_motion_is_half_a_gaussian_along_a_line_with_its_middle_kept(strength):
    radius, deviation = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))[strength - 1]
    i = np.arange(2 * radius + 1)
    weight = np.exp(-(i**2) / (2 * deviation**2))
    weight /= weight.sum()
    variance = (weight * i**2).sum() - (weight * i).sum() ** 2
    angles = []
    for kernel in response("motion", strength, 224, draws=6):
        total, mean, covariance = moments(kernel)
        assert total == pytest.approx(1)
        np.testing.assert_allclose(mean, 0, atol=1e-5)
        # sharing between two pixels adds at most a quarter per axis
        assert variance - 1e-6 <= np.trace(covariance) <= variance + 0.5
        spread, axes = np.linalg.eigh(covariance)
        assert spread[0] < 0.3  # a line
        angles.append(math.degrees(math.atan2(axes[1, 1], axes[0, 1])))
    angles = (np.array(angles) + 90) % 180 - 90
    assert (abs(angles) <= 46).all() and np.ptp(angles) > 10


def test_motion_angles_are_uniform_within_45_degrees():
    kernels = response("motion", 5, 32, draws=400)
    angles = []
    for kernel in kernels:
        _, axes = np.linalg.eigh(moments(kernel)[2] - 0.2 * np.eye(2))
        angles.append(math.degrees(math.atan2(axes[1, 1], axes[0, 1])))
    angles = (np.array(angles) + 90) % 180 - 90
    assert abs(angles.mean()) < 5
    assert angles.std() == pytest.approx(90 / math.sqrt(12), abs=4)


@pytest.mark.parametrize("name", ["gaussian_blur", "defocus", "motion"])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_small_pictures_are_blurred_as_if_enlarged(name, strength):
    """A seventh of the size: a seventh of the spread, and a bit for sharing between pixels."""
    large, small = (response(name, strength, size)[0] for size in (224, 32))
    assert small.sum() == pytest.approx(large.sum())
    _, _, wide = moments(large / large.sum())
    _, mean, narrow = moments(small / small.sum())
    np.testing.assert_allclose(mean, 0, atol=1e-5)
    added = np.trace(narrow) - np.trace(wide) / 49
    assert 0 < added <= 0.5  # E f (1 - f) per axis
    assert small.max() < 0.9  # and not the picture itself


def test_the_published_disk_brightens_where_it_meets_its_edge():
    for strength, total in zip(STRENGTHS, (1, 1, 1, 1.012975, 1.010786), strict=True):
        for size in (32, 224):
            assert response("defocus", strength, size).sum() == pytest.approx(total, abs=1e-6)


def test_large_pictures_have_the_published_pixels():
    for name in ("gaussian_blur", "defocus"):
        small, large = response(name, 3, 224)[0], response(name, 3, 300)[0]
        np.testing.assert_allclose(large[38:262, 38:262], small, atol=1e-7)


# Against other code.


@pytest.mark.parametrize("name", [name for name in FIXED if name != "pixelate"])
def test_equals_the_published_code(name):
    imagecorruptions = pytest.importorskip("imagecorruptions")

    small = scene(60, 45, seed=4)  # where nothing is in pixels
    pictures = [*scenes(224), scene(230, 301, seed=5)]
    if name not in ("gaussian_blur", "defocus"):
        pictures.append(small)
    for picture in pictures:
        for strength in STRENGTHS:
            published = imagecorruptions.corrupt(picture, strength, PUBLISHED[name])
            difference = corrupt(picture[None], name, strength)[0].round() - published
            # It cuts off where this rounds: the same value, or one more.
            assert difference.min() >= 0 and difference.max() <= (0 if name == "jpeg" else 1)


@pytest.mark.parametrize("size", [8, 16, 31, 32, 37, 50, 97, 112, 200, 224])
def test_pixelate_equals_pillow(size):
    picture = scene(size, size + 1)
    for strength, factor in zip(STRENGTHS, (0.6, 0.5, 0.4, 0.3, 0.25), strict=True):
        image, box = Image.fromarray(picture), Image.Resampling.BOX
        small = image.resize((int((size + 1) * factor), int(size * factor)), box)
        expected = np.asarray(small.resize(image.size, box))
        np.testing.assert_array_equal(
            corrupt(picture[None], "pixelate", strength)[0].round(), expected
        )


def test_brightness_equals_hsv_of_scikit_image():
    from skimage.color import hsv2rgb, rgb2hsv

    picture = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    picture[0, :8] //= 60  # dark ones, black among them
    hsv = rgb2hsv(picture[0] / 255)
    hsv[..., 2] = (hsv[..., 2] + 0.3).clip(0, 1)
    seen = corrupt(picture, "brightness", 3)[0]
    np.testing.assert_allclose(seen, hsv2rgb(hsv) * 255, atol=0.501)


@pytest.mark.parametrize("name", POINTWISE)
@pytest.mark.parametrize("strength", STRENGTHS)
def test_noise_has_the_moments_of_the_published_code(name, strength):
    imagecorruptions = pytest.importorskip("imagecorruptions")

    np.random.seed(0)
    for picture in (np.full((160, 160, 3), 128, dtype=np.uint8), scene(160)):
        options = {"seed": 0} if name == "impulse" else {}
        published = imagecorruptions.corrupt(picture, strength, PUBLISHED[name], **options)
        theirs = published.astype(float) - picture
        ours = corrupt(picture[None], name, strength)[0] - picture
        error = 4 * theirs.std() / math.sqrt(theirs.size)  # four standard errors
        assert ours.mean() == pytest.approx(theirs.mean() + 0.5, abs=0.5 + 2 * error)
        assert ours.std() == pytest.approx(theirs.std(), rel=0.02)


# The draws.


def test_gaussian_and_speckle_moments():
    for name, expected in (("gaussian_noise", 0.08 * 255), ("speckle", 0.15 * 100)):
        change = corrupt(np.full((2, 128, 128, 3), 100, dtype=np.uint8), name, 1) - 100
        assert change.mean() == pytest.approx(0, abs=0.25)
        assert change.std() == pytest.approx(expected, rel=0.01)


def test_speckle_and_shot_leave_black_alone():
    for name in ("speckle", "shot"):
        black = flat(0)
        torch.testing.assert_close(Corruption(name, 5)(black, generator()), black)


def test_shot_counts_photons():
    seen = corrupt(np.full((2, 128, 128, 3), 102, dtype=np.uint8), "shot", 3)  # 12 * 0.4 = 4.8
    counts = (seen / 255 * 12).round()
    np.testing.assert_allclose(seen, np.floor(counts * 255 / 12 + 0.5).clip(0, 255), atol=1e-3)
    for count in range(8):
        expected = math.exp(-4.8) * 4.8**count / math.factorial(count)
        assert (counts == count).mean() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_impulse_is_half_salt_half_pepper(strength):
    share = (0.03, 0.06, 0.09, 0.17, 0.27)[strength - 1]
    grey = np.full((4, 128, 128, 3), 77, dtype=np.uint8)
    values = corrupt(grey, "impulse", strength).round()
    pixels = corrupt(grey, "impulse", strength, per_pixel=True).round()
    for seen in (values, pixels):
        assert set(np.unique(seen)) == {0, 77, 255}
        for extreme in (0, 255):
            assert (seen == extreme).mean() == pytest.approx(share / 2, abs=0.004)
    assert (pixels == pixels[..., :1]).all()
    hit = values != 77
    both = (hit[..., 0] & hit[..., 1]).mean()
    assert both == pytest.approx(share**2, abs=0.004)  # channels by themselves


@pytest.mark.parametrize("name", RANDOM)
def test_draws_are_repeatable_differ_and_depend_on_the_generator_alone(name):
    images, corruption = standardised(scenes(32)), Corruption(name, 3)
    first = corruption(images, generator(3))
    torch.manual_seed(5)
    assert torch.equal(corruption(images, generator(3)), first)
    assert not torch.equal(corruption(images, generator(4)), first)
    torch.manual_seed(3)
    assert torch.equal(corruption(images), first)  # PyTorch's own generator
    same = corruption(images[:1].repeat(2, 1, 1, 1), generator(3))
    assert not torch.equal(same[0], same[1])  # every picture its own draws


@pytest.mark.parametrize("name", NAMES)
def test_random_says_whether_it_draws(name):
    drawing = generator()
    before = drawing.get_state()
    Corruption(name)(standardised(scenes(32)), drawing)
    assert Corruption(name).random == (name in RANDOM)
    assert torch.equal(drawing.get_state(), before) != Corruption(name).random


# What holds for all.


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [32, 64, 224])
def test_stronger_changes_more(name, size):
    pictures = scenes(size)
    changes = [abs(corrupt(pictures, name, s) - pictures).mean() for s in STRENGTHS]
    assert changes[0] > 0.5
    assert changes == sorted(changes) and len(set(changes)) == 5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [8, 9, 16, 21])
def test_no_picture_is_so_small_that_nothing_happens(name, size):
    pictures = scenes(size)
    for strength in STRENGTHS:
        assert (abs(corrupt(pictures, name, strength) - pictures).max((1, 2, 3)) > 0.9).all()


@settings(max_examples=60)
@given(
    name=st.sampled_from(NAMES),
    strength=st.integers(1, 5),
    height=st.integers(8, 40),
    width=st.integers(8, 40),
    count=st.integers(0, 3),
    seed=st.integers(0, 2**31),
    beyond=st.booleans(),
    double=st.booleans(),
)
def test_clipped_and_on_the_8_bit_grid(name, strength, height, width, count, seed, beyond, double):
    images = torch.randn(count, 3, height, width, generator=generator(seed))
    images = (images * (9 if beyond else 1)).to(torch.float64 if double else torch.float32)
    original = images.clone()
    seen = Corruption(name, strength)(images, generator(seed))
    assert torch.equal(images, original)
    assert seen.shape == images.shape and seen.dtype == images.dtype
    values = levels(seen)
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values, values.round().clip(0, 255), atol=1e-3)
    if not double:  # to the last bit what a picture of 8 bits would be
        assert torch.equal(seen, standardised(values.round().astype(np.uint8)))


@settings(max_examples=30)
@given(
    name=st.sampled_from(["gaussian_blur", "defocus", "motion", "zoom", "contrast", "pixelate"]),
    strength=st.integers(1, 5),
    size=st.integers(8, 60),
    level=st.integers(0, 255),
)
def test_means_leave_one_colour_alone(name, strength, size, level):
    if name == "defocus":
        strength = min(strength, 3)  # the others brighten
    image = flat(level, size)
    torch.testing.assert_close(Corruption(name, strength)(image, generator()), image)


@settings(max_examples=30)
@given(
    name=st.sampled_from(["gaussian_blur", "defocus", "contrast"]),
    strength=st.integers(1, 5),
    size=st.integers(8, 48),
)
def test_symmetric_ones_do_not_care_for_left_and_right(name, strength, size):
    pictures = scenes(size, 1)
    mirrored = corrupt(pictures[:, :, ::-1].copy(), name, strength)[:, :, ::-1]
    # A half may be rounded up here and down there.
    assert abs(corrupt(pictures, name, strength) - mirrored).max() < 1.01


@pytest.mark.parametrize("name", NAMES)
def test_layout_does_not_matter_and_is_kept(name):
    images, corruption = standardised(scenes(40)).contiguous(), Corruption(name, 4)
    expected = corruption(images, generator())
    assert expected.is_contiguous()
    last = images.to(memory_format=torch.channels_last)
    seen = corruption(last, generator())
    assert torch.equal(seen, expected) and seen.stride() == last.stride()
    turned = images.transpose(2, 3).contiguous().transpose(2, 3)
    assert torch.equal(corruption(turned, generator()), expected)
    every_other = images.repeat_interleave(2, 3)[..., ::2]
    assert torch.equal(corruption(every_other, generator()), expected)


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize("size", [32, 224])
def test_a_batch_is_its_pictures_one_by_one(name, size):
    images, corruption = standardised(scenes(size, 5)), Corruption(name, 3)
    whole = levels(corruption(images))
    single = levels(torch.cat([corruption(image[None]) for image in images]))
    # Sums of another order may round a half otherwise, rarely.
    assert abs(whole - single).max() < 1.01 and (abs(whole - single) > 0.5).mean() < 1e-4


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_dtypes_come_back(name, dtype):
    images = standardised(scenes(32, 2)).to(dtype)
    seen = Corruption(name, 2)(images, generator())
    assert seen.dtype == dtype and seen.shape == images.shape and seen.isfinite().all()
    if name in FIXED:
        reference = Corruption(name, 2)(images.float())
        assert abs(levels(seen) - levels(reference)).mean() < 1  # bfloat16 has 8 bits itself


@pytest.mark.parametrize("name", NAMES)
def test_autocast_and_gradients_do_not_reach_in(name):
    images = standardised(scenes(48)).requires_grad_()
    expected = Corruption(name, 3)(images, generator())
    assert not expected.requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(Corruption(name, 3)(images, generator()), expected)


# What is refused.


def test_strengths_are_whole_numbers_from_1_to_5():
    assert Corruption("shot", 3.0) == Corruption("shot", 3) == Corruption("shot")
    assert repr(Corruption("shot", 3.0)) == repr(Corruption("shot", 3))
    assert Corruption("shot", np.float64(2.0)).strength == 2
    for strength in (0, 6, -1, 2.5, True, math.nan, math.inf, "3", None):
        with pytest.raises(
            ValueError, match=r"strength \(=.*\) must be a whole number from 1 to 5"
        ):
            Corruption("shot", strength)


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(ValueError, match=r"'fog'.*gaussian_noise, shot, impulse.*jpeg"):
        Corruption("fog")


def test_whole_pixels_are_for_impulse_alone():
    assert Corruption("impulse", per_pixel=True).per_pixel
    for name in NAMES:
        if name != "impulse":
            with pytest.raises(
                ValueError, match=f"per_pixel .=True. is for impulse, not for {name}"
            ):
                Corruption(name, per_pixel=True)


@pytest.mark.parametrize("name", NAMES)
def test_images_that_are_no_standardised_batch_are_refused(name):
    for images in (
        torch.zeros(3, 8, 8),
        torch.zeros(1, 1, 8, 8),
        torch.zeros(1, 3, 4, 8, 8),
        torch.zeros(1, 3, 8, 8).byte(),
        torch.zeros(1, 3, 7, 8),
        torch.zeros(1, 3, 8, 7),
    ):
        with pytest.raises(ValueError, match=r"must be standardised: .*\(B, 3, H, W\), H and W at"):
            Corruption(name)(images)
