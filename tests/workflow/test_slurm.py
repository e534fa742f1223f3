"""workflow/slurm.py beside commands that answer as SLURM's do; `make test-slurm` has a real one."""

import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROFILE = ROOT / "workflow/profiles/slurm"
sys.path.insert(0, str(ROOT / "workflow"))

import slurm  # noqa: E402


@pytest.fixture
def command(tmp_path, monkeypatch):
    """A function that puts a command of one shell script on an otherwise empty path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return put


def test_jobs_of_another_folder_are_left_alone(tmp_path, command):
    queue = tmp_path / "queue"
    queue.write_text(f"7 {slurm.prefix(ROOT)}_a-b\n8 {slurm.prefix(tmp_path)}_c\n9 mine\n")
    # What is cancelled leaves the queue.
    command("squeue", f'while read -r line; do echo "$line"; done <{queue}')
    command("scancel", f'echo "$2" >>{tmp_path}/cancelled; echo "9 mine" >{queue}')
    assert slurm.jobs(ROOT) == ["7"]
    assert slurm.end_jobs(ROOT) == 1
    assert (tmp_path / "cancelled").read_text() == "7\n"
    assert slurm.end_jobs(ROOT) == 0


def test_jobs_that_do_not_end_are_named(command):
    command("squeue", f"echo 7 {slurm.prefix(ROOT)}_a")
    command("scancel", "")
    with pytest.raises(slurm.SlurmError, match="do not end: 7"):
        slurm.end_jobs(ROOT, patience=0)


def test_squeue_is_asked_where_there_is_no_database(command):
    command("sbatch", "")
    command("scontrol", "echo AccountingStorageType = accounting_storage/slurmdbd")
    assert "squeue" not in slurm.arguments(ROOT, PROFILE)
    command("scontrol", "echo AccountingStorageType = accounting_storage/none")
    assert slurm.arguments(ROOT, PROFILE)[-1] == "squeue"


def test_what_is_missing_is_said(tmp_path, command):
    with pytest.raises(slurm.SlurmError, match="no sbatch"):
        slurm.arguments(ROOT, PROFILE)
    with pytest.raises(slurm.SlurmError, match="must be 1, or a folder"):
        slurm.arguments(ROOT, tmp_path)
    command("squeue", "echo 'slurm_load_jobs error: down' >&2; exit 1")
    with pytest.raises(slurm.SlurmError, match="^squeue failed: slurm_load_jobs error: down$"):
        slurm.jobs(ROOT)


def test_every_rule_with_a_gpu_has_settings():
    rules = (ROOT / "workflow/rules/notebooks.smk").read_text().split("\nrule ")[1:]
    with_gpu = {rule.split(":")[0] for rule in rules if "gpu=1" in rule}
    settings = yaml.safe_load((PROFILE / "config.yaml").read_text())["set-resources"]
    assert set(settings) == with_gpu
