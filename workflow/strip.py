"""Leave in executed notebooks what a reader needs: cells and outputs, no timings, no widget state."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat


def strip(path: Path) -> None:
    """Rewrite a notebook in place without progress bars, execution times and other metadata."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {k: v for k, v in cell.metadata.items() if k == "tags"}
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        strip(Path(name))
