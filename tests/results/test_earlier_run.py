"""A run of the first version, its 28 flat files: found by the name it has now, and measured alike."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from innt_lib.neighbors import GaussianNoise
from innt_lib.results import runs, tables

EARLIER = Path(__file__).parent / "earlier_run"
RUN = runs.Run(size=16, epochs=3, batch_size=8, tau=0.05)
NAME = "birds16-smallcnn-innt-gaussian0.15-s0-b048a21f"


def test_names_are_what_they_were():
    assert RUN.name == NAME
    published = pd.read_csv(Path(__file__).parents[2] / "figures/cub200/table4_accuracy.csv")
    known = {name for names in published["runs"] for name in names.split()}
    found = runs.Run(
        dataset="cub200",
        size=64,
        method="baseline",
        epochs=15,
        batch_size=16,
        precision="bfloat16",
        seed=2,
    )
    assert found.name in known


def test_an_earlier_run_is_found_and_gives_the_same_table(root, monkeypatch):
    recorded = json.loads((EARLIER / "run.json").read_text())
    monkeypatch.setattr(runs, "train", lambda *_, **__: pytest.fail("trained again"))
    shutil.copytree(EARLIER, RUN.directory, ignore=shutil.ignore_patterns("evaluation.csv"))
    assert recorded["data"]["train"] == RUN.load_data().train.fingerprint
    assert not runs.collapsed(RUN) and runs.history(RUN)["collapsed"].tolist() == [0, 0, 0]
    torch.set_num_threads(1)
    found = tables.per_image([RUN], {"gaussian": 0.15}, device="cpu")
    assert list(dict.fromkeys(found["run"])) == [NAME]
    expected = pd.read_csv(EARLIER / "evaluation.csv")
    # Another processor may round otherwise, in the last digits of float32.
    pd.testing.assert_frame_equal(found[expected.columns], expected, rtol=1e-3, atol=1e-4)
    kept = runs.evaluation(RUN, GaussianNoise(0.15), device="cpu")
    pd.testing.assert_frame_equal(kept, found[expected.columns])
    assert (RUN.directory / "evaluation-gradcam-972658ec.csv").is_file()
