"""From runs to the paper's tables: one row a run and noise, then means with intervals over seeds."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import pandas as pd

from innt_lib.neighbors import make_neighbor
from innt_lib.results import paper, runs
from innt_lib.results.evaluation import Reading
from innt_lib.results.stats import mean_interval
from innt_lib.system import paths
from innt_lib.system.files import sweep, write
from innt_lib.system.progress import progress

ACCURACY = ("clean_top1", "clean_top5", "noisy_top1", "noisy_top5", "gap_top1", "gap_top5")
INTERPRETABILITY = ("ad", "ai", "aepe")
KEYS = ["network", "method", "noise"]
LONGEST = 200
_FROM_IMAGES = {
    "ad": "drop", "ai": "increase", "ad_as_printed": "drop_as_printed",
    "ai_as_printed": "increase_as_printed", "aepe": "pointing_error",
    "ebpg_clean": "ebpg_clean", "ebpg_noisy": "ebpg_noisy", "similarity": "similarity",
}  # fmt: skip


def conditions(
    grid: Sequence[runs.Run], noises: dict[str, float]
) -> list[tuple[runs.Run, str, float]]:
    """Under which noise each run is judged: its own, or every one if it was trained without."""
    return [
        (run, noise, strength)
        for run in grid
        for noise, strength in noises.items()
        if not run.objective().uses_noise or run.noise == noise
    ]


def per_image(
    grid: Sequence[runs.Run],
    noises: dict[str, float],
    *,
    cam: str = "gradcam",
    reading: Reading | None = None,
    device: str = "auto",
) -> pd.DataFrame:
    """Every test image of every run (trained now if need be), under the noise it is judged by.

    Returns:
        The columns of :func:`innt_lib.results.evaluation.evaluate` after ``run``, ``network``, ``method``,
        ``noise``, ``seed``, ``collapsed`` (see :func:`innt_lib.results.runs.collapsed`).

    Raises:
        ValueError: no runs; and what :func:`innt_lib.results.runs.ensure` raises.
    """
    if not grid:
        raise ValueError("there is no run to measure: none of this grid is finished here")
    runs.ensure(grid, device)
    tables = []
    pairs = conditions(grid, noises)
    for run, name, strength in progress(pairs, desc="evaluations", unit="run"):
        noise = make_neighbor(name, strength, run.noise_range, run.noise_form)
        table = runs.evaluation(run, noise, cam=cam, reading=reading, device=device)
        about = {
            "run": run.name, "network": run.network, "method": run.label, "noise": name,
            "seed": run.seed, "collapsed": runs.collapsed(run),
        }  # fmt: skip
        tables.append(pd.DataFrame(about, index=table.index).join(table))
    return pd.concat(tables, ignore_index=True)


def per_run(images: pd.DataFrame) -> pd.DataFrame:
    """Means over the images of each run and noise.

    Returns:
        ``run, network, method, noise, seed, images, collapsed``; accuracies and gaps (``ACCURACY``)
        in percent;
        ``ad``, ``ai``, ``aepe`` and the other explanation metrics as fractions, images whose value
        is undefined left out; ``undefined``: the images without a similarity.
    """
    rows = []
    for key, group in images.groupby(["run", *KEYS, "seed"], sort=False):
        row = dict(zip(["run", *KEYS, "seed"], key, strict=True)) | {"images": len(group)}
        row["collapsed"] = bool(group["collapsed"].any())
        for k in ("top1", "top5"):
            if f"clean_{k}" in group:
                clean, noisy = 100 * group[f"clean_{k}"].mean(), 100 * group[f"noisy_{k}"].mean()
                row |= {f"clean_{k}": clean, f"noisy_{k}": noisy, f"gap_{k}": clean - noisy}
        row |= {name: group[of].mean() for name, of in _FROM_IMAGES.items() if of in group}
        row["undefined"] = int(group["similarity"].isna().sum())
        rows.append(row)
    return pd.DataFrame(rows)


def standing(results: pd.DataFrame) -> pd.DataFrame:
    """The rows of trainings that did not collapse (all of a table that does not say)."""
    return results[~results["collapsed"].astype(bool)] if "collapsed" in results else results


def collapse(results: pd.DataFrame) -> str:
    """A sentence: how many trainings of which cells collapsed, saying the same of every image.

    Args:
        results: of :func:`per_run`.
    """
    runs_of = results.drop_duplicates("run")
    if not len(fallen := runs_of[runs_of["collapsed"].astype(bool)]):
        return "No training collapsed."
    cells = fallen.groupby(["network", "method"], sort=False).size()
    said = ", ".join(f"{count} of {network} {method}" for (network, method), count in cells.items())
    return (
        f"{len(fallen)} of {len(runs_of)} trainings COLLAPSED (the same maps for every image) and are "
        f"left out of means: {said}."
    )


def intervals(results: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Mean and 95 % interval over seeds of every cell, with the names of the runs behind it.

    Returns:
        ``network, method, noise, metric, mean, low, high, seeds, collapsed, runs``: collapsed
        trainings are counted and left out; NaN where none stands.
    """
    rows = []
    for key, group in results.groupby(KEYS, sort=False):
        stand = standing(group)
        for metric in metrics:
            if metric not in group:
                continue
            found = mean_interval(stand[metric])
            rows.append(
                dict(zip(KEYS, key, strict=True))
                | {"metric": metric, "mean": found.mean, "low": found.low, "high": found.high}
                | {"seeds": found.n, "collapsed": len(group) - len(stand)}
                | {"runs": " ".join(group["run"])}
            )
    return pd.DataFrame(rows)


