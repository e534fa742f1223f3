"""CAMs against maps by hand, pytorch-grad-cam, a plain loop, and what must hold for any input."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor, nn

from innt_lib.explain.cam import CAMS, cam, explain, explain_all
from innt_lib.explain.gradient_cams import GRADIENT_CAMS, gradient_cam, head_gradient
from innt_lib.explain.gradient_free_cams import Weighting, ablation_cam, eigen_cam, score_cam
from innt_lib.explain.seam import to_image_size
from innt_lib.learn.networks import build
from innt_lib.learn.split import SplitNetwork
from innt_lib.system.tensors import evaluating

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _linear(weights: list[list[float]]) -> nn.Linear:
    layer = nn.Linear(len(weights[0]), len(weights), bias=False)
    layer.weight.data = torch.tensor(weights)
    return layer


def _pooled(weights: list[list[float]]) -> SplitNetwork:
    """A is the image itself; a class's logit weighs the channel means."""
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), _linear(weights))
    return SplitNetwork(nn.Identity(), head)


@cache
def _net(name: str) -> SplitNetwork:
    if name == "vgglike":  # in-place ReLUs on both sides of the seam, and a head that is not linear
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            features = nn.Sequential(
                nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
                nn.Conv2d(6, 9, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            )  # fmt: skip
            head = nn.Sequential(
                nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Dropout(), nn.Linear(81, 16),
                nn.ReLU(inplace=True), nn.Linear(16, 10),
            )  # fmt: skip
            return SplitNetwork(features, head).eval()
    return build(name, 10, seed=3).eval()


def _images(n: int, height: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(n, 3, height, width, generator=torch.Generator().manual_seed(seed))


# --- by hand -------------------------------------------------------------------------------------

A = torch.tensor([[[[4.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 24.0]]]])
CLASS = torch.tensor([1])


def test_grad_cam_by_hand() -> None:
    network = _pooled([[1.0, -1.0], [2.0, 1.0]])
    # dy/dA = W / 4 everywhere, and so is its mean.
    maps, logits = gradient_cam("gradcam", A, network.head, torch.tensor([0]))
    assert maps.tolist() == [[[1.0, 0.0], [0.0, 0.0]]]  # 1/4 * 4; -1/4 * 24 is cut
    assert logits.tolist() == [[-5.0, 8.0]]
    assert gradient_cam("gradcam", A, network.head, CLASS).maps.tolist() == [
        [[2.0, 0.0], [0.0, 6.0]]
    ]


def test_grad_cam_pp_by_hand() -> None:
    network = _pooled([[1.0, -1.0], [2.0, 1.0]])
    # Channel 0: g = 1/2, sum(A) = 4: w = 4 * (1/2) / (2 + 2) = 1/2; channel 1: g = 1/4, sum = 24:
    # w = 4 * (1/4) / (2 + 6) = 1/8.
    assert gradient_cam("gradcam++", A, network.head, CLASS).maps.tolist() == [
        [[2.0, 0.0], [0.0, 3.0]]
    ]
    # Negative gradients weigh nothing: channel 0: w = 4 * (1/4) / (2 + 1) = 1/3.
    maps = gradient_cam("gradcam++", A, network.head, torch.tensor([0])).maps
    torch.testing.assert_close(maps, torch.tensor([[[4 / 3, 0.0], [0.0, 0.0]]]))


def test_grad_cam_pp_survives_tiny_gradients_and_a_zero_denominator() -> None:
    tiny = gradient_cam(
        "gradcam++", A, _pooled([[1e-25, 0.0], [0.0, 0.0]]).head, torch.tensor([0])
    ).maps
    torch.testing.assert_close(tiny * 1e25, torch.tensor([[[2.0, 0.0], [0.0, 0.0]]]))
    zero = gradient_cam(
        "gradcam++", -A, _pooled([[2.0, 0.0], [0.0, 0.0]]).head, torch.tensor([0])
    ).maps
    assert zero.isfinite().all()  # 2 + 1/2 * -4 = 0


def test_layer_cam_by_hand() -> None:
    head = nn.Sequential(nn.Flatten(), _linear([[3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -2.0]]))
    maps = gradient_cam("layercam", A + 1, head, torch.tensor([0])).maps
    # A + 1 = [5 1; 1 1], [1 1; 1 25] under positive gradients [3 1; 1 1], [1 1; 1 0].
    assert maps.tolist() == [[[16.0, 2.0], [2.0, 1.0]]]


def test_score_cam_by_hand() -> None:
    network = _pooled([[1.0, 0.0], [0.0, 1.0]])
    x = torch.tensor([[[[4.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 8.0]]]])
    # Seen through map 0 the channel means are (1, 0), through map 1 they are (0, 2).
    weights = (math.e / (math.e + 1), 1 / (1 + math.e**2))
    maps, logits = score_cam(x, network, torch.tensor([0]), x)
    expected = torch.tensor([[[4 * weights[0], 0.0], [0.0, 8 * weights[1]]]])
    torch.testing.assert_close(maps, expected)
    assert logits.tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("weighting", ["probability", "channel_softmax"])
def test_score_cam_skips_flat_channels(weighting: Weighting) -> None:
    x = torch.tensor([[[[4.0, 0.0], [0.0, 0.0]], [[0.5, 0.5], [0.5, 0.5]]]])
    network = _pooled([[0.0, 0.0], [0.0, 0.0]])
    maps = score_cam(x, network, torch.tensor([0]), x, weighting=weighting).maps
    share = 0.5 if weighting == "probability" else 1.0  # of two classes, of one channel that sees
    assert maps.tolist() == [[[4 * share, 0.0], [0.0, 0.0]]]


def test_to_image_size_by_hand() -> None:
    raw = torch.tensor([[[-5.0, 1.0, 3.0]], [[2.0, 2.0, 2.0]], [[-1.0, -2.0, -3.0]]])
    assert to_image_size(raw, (2, 3)).tolist() == [
        [[0.0, torch.tensor(1 / 3).item(), 1.0]] * 2,
        [[0.0] * 3] * 2,  # flat: nothing stands out
        [[0.0] * 3] * 2,  # nothing positive
    ]
    # Bilinear with pixel centres: of 0, 1 over four pixels 0, 1/4, 3/4, 1.
    assert to_image_size(torch.tensor([[[0.0, 7.0]]]), (1, 4)).tolist() == [[[0, 0.25, 0.75, 1]]]
    assert to_image_size(torch.tensor([[[math.nan, 1.0]]]), (2, 2)).isnan().all()
    with pytest.raises(ValueError, match=r"\(1, 2\).*\(B, h, w\)"):
        to_image_size(torch.zeros(1, 2), (4, 4))


# --- against others ------------------------------------------------------------------------------


def _oracle(name: str, network: SplitNetwork, images: Tensor, targets: Tensor) -> Tensor:
    grad_cam_package = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    method = {
        "gradcam": grad_cam_package.GradCAM,
        "gradcam++_as_in_library": grad_cam_package.GradCAMPlusPlus,
        "xgradcam": grad_cam_package.XGradCAM,
        "hirescam": grad_cam_package.HiResCAM,
        "layercam": grad_cam_package.LayerCAM,
        "ablationcam": grad_cam_package.AblationCAM,
        "eigencam_as_in_library": grad_cam_package.EigenCAM,
        "scorecam": grad_cam_package.ScoreCAM,
    }[name]
    with method(network, [network.features]) as oracle:
        maps = oracle(images, [ClassifierOutputTarget(int(target)) for target in targets])
    network.zero_grad(set_to_none=True)
    return torch.from_numpy(maps)


@pytest.mark.parametrize(
    ("net", "height", "width"),
    [("smallcnn", 48, 48), ("vgglike", 20, 28), ("resnet18", 64, 64), ("alexnet", 95, 64)],
)
@pytest.mark.parametrize("name", sorted(CAMS.keys() - {"gradcam++", "eigencam"}))
def test_agrees_with_pytorch_grad_cam(name: str, net: str, height: int, width: int) -> None:
    if name == "scorecam" and net == "alexnet":
        pytest.skip("slow; vgglike has the same in-place layers")
    network, images = _net(net), _images(2, height, width)
    with torch.no_grad():  # of the predicted class: the library turns Ablation-CAM over where y < 0
        targets = network(images).argmax(1)
    if name == "scorecam":
        images, targets = images[:1], targets[:1]  # the oracle takes a second an image
        activations = network.features(images).detach()
        raw = score_cam(activations, network, targets, images, weighting="channel_softmax")
        maps = to_image_size(raw.maps, (height, width))
    else:
        maps = cam(name, network, images, targets)
    expected = _oracle(name, network, images, targets)
    assert (expected.amax((1, 2)) > 0.9).any()  # no comparison of zero maps alone
    torch.testing.assert_close(maps, expected, atol=2e-4, rtol=0)


def test_average_pooling_and_a_linear_layer_make_three_cams_one() -> None:
    """g is w / hw everywhere: Grad-CAM = XGrad-CAM = HiResCAM, whose sum is y less the bias."""
    network = build("resnet20", 10, seed=1).double().eval()
    images, targets = _images(3, 32, 32).double(), torch.tensor([1, 7, 3])
    a, g, logits = head_gradient(network.features(images).detach(), network.head, targets)
    maps = {name: GRADIENT_CAMS[name](a, g) for name in GRADIENT_CAMS}
    torch.testing.assert_close(maps["xgradcam"], maps["gradcam"], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(maps["hirescam"], maps["gradcam"], rtol=1e-9, atol=1e-12)
    bias, own = network.head[-1].bias, logits.gather(1, targets[:, None]).squeeze(1)
    torch.testing.assert_close((g * a).sum((1, 2, 3)), own - bias[targets])
    weights = network.head[-1].weight[targets] / a[0, 0].numel()
    layer = (weights.relu()[:, :, None, None] * a).sum(1)
    torch.testing.assert_close(maps["layercam"], layer)
    ablated = ablation_cam(a, network.head, targets).maps
    shares = weights[:, :, None, None] * a.sum((2, 3), keepdim=True)
    torch.testing.assert_close(ablated, (shares * a).sum(1).relu())


def test_ablation_cam_by_hand_and_in_any_chunks() -> None:
    """The second of two maps is worth twice what the first is; the third is empty."""
    head = _pooled([[1.0, 2.0, 5.0], [0.0, 0.0, 0.0]]).head
    a = torch.tensor([[[[4.0, 0.0]], [[0.0, 4.0]], [[0.0, 0.0]]]])
    for chunk in (1, 64):
        found = ablation_cam(a, head, torch.tensor([0]), chunk=chunk)
        assert found.maps.tolist() == [[[8.0, 16.0]]]  # weights 2, 4 and 0
    assert not ablation_cam(a, head, torch.tensor([1])).maps.any()
    with pytest.raises(ValueError, match=r"chunk \(=0\) must be at least 1"):
        ablation_cam(a, head, chunk=0)


def test_ablation_cam_survives_heads_that_write_on_its_copies() -> None:
    """One filling serves all chunks of an image, unless the head changes it: nothing may remain."""
    torch.manual_seed(0)
    a, targets = torch.randn(2, 9, 4, 5), torch.tensor([0, 2])
    linear = nn.Sequential(nn.Flatten(), nn.Linear(180, 3))
    for chunk in (1, 4, 64):
        found = ablation_cam(a, lambda x: linear(x.sub_(0.3).exp_()), targets, chunk=chunk).maps
        expected = ablation_cam(a, lambda x: linear((x - 0.3).exp()), targets, chunk=chunk).maps
        assert torch.equal(found, expected)
        one_by_one = []
        for k in range(9):
            without = a.clone()
            without[:, k] = 0
            lost = linear((a - 0.3).exp()) - linear((without - 0.3).exp())
            one_by_one.append(lost.gather(1, targets[:, None])[..., None] * a[:, k])
        torch.testing.assert_close(found, sum(one_by_one).relu(), atol=1e-4, rtol=1e-4)


@given(st.integers(0, 10**6), st.sampled_from([(3, 5, 7), (40, 2, 3)]))
def test_eigen_cam_is_the_first_singular_vector_with_its_positive_sign(seed, shape) -> None:
    channels, height, width = shape
    a = torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(seed))
    maps = eigen_cam(a.double())
    for image, found in zip(a.double(), maps, strict=True):
        left = np.linalg.svd(image.flatten(1).T.numpy(), full_matrices=False)[0][:, 0]
        expected = torch.from_numpy(np.abs(left)).view(height, width)
        torch.testing.assert_close(found / found.norm(), expected / expected.norm())


@pytest.mark.parametrize("channels", [16, 64, 100])
def test_eigen_cam_of_nothing_is_nothing(channels: int) -> None:
    maps = torch.zeros(2, channels, 8, 8)
    maps[1, 0, 2, 3] = 1
    nothing, something = eigen_cam(maps)
    assert not nothing.any()
    assert (something > 0).nonzero().tolist() == [[2, 3]]


def test_eigen_cam_knows_no_class_and_no_other_sign() -> None:
    network, images = _net("smallcnn"), _images(2, 32, 32)
    one, other = (cam("eigencam", network, images, torch.tensor([t, t])) for t in (1, 2))
    assert torch.equal(one, other)
    with pytest.raises(ValueError, match=r"sign \(='free'\)"):
        eigen_cam(torch.rand(1, 2, 3, 3), sign="free")  # type: ignore[arg-type]


def test_all_at_once_is_one_by_one_from_a_single_pass() -> None:
    network, images, targets = _net("vgglike"), _images(2, 20, 28), torch.tensor([1, 7])
    calls = []
    handle = network.features.register_forward_pre_hook(lambda *_: calls.append(1))
    names = [name for name in CAMS if name != "scorecam"]
    maps, logits = explain_all(names, network, images, targets)
    handle.remove()
    assert len(calls) == 1 and list(maps) == names
    for name in names:
        alone = explain(name, network, images, targets)
        torch.testing.assert_close(maps[name], alone.maps)
        torch.testing.assert_close(logits, alone.logits)


def test_score_cam_is_the_authors_definition() -> None:
    """One channel at a time in float64, weights and sum at image size."""
    network = build("smallcnn", 10, seed=3).double().eval()
    images, targets = _images(2, 24, 24).double(), torch.tensor([1, 7])
    with torch.no_grad():
        activations = network.features(images)
        activations[0, 4] = 0.5  # flat: to be skipped
        expected = []
        for image, channels, target in zip(images, activations, targets, strict=True):
            total = torch.zeros(24, 24, dtype=torch.float64)
            for channel in channels:
                up = F.interpolate(channel[None, None], size=(24, 24), mode="bilinear")[0, 0]
                if up.max() == up.min():
                    continue
                masked = image * (up - up.min()) / (up.max() - up.min())
                total += network(masked[None]).softmax(1)[0, target] * up
            total = total.clamp(min=0)
            expected.append((total - total.min()) / (total.max() - total.min()))
    raw = score_cam(activations, network, targets, images, chunk=7).maps
    torch.testing.assert_close(to_image_size(raw, (24, 24)), torch.stack(expected))


@pytest.mark.parametrize(("size", "most"), [(24, 64), (256, 8), (1024, 1)])
def test_score_cam_holds_few_large_images(size: int, most: int) -> None:
    network, seen = _net("smallcnn"), []

    def features(images: Tensor) -> Tensor:
        seen.append(len(images))
        return network.features(images[..., :24, :24])

    with torch.no_grad():
        activations = network.features(_images(1, 24, 24))
    counting = SimpleNamespace(features=features, head=network.head)
    score_cam(activations, counting, None, _images(1, size, size))
    alive = int((activations.amax((2, 3)) > activations.amin((2, 3))).sum())
    assert sum(seen) == alive and max(seen) == min(most, alive)


# --- explain -------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", CAMS)
def test_maps_and_logits(name: str, device: str) -> None:
    network = build("smallcnn", 10, seed=3).to(device).eval()
    images, targets = _images(3, 24, 32).to(device), torch.tensor([0, 9, 4], device=device)
    maps, logits = explain(name, network, images, targets)
    assert maps.shape == (3, 24, 32) and maps.dtype == torch.float32
    assert maps.device == logits.device == images.device
    assert maps.amin((1, 2)).tolist() == [0] * 3 and maps.amax((1, 2)).tolist() == [1] * 3
    with torch.no_grad():
        torch.testing.assert_close(logits, network(images))
    assert not maps.requires_grad and not logits.requires_grad
    assert torch.equal(cam(name, network, images, targets), maps)


@pytest.mark.parametrize("name", CAMS)
def test_no_image_depends_on_its_batch_mates(name: str) -> None:
    network, images, targets = _net("smallcnn"), _images(4, 24, 24), torch.tensor([0, 3, 3, 8])
    images[2] *= 50
    together = cam(name, network, images, targets, chunk=5)
    for i in range(4):
        alone = cam(name, network, images[i : i + 1], targets[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-4, rtol=0)
    if name.startswith("eigencam"):
        return  # of no class
    other = cam(name, network, images, 9 - targets)
    assert (together[1] - other[1]).abs().max() > 1e-4  # more than batching changes


@pytest.mark.parametrize("name", CAMS)
def test_without_targets_the_predicted_class_is_explained(name: str) -> None:
    network, images = _net("smallcnn"), _images(3, 24, 24)
    maps, logits = explain(name, network, images)
    assert torch.equal(maps, cam(name, network, images, logits.argmax(1)))


@pytest.mark.parametrize("name", CAMS)
def test_the_network_is_left_as_it_was(name: str) -> None:
    network, images, targets = build("smallcnn", 10), _images(2, 24, 24), torch.tensor([1, 2])
    expected = cam(name, network.eval(), images, targets)
    network.train()
    next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d)).eval()  # a frozen one
    modes = [module.training for module in network.modules()]
    first, second, *_ = network.parameters()
    first.grad = torch.ones_like(first)
    state = {key: value.clone() for key, value in network.state_dict().items()}

    assert torch.equal(cam(name, network, images, targets), expected)
    with pytest.raises(ValueError):
        cam(name, network, images, targets + 100)

    assert [module.training for module in network.modules()] == modes
    assert torch.equal(first.grad, torch.ones_like(first)) and second.grad is None
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())


