"""How the figures of the series look, what things are called in them, and how they are saved."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from innt_lib.system import paths
from innt_lib.system.files import sweep, write


class Labels(dict[str, str]):
    """What things are called; what is not among them goes by its own name."""

    def __missing__(self, name: str) -> str:
        return name


class Colours(dict[str, str]):
    """What things are drawn in; grey, what is not among them."""

    def __missing__(self, name: str) -> str:
        return "#444444"


METHOD_LABELS = Labels({
    "baseline": "baseline", "nt": "NT", "nt_once": "NT, noise drawn once",
    "nt_weighted": "NT weighted", "innt_origin": "INNT origin", "innt": "INNT",
    "innt_scale_free": "INNT scale-free", "consistency": "consistency",
    "vat": "VAT", "lvat_vae": "LVAT-VAE", "lvat_glow": "LVAT-Glow",
})  # fmt: skip
METHOD_COLOURS = Colours({
    "baseline": "#8c8c8c", "nt": "#d1701f", "nt_once": "#a8452f", "nt_weighted": "#c9a227",
    "innt_origin": "#5aa0c8", "innt": "#1f5fa8", "innt_scale_free": "#17becf",
    "consistency": "#7a9a01", "vat": "#6a3d9a", "lvat_vae": "#2e8b57", "lvat_glow": "#b3261e",
})  # fmt: skip
NOISE_LABELS = {
    "gaussian": "Gaussian", "neighborhood": "neighborhood", "fgsm": "FGSM", "pgd": "PGD", "vat": "VAT",
    "shot": "shot noise", "gaussian_blur": "Gaussian blur", "jpeg": "JPEG",
}  # fmt: skip
CAM_LABELS = {
    "gradcam": "Grad-CAM", "gradcam++": "Grad-CAM++", "xgradcam": "XGrad-CAM", "hirescam": "HiResCAM",
    "layercam": "LayerCAM", "ablationcam": "Ablation-CAM", "eigencam": "Eigen-CAM",
    "scorecam": "Score-CAM", "gradcam++_as_in_library": "Grad-CAM++ (library's)",
    "eigencam_as_in_library": "Eigen-CAM (library's)",
}  # fmt: skip
METRIC_LABELS = {
    "ad": "Average Drop ↓", "ai": "Average Increase ↑", "aepe": "AEPE ↓",
    "gap_top1": "top-1 gap (points) ↓", "gap_top5": "top-5 gap (points) ↓",
    "clean_top1": "top-1 clean (%) ↑", "noisy_top1": "top-1 noisy (%) ↑",
    "similarity": "map similarity ↑",
    "mixed_same": "Mixed-Same (%) ↑", "mixed_rand": "Mixed-Rand (%) ↑", "bg_gap": "BG-Gap (points) ↓",
    "worst_group": "worst group (%) ↑", "only_bg": "Only-BG (%) ↓", "ebpg": "heat in the box (%) ↑",
    "pointing": "pointing game (%) ↑", "iou": "IoU with the box (%) ↑",
    "ebpg_mask": "heat on the bird (%) ↑", "iou_mask": "IoU with the bird (%) ↑",
    "fgsm": "under FGSM (%) ↑", "pgd": "under PGD (%) ↑", "under_noise": "under noise (%) ↑",
}  # fmt: skip


def in_order(names: Iterable[str], order: Iterable[str]) -> list[str]:
    """Names, each once, in an order; those that it does not have come last."""
    given = list(dict.fromkeys(names))
    known = [name for name in order if name in given]
    return known + [name for name in given if name not in known]


def use_style() -> None:
    """Give every later figure of this process the look of the series."""
    plt.style.use(Path(__file__).with_name("innt.mplstyle"))


def save(figure: Figure, folder: str, name: str, data: pd.DataFrame | None = None) -> None:
    """Write ``name.png`` (and the plotted numbers as ``name.csv``) into a folder.

    With matplotlib's ``savefig.format`` set to another format, ``"pdf"`` say, that file too; in the
    notebooks, ``figures_format``.

    Args:
        figure: what to save.
        folder: below the root of the project unless absolute; empty: nothing is written.
        name: of the files, without ending.
        data: the numbers behind the figure.
    """
    if not folder:
        return
    target = paths.resolve(folder) / name
    sweep(target.parent, name)
    content = _small(figure)
    write(target.with_suffix(".png"), lambda stream: stream.write(content))
    if (kind := plt.rcParams["savefig.format"]) != "png":
        # No creation date, so that the same figure is the same file.
        date = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
        write(
            target.with_suffix(f".{kind}"),
            lambda stream: figure.savefig(stream, format=kind, metadata=date),
        )
    if data is not None:
        text = data.to_csv(index=False, float_format="%.6g")
        write(target.with_suffix(".csv"), lambda stream: stream.write(text.encode()))


def _small(figure: Figure) -> bytes:
    """A PNG in the 256 colours that suit the figure best: a third of the bytes, and no eye sees it."""
    full, small = io.BytesIO(), io.BytesIO()
    figure.savefig(full, format="png")
    with Image.open(full) as image:
        pixels = image.convert("RGB")
        many = pixels.getcolors(10_000) is None  # photographs and heat maps, not lines
        palette = pixels.quantize(256, Image.Quantize.MEDIANCUT, kmeans=3 if many else 0)
    palette.save(small, "PNG", optimize=True)
    return small.getvalue()


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file, for a widget; the figure is closed."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    plt.close(figure)
    return stream.getvalue()