def wide(cells: pd.DataFrame, digits: int) -> pd.DataFrame:
    """The paper's arrangement: a row a network and method, a column a noise and metric.

    Args:
        cells: of :func:`intervals`.
        digits: after the decimal point.
    """

    def written(cell: pd.Series) -> str:
        fallen = int(cell.get("collapsed", 0))
        mark = f" ({fallen} collapsed)" if fallen else ""
        if not cell["seeds"]:
            return mark.strip(" ()")
        half = f" ± {(cell['high'] - cell['low']) / 2:.{digits}f}" if cell["seeds"] > 1 else ""
        return f"{cell['mean']:.{digits}f}{half}{mark}"

    table = cells.assign(text=cells.apply(written, axis=1)).pivot(
        index=["network", "method"], columns=["noise", "metric"], values="text"
    )
    rows = list(dict.fromkeys(zip(cells["network"], cells["method"], strict=True)))
    order = {"gaussian": 0, "neighborhood": 1}  # the paper's, and then the others as they come
    present = sorted(dict.fromkeys(cells["noise"]), key=lambda name: order.get(name, 2))
    columns = [(n, m) for n in present for m in dict.fromkeys(cells["metric"])]
    return table.loc[rows, columns]


def beside_paper(cells: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Published cells of Tables 3 to 5 and measured ones in one table.

    Args:
        cells: of :func:`intervals`, measured on ``dataset``.
        dataset: ``"cub200"`` fills Tables 3 and 4, ``"cifar10"`` Table 5; any other only adds
            measured cells without a published counterpart.

    Returns:
        ``table, network, method, noise, metric, published, measured, low, high, difference``
        (measured - published), ``seeds``, ``runs``; a side that is missing is NaN.
    """
    keys = ["table", *KEYS, "metric"]
    published = (
        pd.concat(
            [
                paper.interpretability().assign(table="3, cub200"),
                paper.accuracy("cub200").assign(table="4, cub200"),
                paper.accuracy("cifar10").assign(table="5, cifar10"),
            ]
        )
        .melt(["table", *KEYS], var_name="metric", value_name="published")
        .dropna()
    )
    number = cells["metric"].map(
        lambda m: "3" if m in INTERPRETABILITY else "5" if dataset == "cifar10" else "4"
    )
    measured = cells.rename(columns={"mean": "measured"}).assign(table=number + f", {dataset}")
    both = published.merge(measured, "outer", keys, sort=False)
    both["difference"] = both["measured"] - both["published"]
    return both[[*keys, "published", "measured", "low", "high", "difference", "seeds", "runs"]]


def published_differences() -> pd.DataFrame:
    """The paper's INNT - NT: ``source`` (data set), ``network, noise, metric, difference``."""
    rows = []
    for source, table in (
        ("cub200", paper.interpretability()),
        ("cub200", paper.accuracy("cub200")),
        ("cifar10", paper.accuracy("cifar10")),
    ):
        cells = table.melt(KEYS, var_name="metric").pivot(
            index=["network", "noise", "metric"], columns="method", values="value"
        )
        difference = (cells["innt"] - cells["nt"]).rename("difference").reset_index()
        rows.append(difference.assign(source=source))
    return pd.concat(rows, ignore_index=True)


def save(table: pd.DataFrame, folder: str, name: str, readable: pd.DataFrame | None = None) -> None:
    """Write ``name.csv`` and, unless it is longer than anyone reads, ``name.md`` into a folder.

    Args:
        table: tidy; the numbers, for the CSV.
        folder: below the root of the project unless absolute; empty: nothing is written.
        name: of the files, without ending.
        readable: what the Markdown shows, if not the tidy table; none above ``LONGEST`` rows.
    """
    if not folder:
        return
    target = paths.resolve(folder) / name
    sweep(target.parent, name)
    shown = (table if readable is None else readable).copy()
    if isinstance(shown.columns, pd.MultiIndex):
        shown.columns = pd.Index([" ".join(map(str, c)) for c in shown.columns])
    if isinstance(shown.index, pd.MultiIndex):
        shown = shown.reset_index()
    csv = table.to_csv(index=False, float_format="%.6g")
    write(target.with_suffix(".csv"), lambda s: s.write(csv.encode()))
    if len(shown) <= LONGEST:
        markdown = shown.to_markdown(index=False) + "\n"
        write(target.with_suffix(".md"), lambda s: s.write(markdown.encode()))


# --- shown -------------------------------------------------------------------------------------------


def say(sentence: str) -> None:
    """Print a sentence in lines that fit a page, those after the first indented."""
    print(textwrap.fill(sentence, 110, subsequent_indent="  ", break_on_hyphens=False))


def rounded(table: pd.DataFrame, digits: int = 4) -> pd.DataFrame:
    """The numbers rounded for reading; p values too small for the digits as ``"< 0.0001"``.

    Args:
        table: those named ``p_...`` are p values, in [0, 1] or NaN.
        digits: after the point.
    """
    shown = table.round(digits)
    least = 10.0**-digits
    for name in [name for name in table if name.startswith("p_")]:
        small = table[name] < least
        shown[name] = shown[name].astype(object).mask(small, f"< {least:.{digits}f}")
    return shown
