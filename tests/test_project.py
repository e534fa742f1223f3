"""The project as a whole: its files agree with each other."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROFILES = sorted((ROOT / "workflow/config").glob("*.yaml"))
sys.path.insert(0, str(ROOT / "workflow"))
from execute import execute, keep  # noqa: E402

from innt_lib.results import paper  # noqa: E402
from innt_lib.results.experiment import Experiment  # noqa: E402

# What conda-forge calls differently.
CONDA_NAMES = {"pytorch": "torch"}


KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


def normal(name):
    return re.split(r"[<>=;\[]", name)[0].strip().lower().replace("_", "-")


def test_environment_and_project_list_the_same_dependencies():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = {normal(d) for d in project["dependencies"] + project["optional-dependencies"]["dev"]}
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (by_pip,) = (d["pip"] for d in listed if isinstance(d, dict))
    conda = {normal(d) for d in listed if isinstance(d, str)} - {"python", "pip"}
    packages = {normal(d) for d in by_pip if not d.startswith("-")}  # not on conda-forge
    assert {CONDA_NAMES.get(name, name) for name in conda} | packages == ours


def test_lock_pins_every_dependency_and_holds_no_address():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9_.\-]+==[\w.+!]+", line) for line in lines)
    pinned = {normal(line) for line in lines}
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    wanted = {normal(d) for d in listed if isinstance(d, str)} - {"python", "pip"}
    assert {CONDA_NAMES.get(name, name) for name in wanted} <= pinned


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_committed_as_run_from_top_to_bottom(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert outputs and all(output.output_type != "error" for output in outputs)
    assert notebook.metadata.kernelspec.name == "python3"
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in code) == 1
    assert str(ROOT) not in path.read_text()
    for cell in code:
        if "parameters" not in cell.metadata.get("tags", []):
            assert len(cell.source.splitlines()) <= 16, cell.source
    assert path.stat().st_size < 2_000_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_show_every_setting_that_there_is(path):
    """Whoever adds a setting executes the notebooks again."""
    shown = re.findall(r"Experiment\((dataset=.*?)\)", path.read_text())
    assert shown
    for text in shown:
        assert re.findall(r"(\w+)=", text) == [field.name for field in fields(Experiment)]


# 7 trains some twenty variants, 8 measures each network under many corruptions, 9 trains many arms.
OF_THEIR_OWN = {
    ("07_ablations", "epochs"), ("07_ablations", "seeds"), ("08_cam_robustness", "seeds"),
    ("08_cam_robustness", "cams"), ("09_explanation_consistency", "epochs"),
    # 10 has pictures of its own, and trains six methods on them.
    *(("10_latent_neighbors", name) for name in (
        "dataset", "epochs", "methods", "noises", "pictures", "rotation", "seeds", "batch_size",
    )),
    # 11 has a row for every way to train.
    *(("11_neighborhoods", name) for name in ("methods", "noises", "pictures", "seeds", "vae_epochs")),
}  # fmt: skip


def test_a_parameter_means_the_same_in_every_notebook():
    seen = {}
    for path in NOTEBOOKS:
        for name, parameter in papermill.inspect_notebook(str(path)).items():
            assert parameter["help"], f"{path.name}: {name} has no comment"
            if (path.stem, name) in OF_THEIR_OWN:
                continue
            default = seen.setdefault(name, parameter["default"])
            assert parameter["default"] == default, f"{path.name}: {name}"


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_profiles_expand(path):
    command = [sys.executable, "workflow/run.py", path.stem, "--dry-run"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    about = yaml.safe_load(path.read_text()).get("notebooks", ["06_reproduction"])[-1]
    words = [word[:5] for word in about.split("_")[1:]]  # the rule of ablations is ablate
    words.append("Nothing to be done")
    assert any(word in said for word in words)


def test_an_unknown_profile_lists_the_valid_ones():
    command = [sys.executable, "workflow/run.py", "big"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert (
        f"PROFILE=big: must be one of {', '.join(sorted(p.stem for p in PROFILES))}" in done.stderr
    )


def test_paper_profile_is_the_paper():

    profile = yaml.safe_load((ROOT / "workflow/config/paper.yaml").read_text())
    given = profile["parameters"]
    assert {k: given[k] for k in paper.HYPERPARAMETERS} == paper.HYPERPARAMETERS
    assert given["weights"] == "imagenet"
    assert sorted(profile["figures"].values()) == ["cifar10", "cub200"]
    scratch = yaml.safe_load((ROOT / "workflow/config/paper-scratch.yaml").read_text())
    assert scratch["parameters"] == given | {"weights": "none"}


def test_a_profile_may_be_about_one_notebook():
    """Its figures are that notebook's alone, and its trainings come first."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile", "--summary"]
    command += ["--configfile", "workflow/config/robustness-birds.yaml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = re.findall(r"^(\S+)\t", done.stdout, re.MULTILINE)
    published = {
        Path(name).name for name in made if name.startswith("figures/here/robustness-birds/")
    }
    assert {"08_cam_robustness.ipynb", "robustness_claims.csv", "corruptions.png"} <= published
    assert not {"06_reproduction.ipynb", "fig07_heatmap_grid.png"} & published
    trained = [name for name in made if name.endswith("training/smallcnn-innt-gaussian.csv")]
    assert trained == [
        "runs/notebooks/robustness-birds/robustness-birds/training/smallcnn-innt-gaussian.csv"
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("robustness-cub200", "cub200-imagenet"),
        ("cub200-scorecam", "cub200-imagenet"),
        ("consistency-cub200", "cub200-imagenet"),
        ("robustness-cub200-lite0", "cub200-lite0"),
        ("robustness-cifar10", "cifar10"),
        ("robustness-birds", "demo"),
    ],
)
def test_networks_of_a_profile_are_those_of_another(one, other):
    assert names_of_runs(one) <= names_of_runs(other)


