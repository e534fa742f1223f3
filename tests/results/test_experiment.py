"""What notebooks share: settings, their checks, and parameters that papermill was told wrongly."""

from __future__ import annotations

import pytest
import torch

from innt_lib.results import runs
from innt_lib.results.experiment import Experiment
from innt_lib.results.parameters import names_among, numbers_of
from innt_lib.system.environment import pick_precision


def test_the_grid_is_that_of_runs(root):
    made = Experiment(size=16, seeds=2, tau=0.1, methods="baseline,nt_once,innt")
    expected = runs.grid(
        "smallcnn", "baseline,nt_once,innt", {"gaussian": 0.15, "neighborhood": 1.0}, 2,
        tau=0.1, dataset="birds", size=16, epochs=16, batch_size=16, learning_rate=1e-3,
        rotation=15.0, precision=pick_precision("auto"),
    )  # fmt: skip
    assert [run.name for run in made.grid()] == [run.name for run in expected]
    few = made.grid(methods="baseline", seeds=1)
    assert [run.name for run in few] == [expected[0].name]
    one = made.run("smallcnn", method="innt", strength=0.15, split="validation")
    assert (one.tau, one.split, one.epochs) == (0.1, "validation", 16)


def test_attacks_take_the_radius():
    made = Experiment(noises="gaussian, fgsm,pgd20", radius=4.0, tau=1.0)
    assert made.strengths == {"gaussian": 0.15, "fgsm": 4.0, "pgd20": 4.0}
    assert {run.noise for run in made.grid(methods="innt")} == {"gaussian", "fgsm", "pgd20"}


def test_corruptions_take_the_severity():
    made = Experiment(noises="gaussian,shot,jpeg", severity=4, tau=1.0)
    assert made.strengths == {"gaussian": 0.15, "shot": 4.0, "jpeg": 4.0}
    assert {run.strength for run in made.grid(methods="nt")} == {0.15, 4.0}
    with pytest.raises(ValueError, match=r"strength \(=6"):
        Experiment(noises="shot", severity=6, tau=1.0)


def test_precision_follows_the_device(monkeypatch):
    assert pick_precision("auto", "cpu") == "float32"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert pick_precision("auto") == "bfloat16"
    assert pick_precision("auto", "cpu") == "float32"
    assert Experiment(tau=1.0).grid(seeds=1)[0].precision == "bfloat16"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epochs": "ten"}, r"epochs \(='ten'\) must be a whole number"),
        ({"epochs": 2.5}, r"epochs \(=2.5\) must be a whole number"),
        ({"learning_rate": "1e-4"}, r"learning_rate \(='1e-4'\) must be a number.*1.0e-4"),
        ({"tau": "small"}, r"tau \(='small'\) must be a number or 'auto'"),
        ({"networks": 3}, r"networks \(=3\) must be a text"),
        ({"mu_gaussian": -1}, r"mu_gaussian \(=-1\)"),
        (
            {"methods": "nt,INNT"},
            r"method \(='INNT'\) must be one of .*innt, consistency, vat, nt_once",
        ),
        ({"noises": "salt"}, r"noise \(='salt'\)"),
        ({"networks": "resnet19"}, r"network \(='resnet19'\)"),
        ({"precision": "float16"}, r"precision \(='float16'\) must be one of auto"),
        ({"seeds": 0}, r"seeds \(=0\)"),
    ],
)
def test_wrong_values_are_refused_before_anything_is_read(given, said):
    with pytest.raises(ValueError, match=said):
        Experiment(**given)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there():
    with pytest.raises(ValueError, match="no CUDA GPU; use auto or cpu"):
        Experiment(device="cuda")


def test_papermills_parameters():
    declared, given = "epochs = 10  # passes\ncams = 'x'", "# Parameters\n{} = 1\n"

    def of(name: str, **values: object) -> Experiment:
        cells = ["", "import this", declared, given.format(name), "Experiment.of(globals())"]
        return Experiment.of({"In": cells, "epochs": 16} | values)

    assert of("epochs", epochs=1).epochs == 1
    assert of("lambda_", lambda_=0.5).changed() == {"lambda_": 0.5}
    assert of("cams").changed() == {}
    with pytest.raises(ValueError, match="no parameter 'epoch'; is it epochs?"):
        of("epoch")
    with pytest.raises(ValueError, match="no parameter 'cam'; is it cams?"):
        of("cam")
    assert Experiment.of({"In": ["", declared]}) == Experiment()  # as JupyterLab runs it
    assert "<b>lambda_ = 0.5</b>" in of("lambda_", lambda_=0.5)._repr_html_()


def test_names_among():
    assert names_among("questions", "tau, norm", "parts,tau,norm") == ["tau", "norm"]
    with pytest.raises(ValueError, match="questions: 'fog' must be one of parts, tau"):
        names_among("questions", "tau,fog", ("parts", "tau"))


def test_numbers_of():
    assert numbers_of("radii", "1, 0.5,2e-3") == [1.0, 0.5, 0.002]
    assert numbers_of("radii", 2) == [2.0]  # as papermill makes of a single one
    for text, named in (("1,two", "'two'"), ("1,", "''")):
        with pytest.raises(ValueError, match=f"radii: {named} must be a number, or several"):
            numbers_of("radii", text)
    assert numbers_of("labels", "400,0", int) == [400, 0]
    with pytest.raises(ValueError, match=r"labels: '400.5' must be a whole number, or several"):
        numbers_of("labels", "400.5", int)
