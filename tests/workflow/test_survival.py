"""Killed, starved, locked out, diverged: nothing finished is lost, and the rest goes on."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import resource
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from innt_lib.learn import training
from innt_lib.results import runs
from innt_lib.system import files

SMALL: dict[str, Any] = dict(size=32, epochs=4, batch_size=8, tau=2e-3)
KILLS = 20
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["innt_lib.results.runs"])


def count_moments(reached) -> None:
    """Call `reached` at every optimiser step and around every stage of every write."""
    step, make, sync, replace = (
        training.Step.__call__, files.io.FileIO, os.fsync, os.replace,
    )  # fmt: skip

    def around(function):
        def wrapped(*args, **kwargs):
            reached()
            result = function(*args, **kwargs)
            reached()
            return result

        return wrapped

    training.Step.__call__ = around(step)
    files.io.FileIO, os.fsync, os.replace = map(around, (make, sync, replace))


def test_what_is_written_is_as_readable_as_any_other_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    files.write(tmp_path / "ours", lambda stream: stream.write(b"x"))
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def train_until(root: str, moment: int) -> None:
    """In a process of its own: train, and be killed at a moment."""
    os.environ["INNT_ROOT"] = root
    torch.set_num_threads(1)
    run, moments = runs.Run(**SMALL), itertools.count(1)
    run.load_data()
    count_moments(lambda: next(moments) == moment and os.kill(os.getpid(), signal.SIGKILL))
    runs.ensure(run)


def train_and_count(root: str, said) -> None:
    os.environ["INNT_ROOT"] = root
    torch.set_num_threads(1)
    run, moments = runs.Run(**SMALL), itertools.count()
    run.load_data()
    count_moments(lambda: next(moments))
    runs.ensure(run)
    said.put(next(moments))


def train_and_note(root: str) -> None:
    os.environ["INNT_ROOT"] = root
    torch.set_num_threads(1)
    train = runs.train

    def noted(*args, **kwargs):
        with open(f"{root}/trained", "a") as file:
            file.write("once\n")
        return train(*args, **kwargs)

    runs.train = noted
    runs.ensure(runs.Run(**SMALL))


def train_with_limit(root: str, said) -> None:
    os.environ["INNT_ROOT"] = root
    torch.set_num_threads(1)
    run = runs.Run(**SMALL)
    run.load_data()
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    try:
        runs.ensure(run)
    except OSError as error:
        said.put(str(error))


def train_as_nobody(root: str, said) -> None:
    os.environ["INNT_ROOT"] = root
    run = runs.Run(**SMALL)
    run.load_data()
    if os.geteuid() == 0:  # root may write everywhere
        os.setuid(65534)
    try:
        runs.ensure(run)
    except PermissionError as error:
        said.put(str(error))


def start(target, *args):
    process = processes.Process(target=target, args=args)
    process.start()
    return process


def ask(target, root: Path) -> Any:
    """What a process of its own says."""
    said = processes.Queue()
    process = start(target, str(root), said)
    answer = said.get(timeout=120)
    process.join()
    return answer


def new_root(tiny_root: Path, folder: Path) -> Path:
    folder.mkdir()
    (folder / "data").symlink_to(tiny_root / "data")
    return folder


def weights(root: Path) -> bytes:
    (found,) = root.glob("runs/*/weights.safetensors")
    return found.read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(tiny_root, tmp_path_factory):
    """Weights of an undisturbed training, and how many moments it has."""
    root = new_root(tiny_root, tmp_path_factory.mktemp("whole") / "root")
    moments = ask(train_and_count, root)
    return weights(root), moments


def test_killed_at_any_moment_a_training_ends_with_the_same_weights(
    uninterrupted, tiny_root, tmp_path
):
    expected, moments = uninterrupted
    chosen = np.random.default_rng(0).choice(moments, KILLS, replace=False) + 1
    assert moments > 3 * KILLS
    for moment in map(int, chosen):
        root = new_root(tiny_root, tmp_path / str(moment))
        process = start(train_until, str(root), moment)
        process.join()
        assert process.exitcode == -signal.SIGKILL, moment
        again = start(train_until, str(root), 0)
        again.join()
        assert again.exitcode == 0, moment
        assert weights(root) == expected, moment
        (folder,) = root.glob("runs/*")
        left = {path.name for path in folder.iterdir()} - {".lock"}
        assert left == {"run.json", "history.csv", "weights.safetensors"}, moment


def test_of_two_at_once_one_trains_and_the_other_waits(uninterrupted, tiny_root, tmp_path):
    root = new_root(tiny_root, tmp_path / "root")
    both = [start(train_and_note, str(root)) for _ in range(2)]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert (root / "trained").read_text() == "once\n"
    assert weights(root) == uninterrupted[0]


def test_no_room_for_a_checkpoint_is_one_line_and_keeps_the_last_one(
    uninterrupted, tiny_root, tmp_path
):
    root = new_root(tiny_root, tmp_path / "root")
    # The first epoch has 3 steps of 2 moments and a write of 6.
    start(train_until, str(root), 13).join()
    (state,) = root.glob("runs/*/state.pt")
    before = state.read_bytes()
    said = ask(train_with_limit, root)
    assert "File too large" in said and str(state) in said and "\n" not in said
    assert "what was there before is kept" in said
    assert state.read_bytes() == before and not list(state.parent.glob("*.tmp"))
    start(train_until, str(root), 0).join()
    assert weights(root) == uninterrupted[0]


def test_results_that_cannot_be_written_are_known_before_training(tiny_root, tmp_path):
    root = new_root(tiny_root, tmp_path / "root")
    for folder in (root, *root.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    (root / "runs").mkdir(mode=0o555)
    said = ask(train_as_nobody, root)
    assert said == f"{root / 'runs'}: no results can be written here (Permission denied)"


def test_a_training_that_diverges_does_not_stop_the_others(root):
    wild, tame = runs.Run(**SMALL, learning_rate=1e30), runs.Run(**SMALL)
    with pytest.raises(training.DivergenceError) as caught:
        runs.ensure([wild, tame])
    said = str(caught.value)
    assert said.startswith(f"{wild.name}: the loss became nan in epoch 1, step ")
    assert "learning rate 1e+30; try a smaller" in said and "(1 others are finished)" in said
    assert tame.finished and not wild.finished


def test_out_of_gpu_memory_says_what_to_try(root, monkeypatch):
    def full(step, positions):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(training.Step, "__call__", full)
    with pytest.raises(MemoryError, match=r"batch_size \(=8\); try 4"):
        runs.ensure(runs.Run(**SMALL))
