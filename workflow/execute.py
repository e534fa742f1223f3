"""Run one notebook with papermill: the parameters of a profile in, an executed copy out."""

from __future__ import annotations

import argparse
import ast
import logging
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from strip import strip
from traitlets.config import Config

EXPERIMENT = Path(__file__).resolve().parents[1] / "innt_lib/results/experiment.py"


def accepted(notebook: Path) -> list[str]:
    """Names that a notebook takes: those in its parameters cell, and the fields of `Experiment`.

    The class is read, not imported: that would take as long as a short notebook.
    """
    (experiment,) = (
        node
        for node in ast.parse(EXPERIMENT.read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == "Experiment"
    )
    shared = [
        node.target.id
        for node in experiment.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    return [*papermill.inspect_notebook(str(notebook)), *shared]


def execute(notebook: Path, output: Path, parameters: dict[str, Any]) -> int:
    """Run a notebook; on failure print the cell and the reason, and keep the partly executed copy.

    Args:
        notebook: to run.
        output: the executed copy.
        parameters: those that the notebook takes are passed.

    Returns:
        0, or 1 if a cell failed.
    """
    names = accepted(notebook)
    output.parent.mkdir(parents=True, exist_ok=True)
    # A folder of its own, so that notebooks side by side do not share a history file.
    with tempfile.TemporaryDirectory() as ipython:
        os.environ["IPYTHONDIR"] = ipython
        profile = Path(ipython, "profile_default")
        profile.mkdir()
        # Silent: every kernel warns that it is spoken to without encryption, here by papermill, and
        # some call their shutdown an error. What fails in a cell comes as an exception.
        (profile / "ipython_kernel_config.py").write_text("c.IPKernelApp.log_level = 50\n")
        # Sockets in that folder, too: two kernels that start at once may be given the same TCP port.
        # (Not below a long TMPDIR: the path of a socket ends at about 100 characters.)
        file = str(Path(ipython, "kernel.json"))
        sockets = {"transport": "ipc", "connection_file": file} if len(file) < 90 else {}
        try:
            papermill.execute_notebook(
                str(notebook), str(output), {k: v for k, v in parameters.items() if k in names},
                kernel_name="python3", progress_bar=False, config=Config(KernelManager=sockets),
            )  # fmt: skip
        except PapermillExecutionError as error:
            reason = re.sub(r"\x1b\[[0-9;]*m", "", f"{error.ename}: {error.evalue}")
            return failed(notebook, output, error.exec_count, error.source, reason)
        except DeadKernelError:
            cells = nbformat.read(output, as_version=4).cells
            code = [cell for cell in cells if cell.cell_type == "code"]
            ended = [cell for cell in code if cell.metadata.papermill.end_time]
            reason = "the kernel was killed (out of memory?)"
            return failed(notebook, output, len(ended), ended[-1].source, reason)
    return 0


def failed(notebook: Path, output: Path, count: int | None, source: str, reason: str) -> int:
    """Print what failed; the reason last but one."""
    print(f"\n{notebook.name} failed in cell {count}:", file=sys.stderr)
    print("\n".join(f"    {line}" for line in source.splitlines()), file=sys.stderr)
    print(f"{reason}\n(executed so far: {output})", file=sys.stderr)
    return 1


def keep(executed: Path, copy: Path, series: Path) -> None:
    """Copy an executed notebook as it is to be read beside the files that it saved.

    It is stripped, its links lead back to the series, and pictures that lie beside it are linked, not
    kept a second time.
    """
    shutil.copyfile(executed, copy)
    strip(copy)
    link_pictures(copy)
    back = os.path.relpath(series, copy.parent)
    links = r"\]\((\d\d_\w+\.ipynb|\.\./\w[^)]*)\)"  # to its neighbours, and out of their folder
    copy.write_text(re.sub(links, rf"]({back}/\1)", copy.read_text()))


def link_pictures(path: Path) -> None:
    """Put links in the place of a cell's pictures, where all that it saved lie beside the notebook."""
    notebook = nbformat.read(path, as_version=4)
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        shown = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        files = [file for name in saved(cell.source) for file in sorted(path.parent.rglob(name))]
        if len(shown) == len(files):
            for output, file in zip(shown, files, strict=True):
                name = file.relative_to(path.parent).as_posix()
                output.data = {"text/markdown": f"![{file.stem}]({name})", "text/plain": name}
    nbformat.write(notebook, path)


def saved(source: str) -> list[str]:
    """The names under which a cell saves figures, as patterns; names that it computes are left out."""
    tree = ast.parse(TransformerManager().transform_cell(source))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [call.args[2] for call in calls if ast.unparse(call.func) == "figures.save"]
    patterns = []
    for name in names:
        parts = name.values if isinstance(name, ast.JoinedStr) else [name]
        if isinstance(parts[0], ast.Constant):
            said = [str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts]
            patterns.append("".join(said) + ".png")
    return patterns


def main() -> int:
    """Command line: NOTEBOOK OUTPUT --config FILE [--keep FILE] [-p NAME TEXT ...]."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--keep", type=Path, help="also leave a copy here, as it is to be read")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "TEXT"))
    options = parser.parse_args()
    logging.getLogger("papermill").setLevel(logging.ERROR)
    parameters = yaml.safe_load(options.config.read_text())["parameters"]
    given = dict(options.p)
    if unknown := set(given) - set(accepted(options.notebook)):
        names = ", ".join(sorted(unknown))
        print(f"{options.notebook}: has no parameter {names}", file=sys.stderr)
        return 2
    status = execute(options.notebook, options.output, parameters | given)
    if options.keep and not status:
        keep(options.output, options.keep, options.notebook.parent)
    return status


if __name__ == "__main__":
    sys.exit(main())