def names_of_runs(profile, **changes):
    content = yaml.safe_load((ROOT / f"workflow/config/{profile}.yaml").read_text())
    fields = Experiment.__dataclass_fields__
    given = {k: v for k, v in content["parameters"].items() if k in fields}
    given["tau"] = 1.0 if given["tau"] == "auto" else given["tau"]
    (dataset,) = content["figures"].values()
    return {run.name for run in Experiment(**given | changes, dataset=dataset).grid()}


def test_every_neighbourhood_meets_the_networks_of_both_noises():
    for noise, other in (("gaussian", "cub200-imagenet"), ("neighborhood", "cub200-neighborhood")):
        assert names_of_runs("neighborhoods-cub200", noises=noise) <= names_of_runs(other)


def test_birds_from_cifar10_start_where_its_plain_network_ended():
    from innt_lib.results import runs
    from innt_lib.system.environment import pick_precision

    def parameters(profile):
        content = yaml.safe_load((ROOT / f"workflow/config/{profile}.yaml").read_text())
        return content["parameters"]

    fields = runs.Run.__dataclass_fields__
    first, then = parameters("cifar10"), parameters("cub200-from-cifar10")
    given = {name: value for name, value in first.items() if name in fields and name != "tau"}
    given["precision"] = pick_precision(given["precision"], "cpu")
    plain = runs.Run(**given, dataset="cifar10", network=then["networks"], method="baseline")
    assert then["weights"] == f"features:runs/{plain.name}/weights.safetensors"


def test_every_profile_writes_its_own_figures():
    folders = [
        folder for path in PROFILES for folder in yaml.safe_load(path.read_text())["figures"]
    ]
    assert len(folders) == len(set(folders))


