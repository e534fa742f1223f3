"""The pages of the site follow from the folders, and links that lead out of them are turned."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow/site"))
import pages  # noqa: E402


@pytest.fixture
def repository(tmp_path):
    """A small one, with a page of every kind."""
    root = tmp_path / "repository"
    for name, text in {
        "README.md": "# Ours\n\n[tables](figures/mine/table3_by_cam.md), [all](figures/)",
        "CONTRIBUTING.md": "# How\n\n[profiles](workflow/config/), [code](innt_lib/room/one.py)",
        "docs/text.md": "# Text\n\n[back](../README.md#ours), [out](https://x.org), ![p](a.png)",
        "docs/play.md": "# Play",
        "data/README.md": "# Data",
        "figures/mine/table3_by_cam.md": "| a |\n|---|\n| 1 |",
        "figures/mine/reproduction_claims.md": "| claim |\n|---|\n| 1 |",
        "figures/mine/fig07_heatmap_grid.png": "",
        "figures/here/mine/fig07_heatmap_grid.png": "",
        "workflow/config/small.yaml": "# A small one.\nfigures: {mine: birds}\n",
        "innt_lib/room/__init__.py": "",
        "innt_lib/room/one.py": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    cell = {
        "cell_type": "markdown",
        "source": ["see [how](../CONTRIBUTING.md)\n", "[a](../figures/mine)"],
    }
    (root / "notebooks").mkdir()
    (root / "notebooks/12_new.ipynb").write_text(json.dumps({"cells": [cell]}))
    pages.lay_out(root, tmp_path / "source")
    return tmp_path / "source"


def test_a_new_notebook_text_profile_and_module_are_listed_and_there(repository):
    index = (repository / "index.md").read_text()
    for page in ("docs/play", "docs/text", "notebooks/12_new", "figures/index", "reference/index"):
        assert f"\n{page}\n" in index
        assert list(repository.glob(f"{page}.*"))
    assert "- [mine](mine/index.md): A small one\n" in (repository / "figures/index.md").read_text()
    assert "automodule:: innt_lib.room.one\n" in (repository / "reference/room.md").read_text()
    assert not (repository / "figures/here").exists()


def test_links_to_what_is_no_page_lead_somewhere(repository):
    assert (
        "[tables](#mine-table3_by_cam), [all](figures/index.md)"
        in (repository / "index.md").read_text()
    )
    how = (repository / "CONTRIBUTING.md").read_text()
    assert "\nprofiles, [code](innt_lib/room/one.py)" in how  # a folder without a page
    assert (repository / "innt_lib/room/one.py").exists()  # can be fetched
    text = (repository / "docs/text.md").read_text()
    assert "[back](../index.md#ours), [out](https://x.org), ![p](a.png)" in text
    (cell,) = json.loads((repository / "notebooks/12_new.ipynb").read_text())["cells"]
    assert cell["source"] == "see [how](../CONTRIBUTING.md)\n[a](../figures/mine/index.md)"


def test_a_profile_shows_its_verdicts_first_and_names_its_files(repository):
    page = (repository / "figures/mine/index.md").read_text()
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert headings == ["## Verdicts", "## Figure 7: heatmap grid", "## Table 3: by cam"]
    assert "(mine-table3_by_cam)=\n## Table 3: by cam\n\n| a |" in page
    assert "![Figure 7: heatmap grid](fig07_heatmap_grid.png)" in page
