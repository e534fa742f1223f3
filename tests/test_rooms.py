"""The house: which room may use which, no circles, and no file that is not read in one sitting."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "innt_lib"
FILES = sorted(PACKAGE.rglob("*.py"))
# A room, and those below it that it stands on.
ROOMS = {
    "system": set(),
    "neighbors": {"system"},
    "explain": {"system"},
    "data": {"system"},
    "learn": {"system", "neighbors", "explain", "data"},
    "results": {"system", "neighbors", "explain", "data", "learn"},
}
LONGEST = 300


def name(path: Path) -> str:
    parts = ("innt_lib", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(part for part in parts if part != "__init__")


MODULES = {name(path): path for path in FILES}


def imports(path: Path) -> set[str]:
    """The modules of the package that a file imports, wherever in it; a package stands for its __init__."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inside & MODULES.keys()) or {node.module}
    return {module for module in found if module in MODULES and module != name(path)}


def room(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


@pytest.mark.parametrize("module", [m for m in MODULES if room(m)])
def test_no_arrow_runs_back_up(module):
    used = {room(other) for other in imports(MODULES[module])}
    # The package itself is its version alone to what is inside.
    assert used - {room(module), ""} <= ROOMS[room(module)], f"{module} uses {sorted(used)}"


def test_every_file_is_in_a_room():
    assert {room(module) for module in MODULES} == {"", *ROOMS}
    assert [path.name for path in PACKAGE.glob("*.py")] == ["__init__.py"]


def test_no_circles():
    arrows = {module: imports(path) - {"innt_lib"} for module, path in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in done:
            for other in sorted(arrows[module]):
                visit(other, (*trail, module))
            done.add(module)

    for module in arrows:
        visit(module, ())


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_is_read_in_one_sitting(path):
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST, f"{path.name} has {lines} lines: look for the second idea in it"