def test_a_failing_notebook_says_where_and_why_and_is_kept(tmp_path, capfd):
    cells = [
        nbformat.v4.new_code_cell("x = 1  # a number", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("print(x)"),
        nbformat.v4.new_code_cell("raise ValueError(f'x (={x}) must be 1')"),
    ]
    source, output = tmp_path / "bad name's.ipynb", tmp_path / "out" / "bad.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=KERNEL), source)
    assert execute(source, output, {"x": 2, "not_declared": 3}) == 1
    said = capfd.readouterr().err.strip().splitlines()
    assert said[-2] == "ValueError: x (=2) must be 1"
    assert "failed in cell" in said[-4] and "raise ValueError" in said[-3]
    kept = [
        o.text
        for c in nbformat.read(output, as_version=4).cells
        for o in c.get("outputs", [])
        if "text" in o
    ]
    assert kept == ["2\n"]


def test_a_kept_copy_leads_back_to_the_series_and_is_the_same_every_time(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "figures/mine").mkdir(parents=True)
    cells = [
        nbformat.v4.new_markdown_cell(
            "see [ablations](07_ablations.ipynb), [why](../docs/readings.md), [that](https://x.org)"
        ),
        nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("print(x)"),
    ]
    source, kept = tmp_path / "notebooks/a.ipynb", tmp_path / "figures/mine/a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=KERNEL), source)
    copies = []
    for _ in range(2):
        assert execute(source, tmp_path / "out.ipynb", {"x": 2}) == 0
        keep(tmp_path / "out.ipynb", kept, source.parent)
        copies.append(kept.read_bytes())
    assert copies[0] == copies[1]
    text = nbformat.read(kept, as_version=4).cells[0].source
    assert text == (
        "see [ablations](../../notebooks/07_ablations.ipynb), "
        "[why](../../notebooks/../docs/readings.md), [that](https://x.org)"
    )


def test_pictures_that_lie_beside_a_kept_copy_are_linked(tmp_path):
    (tmp_path / "deeper").mkdir()
    lines = [
        "import matplotlib.pyplot as plt",
        "from innt_lib.results import figures",
        "for name in ('one', 'two'):",
        "    figure, _ = plt.subplots(figsize=(1, 1))",
        f"    figures.save(figure, {str(tmp_path / 'deeper')!r}, f'my_{{name}}')",
    ]
    sources = ["\n".join(lines), "plt.subplots(figsize=(1, 1));"]
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=KERNEL)
    nbformat.write(notebook, tmp_path / "a.ipynb")
    assert execute(tmp_path / "a.ipynb", tmp_path / "out.ipynb", {}) == 0
    keep(tmp_path / "out.ipynb", tmp_path / "kept.ipynb", tmp_path)
    linked, not_saved = (cell.outputs for cell in nbformat.read(tmp_path / "kept.ipynb", 4).cells)
    assert [output.data["text/markdown"] for output in linked] == [
        "![my_one](deeper/my_one.png)",
        "![my_two](deeper/my_two.png)",
    ]
    assert not any("image/png" in output.data for output in linked)
    assert "image/png" in not_saved[0].data
    (tmp_path / "deeper/my_two.png").unlink()  # then the copy needs its own
    keep(tmp_path / "out.ipynb", tmp_path / "kept.ipynb", tmp_path)
    first = nbformat.read(tmp_path / "kept.ipynb", 4).cells[0]
    assert ["image/png" in output.data for output in first.outputs] == [True, True]


def test_the_estimate_counts_every_step_that_is_left(root, monkeypatch):
    import prepare

    from innt_lib.results import runs

    monkeypatch.setattr(prepare, "seconds_a_step", lambda *_: 3600.0)
    profile = yaml.safe_load((ROOT / "workflow/config/demo.yaml").read_text())["parameters"]
    given = profile | {"networks": "smallcnn", "epochs": 2, "size": 32, "tau": 2e-3}
    # 24 images in batches of 16 are 1 step an epoch; 3 baselines, and 2 methods x 2 noises x 3 seeds.
    table = prepare.estimate(given, prepare.fetch("birds"), "birds")
    assert table["trainings"].tolist() == [3, 12]
    assert table["images a step"].tolist() == [16, 32]
    assert table["hours"].tolist() == [2 * 3, 2 * 12]
    fields = {k: v for k, v in given.items() if k in runs.Run.__dataclass_fields__}
    runs.ensure(runs.Run(**fields, network="smallcnn", method="baseline"))
    left = prepare.estimate(given, prepare.fetch("birds"), "birds")
    assert left["trainings"].tolist() == [2, 12]


@pytest.mark.parametrize("profile", [path.stem for path in PROFILES])
def test_a_step_of_every_profile_can_be_timed(root, monkeypatch, profile):
    import prepare

    timed = []
    monkeypatch.setattr(prepare, "seconds_a_step", lambda *about: timed.append(about) or 1.0)
    (dataset, *_) = yaml.safe_load(profile_text(profile))["figures"].values()
    parameters = yaml.safe_load(profile_text(profile))["parameters"]
    table = prepare.estimate(parameters, prepare.fetch("birds"), dataset)
    assert len(table) == len(timed) > 0
    assert {settings.epochs for _, _, _, settings, _ in timed} == {1}


