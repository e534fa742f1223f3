"""A run: its parameters name a folder, which holds all that came of them.

    runs/birds32-smallcnn-innt-gaussian0.15-s0-1f2e3d4c/
        run.json              parameters, data fingerprint, versions, device, timings
        history.csv           one row an epoch
        weights.safetensors   the trained network
        state.pt              only while unfinished
        evaluation-<...>.csv  one row a test image, see innt_lib.results.evaluation

A finished run is never trained again; an interrupted one goes on where it stopped.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
from filelock import FileLock

from innt_lib import data
from innt_lib.learn import methods, networks, tau, training
from innt_lib.learn.consistency import foreground_of
from innt_lib.learn.losses import Norm
from innt_lib.learn.split import SplitNetwork, check_size
from innt_lib.learn.training import DivergenceError, train
from innt_lib.learn.virtual import Virtual
from innt_lib.neighbors import Neighbor
from innt_lib.results import generator_runs
from innt_lib.results.evaluation import VERSION, Reading, evaluate
from innt_lib.results.parameters import names_of
from innt_lib.results.run import VARIANTS, Run, kept, load_images
from innt_lib.system import paths
from innt_lib.system.environment import device_name, pick_device, versions
from innt_lib.system.files import check_writable, sweep, write
from innt_lib.system.progress import progress, unwatched


def grid(
    networks: str | Sequence[str],
    methods: str | Sequence[str],
    noises: dict[str, float],
    seeds: int,
    *,
    tau: float | str = "auto",
    vat: Mapping[str, Virtual] = MappingProxyType({}),
    **common: Any,
) -> list[Run]:
    """Every cell of an experiment, seed by seed; the baseline appears once, whatever the noises.

    Args:
        networks, methods: names, as a list or separated by commas; a method is one of
            ``methods.METHODS`` or of ``VARIANTS`` (``"nt_once"``: NT with the noise drawn once).
        noises: strength by name.
        seeds: how many; they are 0, 1, ...
        tau: of Eq. 5, or ``"auto"``: for each network what :func:`suggest_tau` says.
        vat: settings of ``"vat"``, ``"lvat_vae"`` and ``"lvat_glow"``, by these names.
        common: further fields of :class:`Run`.

    Raises:
        ValueError: seeds below 1, or what :class:`Run` refuses.
    """
    if seeds < 1:
        raise ValueError(f"seeds (={seeds}) must be at least 1")
    if isinstance(tau, str) and tau != "auto":
        raise ValueError(f"tau (={tau!r}) must be a positive number or 'auto'")
    runs = {}
    for network in names_of(networks):
        for method in names_of(methods):
            for noise, strength in noises.items():
                fields = common | VARIANTS.get(method, {"method": method})
                fields |= {"vat": vat[method]} if method in vat else {}
                run = Run(network=network, noise=noise, strength=strength, **fields)
                if run.objective().uses_noise:  # NT too: its Reg_na is logged, not trained on
                    run = replace(run, tau=suggest_tau(run) if isinstance(tau, str) else tau)
                for seed in range(seeds):
                    one = replace(run, seed=seed)
                    runs[one.name] = one
    return list(runs.values())


def suggest_tau(run: Run, start: float = 0.5) -> float:
    """What :func:`innt_lib.learn.tau.suggest_tau` says for a run's network and training images."""
    return _suggest_tau(
        run.dataset, run.size, run.network, run.weights, run.batch_size, run.norm, start,
        run.split, run.train_per_class, run.on_bad,
    )  # fmt: skip


@functools.cache
def _suggest_tau(
    dataset: str, size: int, network: str, weights: str, batch_size: int, norm: Norm, start: float,
    split: data.Split, train_per_class: int, on_bad: data.OnBad,
) -> float:  # fmt: skip
    images = load_images(dataset, size, split, train_per_class, 0, on_bad).train
    built = networks.build(network, len(images.classes), weights)
    return tau.suggest_tau(built, images, batch_size, norm=norm, start=start)


def ensure(runs: Run | Iterable[Run], device: str = "auto") -> None:
    """Train what is not trained yet.

    All parameters are checked, and all data read, before the first training starts. Two processes
    that ask for the same run share it: one trains, the other waits. A training that diverges does
    not keep the others from being finished.

    Raises:
        ValueError: bad parameters; a finished run whose data have changed since.
        FileNotFoundError: data or checkpoint missing.
        PermissionError: the results cannot be written.
        DivergenceError: at the end, naming the trainings that diverged.
    """
    runs = [runs] if isinstance(runs, Run) else list(runs)
    pick_device(device)
    for run in runs:
        _check(run)
    missing = [run for run in runs if not run.finished]
    for generator in dict.fromkeys(generator_runs.behind(run) for run in missing):
        if generator is not None:
            generator_runs.ensure(generator, device)
    for run in runs:
        if run.finished:  # and then killed, before the state was removed
            (run.directory / "state.pt").unlink(missing_ok=True)
    if missing:
        check_writable(paths.runs_dir())
    diverged = []
    epochs = sum(run.epochs for run in missing)
    if len(missing) > 1 and unwatched():
        print(
            f"training {len(missing)} networks, {epochs} epochs in all", file=sys.stderr, flush=True
        )
    with progress(desc="training", unit="epoch", total=epochs if len(missing) > 1 else 1) as bar:
        for run in missing:
            bar.set_description(run.name)
            run.directory.mkdir(parents=True, exist_ok=True)
            try:
                with FileLock(run.directory / ".lock"):
                    if not run.finished:
                        _train(run, device, bar.update)
            except DivergenceError as error:
                diverged.append(f"{run.name}: {error}")
    if diverged:
        others = f" ({len(runs) - len(diverged)} others are finished)" if len(runs) > 1 else ""
        raise DivergenceError("\n".join(diverged) + others)


