import numpy as np
import pytest
import torch
from safetensors.torch import save
from skimage import data
from torch import nn

from innt_lib.learn.networks import NETWORKS, build, load_checkpoint, save_checkpoint
from innt_lib.learn.split import SplitNetwork, check_size, map_size
from innt_lib.system.tensors import standardise, to_pixels


def images(size, n=2):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "resnet18"])
def test_split_torchvision_networks_compute_what_torchvision_computes(name):
    import torchvision.models

    ours = build(name, 7).eval()
    whole = getattr(torchvision.models, name)(num_classes=7).eval()
    # In both, parameters come in the order of computation.
    assert len(whole.state_dict()) == len(ours.state_dict())
    whole.load_state_dict(dict(zip(whole.state_dict(), ours.state_dict().values(), strict=True)))
    size = 96
    with torch.no_grad():
        torch.testing.assert_close(ours(images(size)), whole(images(size)), rtol=1e-4, atol=1e-5)


def test_resnet20_has_the_layers_and_parameters_of_he_et_al():
    network = build("resnet20", 10)
    weighted = [
        m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)
    ]
    assert len(weighted) == 19  # and the linear layer
    # 0.27 M in Table 6 of the paper, here with projections in the two shortcuts that change shape.
    assert sum(p.numel() for p in network.parameters()) == 272_474
    assert network.features(images(32)).shape == (2, 64, 8, 8)


@pytest.mark.parametrize("name", ["smallcnn", "resnet20", "resnet18"])
def test_same_seed_same_weights_and_global_random_state_untouched(name):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two, other = build(name, 4, seed=1), build(name, 4, seed=1), build(name, 4, seed=2)
    assert torch.equal(before, torch.get_rng_state())
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", ["smallcnn", "resnet20", "resnet18"])
def test_smallest_size_named_by_the_error_works_and_one_less_does_not(name):
    network = build(name, 4)
    with pytest.raises(ValueError, match="smallest size that works is") as error:
        check_size(network, 4, name)
    smallest = int(str(error.value).split()[-1])
    check_size(network, smallest, name)
    assert map_size(network, smallest) >= 2 > map_size(network, smallest - 1)
    assert network.training


def test_a_network_too_small_for_its_pools_is_refused_by_size_not_by_a_deep_error():
    with pytest.raises(ValueError, match="32.*alexnet.*0 x 0.*is 95"):
        check_size(build("alexnet", 4), 32, "alexnet")


def test_a_network_split_after_its_pooling_is_told_so_at_once():
    pooled = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1))
    with pytest.raises(
        ValueError, match="mine is 1 x 1 for images of 64 .* 512: .*before they are"
    ):
        check_size(SplitNetwork(pooled, nn.Sequential(nn.Flatten(), nn.Linear(4, 3))), 64, "mine")


def test_parts_without_weights_of_their_own_are_refused():
    layer = nn.Linear(4, 3)
    with pytest.raises(ValueError, match=r"head \(a function\) must be an nn.Module"):
        SplitNetwork(nn.Conv2d(3, 4, 3), lambda maps: layer(maps.mean((2, 3))))
    with pytest.raises(ValueError, match=r"features \(a method\) must be an nn.Module"):
        SplitNetwork(build("smallcnn", 3).features.forward, layer)


def test_map_size_speaks_of_sizes_only_and_leaves_every_mode(tiny_images):
    network = build("smallcnn", 3).train()
    network.features[1].eval()  # a frozen normalisation
    assert map_size(network, 40) == 10 and map_size(network.double(), 40) == 10
    assert not network.features[1].training and network.features[0].training
    network.features[0] = torch.nn.Conv2d(1, 16, 3)
    with pytest.raises(RuntimeError, match="channels"):
        map_size(network.float(), 40)


def test_a_layer_used_twice_can_be_saved(tmp_path):
    layer = torch.nn.Conv2d(3, 3, 3, padding=1)
    network = SplitNetwork(torch.nn.Sequential(layer, layer), torch.nn.Flatten())
    save_checkpoint(network, tmp_path / "weights.safetensors")
    with torch.no_grad():
        layer.weight.zero_()
    load_checkpoint(network, tmp_path / "weights.safetensors")
    assert layer.weight.any()