def profile_text(name):
    return (ROOT / f"workflow/config/{name}.yaml").read_text()


def test_prepare_fetches_and_says_how_long(root):
    command = [sys.executable, "workflow/prepare.py", "demo"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True
    )  # INNT_ROOT is the root
    assert done.returncode == 0, done.stderr
    assert re.search(r"All trainings: about \d+\.\d hours, \d+ at once", done.stdout)


def test_a_notebook_whose_kernel_dies_says_where_and_is_kept(tmp_path, capfd):
    cells = [
        nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"),
    ]
    source, output = tmp_path / "dies.ipynb", tmp_path / "out.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=KERNEL), source)
    assert execute(source, output, {}) == 1
    said = capfd.readouterr().err.strip().splitlines()
    assert said[-2] == "the kernel was killed (out of memory?)"
    assert "os.kill" in said[-3] and output.exists()


def test_kernels_share_no_ports(tmp_path):
    cells = [
        nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(
            "from ipykernel.connect import get_connection_info\n"
            "found = get_connection_info(unpack=True)\nprint(found['transport'], found['ip'])"
        ),
    ]
    source, addresses = tmp_path / "where.ipynb", []
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=KERNEL), source)
    for name in ("a.ipynb", "b.ipynb"):
        assert execute(source, tmp_path / name, {}) == 0
        (text,) = nbformat.read(tmp_path / name, as_version=4).cells[-1].outputs
        addresses.append(text.text.split())
    assert [transport for transport, _ in addresses] == ["ipc", "ipc"]
    assert addresses[0][1] != addresses[1][1]


def test_a_temporary_folder_with_a_long_name_will_do(tmp_path, monkeypatch):
    long = tmp_path / ("a" * 90)  # the path of a socket in it would be too long
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    cell = nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]})
    source = tmp_path / "one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=KERNEL), source)
    assert execute(source, tmp_path / "out.ipynb", {}) == 0


def test_a_grid_value_that_a_notebook_does_not_declare_is_an_error():
    done = subprocess.run(
        [sys.executable, "workflow/execute.py", "notebooks/00_overview.ipynb", "unused.ipynb",
         "--config", "workflow/config/demo.yaml", "-p", "methd", "nt"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "00_overview.ipynb: has no parameter methd" in done.stderr
    assert not (ROOT / "unused.ipynb").exists()


def test_a_data_path_with_spaces_and_quotes_goes_through_the_workflow(root, tiny_root, tmp_path):
    """Nothing of a profile reaches a shell unquoted."""
    folder = tmp_path / 'it\'s "my" $(touch oops) data'
    shutil.copytree(tiny_root / "data" / "birds", folder)
    project = tmp_path / "project"
    for name in ("innt_lib", "notebooks", "workflow"):
        shutil.copytree(ROOT / name, project / name)
    profile = yaml.safe_load((ROOT / "workflow/config/demo.yaml").read_text())
    profile["figures"] = {"mine": str(folder)}
    (project / "workflow/config/mine.yaml").write_text(yaml.safe_dump(profile))
    goal = "figures/here/mine/fig05_dataset.png"
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile", "--configfile",
         "workflow/config/mine.yaml", "--resources", "gpu=1", "--cores", "1", goal],
        cwd=project, capture_output=True, text=True,
        env=os.environ | {"INNT_ROOT": str(project), "PYTHONPATH": str(project)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert (project / goal).exists() and not list(tmp_path.rglob("oops"))


def test_committed_figures_do_not_stand_for_a_run(tmp_path):
    """In a fresh copy every notebook is executed, though its results are there and not older."""
    for name in ("innt_lib", "notebooks", "workflow"):
        shutil.copytree(ROOT / name, tmp_path / name)
    command = [sys.executable, "-m", "snakemake", "--snakefile", "workflow/Snakefile"]
    command += ["--configfile", "workflow/config/demo.yaml"]
    listed = subprocess.run([*command, "--summary"], cwd=tmp_path, capture_output=True, text=True)
    committed = re.findall(r"^figures/here/\S+", listed.stdout, re.MULTILINE)
    assert len(committed) > 30
    for name in committed:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    plan = subprocess.run([*command, "--dry-run"], cwd=tmp_path, capture_output=True, text=True)
    assert re.search(r"^total +17$", plan.stdout, re.MULTILINE)