def load(run: Run, device: str = "auto") -> SplitNetwork:
    """The trained network of a run, trained now if need be, in eval mode on the device."""
    ensure(run, device)
    network = networks.build(run.network, len(run.load_data().train.classes))
    networks.load_checkpoint(network, run.directory / "weights.safetensors", name=run.network)
    return network.to(pick_device(device)).eval()


def collapsed(run: Run) -> bool:
    """Whether a finished run says the same of every image, see :mod:`innt_lib.learn.monitor`."""
    record = json.loads((run.directory / "run.json").read_text())
    return bool(record.get("collapsed", False))  # not looked for in earlier versions


def history(run: Run) -> pd.DataFrame:
    """One row an epoch of a finished run; the columns are those of :func:`training.train`.

    Where Reg_na is not trained on, it tells no runs apart: it was measured with the tau and the norm of
    whoever asked first, and is NaN if they are not those of this run.
    """
    table = pd.read_csv(run.directory / "history.csv")
    made = json.loads((run.directory / "run.json").read_text())["parameters"]
    same = run.tau == made["tau"] and run.norm == made.get("norm", run.norm)
    if not same and methods.METHODS[run.method].held == "nothing":
        table["reg"] = math.nan
    # Earlier versions did not look for a collapse (see also collapsed), nor at the maps.
    earlier = {"collapsed": 0.0, "test_similarity": math.nan}
    return table.assign(**{name: value for name, value in earlier.items() if name not in table})


def evaluation(
    run: Run,
    noise: Neighbor,
    *,
    cam: str = "gradcam",
    reading: Reading | None = None,
    device: str = "auto",
) -> pd.DataFrame:
    """Every test image of a run under a noise, measured now or read from the run's folder.

    Columns as in :func:`innt_lib.results.evaluation.evaluate`.
    """
    reading = reading or Reading()
    what = {
        "noise": type(noise).__name__, **asdict(noise), "cam": cam, **asdict(reading),
        "test": run.load_data().test.fingerprint,  # boxes included: a corrected one counts
        "version": VERSION,
    }  # fmt: skip

    if not run.finished:
        ensure(run, device)
    return kept(
        run, f"evaluation-{cam.replace('+', 'p')}", what,
        lambda: evaluate(
            load(run, device), run.load_data().test, noise, cam=cam, reading=reading, label=run.name
        ),
    )  # fmt: skip


def _check(run: Run) -> None:
    if run.finished:
        record = json.loads((run.directory / "run.json").read_text())
        if (known := record["data"]["train"]) != (now := run.load_data().train.fingerprint):
            raise ValueError(
                f"the data of {run.dataset!r} changed since {run.directory} was trained "
                f"({known} then, {now} now); remove that folder to train anew"
            )
        path = networks.checkpoint(run.weights)
        if path and path.is_file() and record.get("start") not in (None, _fingerprint(path)):
            raise ValueError(
                f"{path}, from which {run.directory} was trained, changed since; remove that folder "
                "to train anew"
            )
        return
    images = run.load_data().train
    if run.weighs:
        foreground_of(images.select([0]), run.weighs)
    generator_runs.labelled_ids(run)  # which cannot always be drawn
    if networks.checkpoint(run.weights):  # which may change between two calls
        networks.build(run.network, len(images.classes), run.weights)
    weights = "imagenet" if run.weights == "imagenet" else "none"
    _check_network(run.network, weights, run.size, len(images), run.batch_size)


def _fingerprint(path: Path) -> str:
    return _hash(path, path.stat().st_mtime_ns)


@functools.cache
def _hash(path: Path, changed: int) -> str:
    """``changed`` has its part in what is remembered: another file of that name is read anew."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


@functools.cache
def _check_network(network: str, weights: str, size: int, images: int, batch_size: int) -> None:
    built = networks.build(network, 2, weights)
    check_size(built, size, network)
    training.check_batches(built, images, batch_size)


def _train(run: Run, device: str, after_epoch: Callable[[], object]) -> None:
    sweep(run.directory)
    splits = run.load_data()
    network = networks.build(run.network, len(splits.train.classes), run.weights, run.seed)
    state = run.directory / "state.pt"
    start = networks.checkpoint(run.weights)
    made = generator_runs.behind(run)
    generator = generator_runs.load(made, device) if made else None
    started = time.perf_counter()
    table = train(
        network,
        splits.train,
        run,
        monitor=splits.test,
        generator=generator,
        device=device,
        state=state,
        label=run.name,
        after_epoch=after_epoch,
    )
    record = {
        "parameters": asdict(run),
        "data": {
            "train": splits.train.fingerprint,
            "images": len(splits.train),
            "skipped": splits.skipped,
        },
        "start": start and _fingerprint(start),
        "generator": made and made.name,
        "labelled": generator_runs.labelled_ids(run),
        "seconds": round(time.perf_counter() - started, 2),
        "collapsed": bool(table["collapsed"].iloc[-1]),
        "device": device_name(pick_device(device)),
        "versions": versions(),
    }
    networks.save_checkpoint(network, run.directory / "weights.safetensors")
    text = table.to_csv(index=False)
    write(run.directory / "history.csv", lambda stream: stream.write(text.encode()))
    # run.json comes last: its presence is what makes the run finished.
    content = json.dumps(record, indent=2) + "\n"
    write(run.directory / "run.json", lambda stream: stream.write(content.encode()))
    state.unlink(missing_ok=True)
