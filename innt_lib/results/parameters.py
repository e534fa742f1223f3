"""What a notebook is given: values of the right kind, under names that it knows."""

from __future__ import annotations

import ast
import difflib
import math
from collections.abc import Callable, Sequence
from typing import Any


def names_of(names: str | Sequence[str]) -> list[str]:
    """Names, as a list or separated by commas, one by one."""
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)


def names_among(what: str, names: str | Sequence[str], known: str | Sequence[str]) -> list[str]:
    """Names, each of which must be known.

    Raises:
        ValueError: one that is not.
    """
    found = names_of(names)
    for name in found:
        if name not in names_of(known):
            raise ValueError(f"{what}: {name!r} must be one of {', '.join(names_of(known))}")
    return found


def numbers_of(
    what: str, numbers: str | float, kind: Callable[[str], float] = float
) -> list[float]:
    """Numbers separated by commas, one by one; whole ones where ``kind`` is ``int``.

    Raises:
        ValueError: something that is no such number.
    """
    wanted = "a whole number" if kind is int else "a number"
    found = []
    for text in str(numbers).split(","):
        try:
            found.append(kind(text))
        except ValueError:
            raise ValueError(
                f"{what}: {text.strip()!r} must be {wanted}, or several separated by commas"
            ) from None
    return found


def check_kind(name: str, value: Any, default: Any) -> None:
    """Raise ValueError unless a value is of its default's kind; a whole number will do for a number."""
    if name == "tau":
        ok, kind = value == "auto" or _is_number(value), "a number or 'auto'"
    elif isinstance(default, bool):
        ok, kind = isinstance(value, bool), "True or False"
    elif isinstance(default, str):
        ok, kind = isinstance(value, str), "a text"
    elif isinstance(default, float):
        ok, kind = _is_number(value), "a number"
    else:
        ok, kind = _is_number(value) and isinstance(value, int), "a whole number"
    if not ok:
        hint = " (YAML reads 1e-4 as a text: write 1.0e-4)" if _looks_like_one(value) else ""
        raise ValueError(f"{name} (={value!r}) must be {kind}{hint}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _looks_like_one(value: Any) -> bool:
    try:
        return isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        return False


def refuse_unknown(cells: Sequence[str], known: Sequence[str]) -> None:
    """Papermill gives a notebook whatever it is told, in a cell of its own behind the parameters."""
    given = [i for i, cell in enumerate(cells) if cell.startswith("# Parameters\n")]
    if not given:
        return
    last = given[-1]
    declared = _assigned(cells[last - 1]) if last else []
    for name in _assigned(cells[last]):
        if name not in declared and name not in known:
            near = difflib.get_close_matches(name, [*declared, *known], 1)
            hint = f"; is it {near[0]}?" if near else ""
            raise ValueError(f"this notebook has no parameter {name!r}{hint}")


def _assigned(cell: str) -> list[str]:
    """Names that a cell of plain assignments assigns to."""
    return [
        target.id
        for statement in ast.parse(cell).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    ]