class _Spy(nn.Module):
    """Features that note how they are called."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.batches: list[int] = []
        self.graphs = False
        self.last: Callable[[], Tensor | None] = lambda: None

    def forward(self, images: Tensor) -> Tensor:
        a: Tensor = self.features(images)
        self.batches.append(len(images))
        self.graphs |= a.requires_grad
        self.last = weakref.ref(a)
        return a


@pytest.mark.parametrize("name", CAMS)
def test_features_run_without_a_graph_and_nothing_is_kept(name: str) -> None:
    spy = _Spy(_net("vgglike").features)
    network = SplitNetwork(spy, _net("vgglike").head)
    images = _images(3, 20, 20).requires_grad_()
    with torch.no_grad():
        a = spy.features(images)
    maps, logits = explain(name, network, images, chunk=4)
    assert not spy.graphs
    if name == "scorecam":
        seeing = int((a.amax((2, 3)) > a.amin((2, 3))).sum())
        assert spy.batches[0] == 3 and max(spy.batches[1:]) == 4
        assert sum(spy.batches[1:]) == seeing
    else:
        assert spy.batches == [3]
    assert spy.last() is None  # freed at once: no cycle, no hook holds A
    assert images.grad is None and maps.grad_fn is None and logits.grad_fn is None


@pytest.mark.parametrize("name", CAMS)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_in_any_gradient_mode_and_with_frozen_parameters(name: str, mode: Callable) -> None:
    network, images, targets = (
        build("smallcnn", 10).eval(),
        _images(2, 24, 24),
        torch.tensor([1, 2]),
    )
    expected = cam(name, network, images, targets)
    network.requires_grad_(False)
    with mode():
        assert torch.equal(cam(name, network, images.clone(), targets.clone()), expected)


@pytest.mark.parametrize("name", CAMS)
def test_a_head_that_begins_in_place(name: str) -> None:
    network, images = _net("smallcnn"), _images(2, 24, 24)
    features = nn.Sequential(
        *list(network.features.children())[:-1]
    )  # A before its last ReLU, so that the ReLU does something
    maps = [
        cam(name, SplitNetwork(features, nn.Sequential(nn.ReLU(inplace), network.head)), images)
        for inplace in (True, False)
    ]
    assert torch.equal(*maps)


@pytest.mark.parametrize("name", CAMS)
def test_a_dead_network_gives_zero_maps(name: str) -> None:
    """All activations zero, as after a collapse: no NaN, no crash."""
    network = SplitNetwork(nn.ReLU(), nn.Sequential(nn.Flatten(), nn.Linear(27, 4)))
    assert torch.equal(cam(name, network, -torch.ones(2, 3, 3, 3)), torch.zeros(2, 3, 3))


@pytest.mark.parametrize("name", CAMS)
def test_half_precision_gives_float32_maps(name: str) -> None:
    network, images, targets = _net("smallcnn"), _images(2, 24, 24), torch.tensor([1, 2])
    with torch.autocast("cpu", torch.bfloat16):
        maps = cam(name, network, images, targets)
    assert maps.dtype == torch.float32
    assert (maps - cam(name, network, images, targets)).abs().mean() < 0.05


@pytest.mark.parametrize("name", CAMS)
def test_an_empty_batch(name: str) -> None:
    found = explain(name, _net("smallcnn"), _images(0, 24, 24), torch.zeros(0, dtype=torch.int64))
    assert found.maps.shape == (0, 24, 24) and found.logits.shape == (0, 10)


@pytest.mark.parametrize("name", CAMS)
@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.tensor([1, 10]), r"targets \(with 10\).*0 to 9"),
        (torch.tensor([-1, 1]), r"targets \(with -1\)"),
        (torch.tensor([1]), r"targets \(of shape \(1,\)\).*\(2,\)"),
        (torch.tensor([[1], [2]]), r"targets \(of shape \(2, 1\)\)"),
        (torch.tensor([1.0, 2.0]), "integers"),
    ],
)
def test_refuses_wrong_targets(name: str, targets: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cam(name, _net("smallcnn"), _images(2, 24, 24), targets)


class _Several(nn.Module):
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"last": images}


def test_features_that_change_the_images_are_refused() -> None:
    class InPlace(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.sub_(0.5).div_(0.2)

    network, images = _net("smallcnn"), _images(2, 24, 24)
    changing = SplitNetwork(nn.Sequential(InPlace(), network.features), network.head)
    with pytest.raises(ValueError, match="change the images .* work on a copy"):
        cam("gradcam", changing, images)
    with torch.inference_mode():
        images = _images(2, 24, 24)
        before = images.clone()
        cam("gradcam", changing, images)
        assert torch.equal(images, before)


def test_targets_as_a_list() -> None:
    network, images = _net("smallcnn"), _images(2, 24, 24)
    listed = cam("gradcam", network, images, [1, 0])  # type: ignore[arg-type]
    assert torch.equal(listed, cam("gradcam", network, images, torch.tensor([1, 0])))


def test_refuses_other_mistakes() -> None:
    network, images = _net("smallcnn"), _images(2, 24, 24)
    with pytest.raises(ValueError, match="'smoothgrad'.*gradcam, gradcam.., xgradcam, hirescam"):
        cam("smoothgrad", network, images)
    with pytest.raises(ValueError, match=r"images \(torch.float32, of shape \(3, 24, 24\)\)"):
        cam("gradcam", network, images[0])
    with pytest.raises(ValueError, match=r"images \(torch.uint8, of .*standardised"):
        cam("gradcam", network, images.byte())
    with pytest.raises(ValueError, match=r"network \(a Linear\) .*SplitNetwork.*\.module"):
        cam("gradcam", nn.Linear(3, 4), images)  # type: ignore[arg-type]
    several = SplitNetwork(_Several(), network.head)
    with pytest.raises(ValueError, match=r"features \(a dict\) must return one tensor"):
        cam("gradcam", several, images)
    flattening = SplitNetwork(nn.Flatten(), nn.Linear(3 * 24 * 24, 4))
    with pytest.raises(ValueError, match="before it flattens"):
        cam("gradcam", flattening, images)
    with pytest.raises(ValueError, match=r"chunk \(=0\)"):
        cam("scorecam", network, images, chunk=0)
    with pytest.raises(ValueError, match="'softmax'.*probability, channel_softmax"):
        score_cam(network.features(images), network, None, images, weighting="softmax")  # type: ignore[arg-type]


# --- for any input -------------------------------------------------------------------------------

raw_maps = arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
    elements=st.floats(-100, 100, width=32).map(lambda v: round(v, 2)),
)


@settings(max_examples=50)
@given(raw_maps, st.integers(1, 12), st.integers(1, 12), st.floats(1e-3, 1e3))
def test_normalised_maps(raw: np.ndarray, height: int, width: int, scale: float) -> None:
    maps = to_image_size(torch.from_numpy(raw), (height, width))
    assert maps.shape == (len(raw), height, width)
    assert maps.min() >= 0 and maps.max() <= 1
    assert all(top in (0, 1) for top in maps.amax((1, 2)).tolist())
    scaled = to_image_size(torch.from_numpy(raw * np.float32(scale)), (height, width))
    torch.testing.assert_close(scaled, maps, atol=1e-3, rtol=0)
    transposed = to_image_size(torch.from_numpy(raw).mT, (width, height))
    torch.testing.assert_close(transposed.mT, maps, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["gradcam", "layercam"])
@pytest.mark.parametrize("scale", [1e-20, 1e-3, 1e3])
def test_the_scale_of_the_logits_does_not_matter(name: str, scale: float) -> None:
    network, images = _net("smallcnn"), _images(2, 24, 24)
    scaled = SplitNetwork(network.features, _Scaled(network.head, scale))
    targets = torch.tensor([1, 2])
    expected = cam(name, network, images, targets)
    torch.testing.assert_close(cam(name, scaled, images, targets), expected, atol=1e-4, rtol=0)


class _Scaled(nn.Module):
    def __init__(self, head: nn.Module, scale: float) -> None:
        super().__init__()
        self.head, self.scale = head, scale

    def forward(self, activations: Tensor) -> Tensor:
        return self.scale * self.head(activations)


def test_a_network_whose_parts_are_methods() -> None:
    """The network's own mode counts then: there is no module to switch in its parts."""

    class Methods(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
            self.dropout = nn.Dropout(0.5)

        def features(self, images: Tensor) -> Tensor:
            return self.body(images)

        def head(self, maps: Tensor) -> Tensor:
            return self.dropout(maps.mean((2, 3)))

    network, images = Methods().train(), torch.randn(4, 3, 8, 8)
    before = network.body[1].running_mean.clone()
    first, second = (explain("gradcam", network, images) for _ in range(2))
    assert torch.equal(first.logits, second.logits) and torch.equal(first.maps, second.maps)
    assert torch.equal(before, network.body[1].running_mean)
    assert network.training and network.dropout.training


def test_evaluating_takes_the_module_of_a_method() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    with evaluating(net.forward):
        assert not net[1].training
    assert net[1].training


def test_evaluating_takes_plain_functions_too() -> None:
    layer = nn.Dropout()
    with evaluating(torch.relu, layer):
        assert not layer.training
    assert layer.training