def test_checkpoints_round_trip_and_misfits_are_named(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_checkpoint(build("smallcnn", 5, seed=3), path)
    loaded = build("smallcnn", 5, weights=str(path))
    x = images(32)
    torch.testing.assert_close(loaded.eval()(x), build("smallcnn", 5, seed=3).eval()(x))
    with pytest.raises(ValueError, match="another number of classes"):
        build("smallcnn", 6, weights=str(path))
    with pytest.raises(ValueError, match="another network than resnet20"):
        build("resnet20", 5, weights=str(path))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        build("smallcnn", 5, weights="nowhere.safetensors")
    wrapper = str(tmp_path / "wrapped.safetensors")
    save_checkpoint(nn.DataParallel(loaded), wrapper)
    with pytest.raises(ValueError, match="saved from a wrapper: save its .module"):
        load_checkpoint(loaded, wrapper)
    other = build("smallcnn", 6, weights=f"features:{path}")
    torch.testing.assert_close(other.eval().features(x), loaded.eval().features(x))


def test_a_misfit_changes_nothing(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_checkpoint(build("smallcnn", 5, seed=3), path)
    network = build("smallcnn", 6)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(ValueError):
        load_checkpoint(network, path)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_a_pickle_is_never_executed(tmp_path):
    path = tmp_path / "weights.safetensors"
    torch.save({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="not a safetensors checkpoint .*torch.save"):
        build("smallcnn", 5, weights=str(path))


def test_bad_names_are_listed():
    with pytest.raises(
        ValueError, match=r"'vgg99'.*timm/.*smallcnn, convsmall, resnet8, resnet20, alexnet, vgg11"
    ):
        build("vgg99", 4)
    with pytest.raises(ValueError, match=r"classes .=1."):
        build("smallcnn", 1)
    with pytest.raises(ValueError, match="no ImageNet weights for smallcnn"):
        build("smallcnn", 4, weights="imagenet")


def test_a_network_of_ones_own(monkeypatch):
    def mine(classes, weights):
        features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))
        return SplitNetwork(features, head)

    monkeypatch.setitem(NETWORKS, "mine", mine)
    assert build("mine", 4)(images(16)).shape == (2, 4)


def test_torchvisions_networks_are_split_as_they_are():
    """The logits of the two parts are those of the whole, for one of each way to be split."""
    import torchvision

    for name in ("alexnet", "resnet18", "regnet_x_400mf", "mobilenet_v2", "mobilenet_v3_small"):
        whole = torchvision.models.get_model(name, num_classes=1000).eval()
        split = build(name, 1000).eval()
        moved = dict(zip(split.state_dict(), whole.state_dict().values(), strict=True))
        split.load_state_dict(moved)
        with torch.no_grad():
            torch.testing.assert_close(split(images(96)), whole(images(96)), msg=name)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18", "mobilenetv3_small_050"])
def test_timms_networks_are_split_at_their_own_seam(name):
    import timm

    split = build(f"timm/{name}", 6, seed=3).eval()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        whole = timm.create_model(name)
        whole.reset_classifier(6)
    whole.eval()
    assert sum(p.numel() for p in split.parameters()) == sum(p.numel() for p in whole.parameters())
    found = whole.pretrained_cfg  # what pixels the library itself would give it
    pixels = to_pixels(images(64))
    mean, std = (torch.tensor(found[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        maps = split.features(images(64))
        theirs = (pixels - mean) / std
        torch.testing.assert_close(maps, whole.forward_features(theirs), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(split.head(maps), whole(theirs), rtol=1e-4, atol=1e-5)
    assert not [k for k in split.state_dict() if not k.startswith(("features.", "head."))]


def test_timms_transformers_and_unknown_names_are_refused_in_a_line():
    for name in ("vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"):
        with pytest.raises(ValueError, match=rf"timm/{name}.*no convolutional maps"):
            build(f"timm/{name}", 4)
    with pytest.raises(ValueError, match=r"timm/resnet81.*near it: timm/resnet"):
        build("timm/resnet81", 4)


def test_lite0_has_its_packages_imagenet_weights():
    network = build("timm/tf_efficientnet_lite0", 40, "imagenet")
    other = build("timm/tf_efficientnet_lite0", 40, "imagenet", seed=1)
    states = network.state_dict(), other.state_dict()
    for key in states[0]:
        same = torch.equal(states[0][key], states[1][key])
        assert same == (not key.endswith(("classifier.weight", "classifier.bias"))), key
    assert float(states[0]["features.model.bn1.running_var"].std()) > 0.1  # trained, not new


def test_lite0_meets_pixels_as_it_learned_from_them():
    """Statistics behind the stem are those that it learned; pixels standardised otherwise double them."""
    network = build("timm/tf_efficientnet_lite0", 40, "imagenet").eval()
    found = [image[:300, :300] for image in (data.chelsea(), data.coffee(), data.astronaut())]
    photographs = standardise(torch.from_numpy(np.stack(found)))
    seen = []
    stem = network.features.model.bn1
    with torch.no_grad():
        network.features.model.conv_stem.register_forward_hook(lambda *a: seen.append(a[2]))
        network.features(photographs)
    deviation = seen[0].std(dim=(0, 2, 3))
    assert 0.5 < float((deviation / stem.running_var.sqrt()).median()) < 1.5
    assert not [key for key in network.state_dict() if key.endswith(("scale", "shift"))]


def test_squeezenets_weights_are_those_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("INNT_ROOT", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"python -m innt_lib.learn.squeezenet"):
        build("squeezenet1_1", 4, "imagenet")
    started = build("squeezenet1_1", 1000, seed=7)
    whole = {k: v for k, v in started.state_dict().items() if k.startswith("features.")}
    path = tmp_path / "data/weights/squeezenet1_1.safetensors"
    path.parent.mkdir(parents=True)
    packed = {k: v.contiguous() for k, v in whole.items()}
    path.write_bytes(save(packed | {"classifier.1.weight": torch.zeros(3)}))
    loaded = build("squeezenet1_1", 4, "imagenet").state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in whole.items())
    assert loaded["head.3.weight"].shape == (4, 512)


def test_weights_that_cannot_be_fetched_are_one_line(monkeypatch):
    import torchvision

    def lost(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.models, "get_model", lost)
    with pytest.raises(FileNotFoundError, match=r"resnet18.*no route to host.*checkpoint"):
        build("resnet18", 4, "imagenet")
