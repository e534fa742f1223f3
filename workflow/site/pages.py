"""The site's pages: what lies in the repository, laid out as it lies there, so that its links hold.

The list of pages follows from the folders. A new notebook, text, profile of figures or module of the
library is on the site without being named anywhere.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import yaml

TEXTS = ("README.md", "CONTRIBUTING.md", "docs/*.md", "data/README.md", "benchmarks/*.md")
PICTURES = ("figures/**/*.png", "benchmarks/*.png")
NOTEBOOKS = ("notebooks/*.ipynb", "figures/*/*.ipynb")
# Our own words for what would read badly if made from a file's name.
TITLES = {"reproduction_claims": "Verdicts", "reproduction": "Beside the paper's numbers"}


def lay_out(root: Path, source: Path) -> None:
    """Fill a folder with everything that Sphinx makes pages of.

    Args:
        root: of the repository.
        source: emptied first.
    """
    shutil.rmtree(source, ignore_errors=True)
    for path in found(root, PICTURES):
        copy(path, source / path.relative_to(root))
    for path in found(root, TEXTS):
        write(source / path.relative_to(root), relink(path.read_text(), path, root, source))
    for path in found(root, NOTEBOOKS):
        notebook = json.loads(path.read_text())
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = relink("".join(cell["source"]), path, root, source)
        if (
            path.parent.parent.name == "figures"
        ):  # one of many copies: its title says of which profile
            first = notebook["cells"][0]
            first["source"] = first["source"].replace("# ", f"# {path.parent.name}: ", 1)
        write(source / path.relative_to(root), json.dumps(notebook))
    write(source / "figures/index.md", results(root, source))
    write(source / "reference/index.md", reference(root, source))
    (source / "README.md").rename(source / "index.md")
    with (source / "index.md").open("a") as index:
        index.write(contents(root))


def relink(text: str, page: Path, root: Path, source: Path) -> str:
    """Links of a page to what is no page of its own: tables, folders, files of the library.

    A table is a section of its profile's page, a folder of figures that page, another folder just its
    name; another file is copied, and so can be fetched from the site.
    """

    def new(link: re.Match[str]) -> str:
        words, target, anchor = link[1], link[2], link[3] or ""
        path = (page.parent / target).resolve()
        if not path.is_relative_to(root) or not path.exists():
            return link[0]
        inside = path.relative_to(root)
        if inside.parts[0] == "figures" and path.suffix == ".md":
            return f"[{words}](#{section(inside)})"
        if inside.parts[0] == "figures" and path.is_dir():
            name = "/".join(inside.parts[:2])
            back = "../" * (len(page.relative_to(root).parts) - 1)
            return f"[{words}]({back}{name}/index.md)"
        if path.is_dir():
            return words
        if inside == Path("README.md"):
            return f"[{words}]({target[: -len('README.md')]}index.md{anchor})"
        if path.suffix not in (".md", ".ipynb", ".png"):
            copy(path, source / inside)
        return link[0]

    return re.sub(r"(?<!!)\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)", new, text)


def results(root: Path, source: Path) -> str:
    """The page that lists the profiles; theirs are written beside it."""
    profiles = {}
    for config in sorted((root / "workflow/config").glob("*.yaml")):
        text = config.read_text()
        says = itertools.takewhile(lambda line: line.startswith("# "), text.splitlines())
        what = " ".join(line[2:] for line in says).rstrip(".")
        profiles |= dict.fromkeys(yaml.safe_load(text)["figures"], what)
    names = [path.name for path in sorted((root / "figures").iterdir()) if path.name != "here"]
    for name in names:
        write(source / f"figures/{name}/index.md", profile(root, name, profiles.get(name, "")))
    listed = "\n".join(f"- [{name}]({name}/index.md): {profiles.get(name, '')}" for name in names)
    return (
        "# Results\n\nFigures, tables and verdicts of the committed profiles, each made by one command.\n\n"
        f"{listed}\n\n{toctree(f'{name}/index' for name in names)}"
    )


def profile(root: Path, name: str, what: str) -> str:
    """A page with everything in a folder of figures: verdicts first, then pictures and tables."""
    folder = root / "figures" / name
    stems = {path.with_suffix("") for path in found(folder, ("**/*.png", "**/*.md"))}
    first = {name: place for place, name in enumerate(TITLES)}
    order = sorted(
        stems, key=lambda stem: (first.get(stem.name, len(first)), len(stem.parts), stem.name)
    )
    parts = [f"# {name}", what]
    for stem in order:
        inside = stem.relative_to(folder)
        parts.append(f"({section(stem.relative_to(root))})=\n## {title(inside)}")
        if (picture := stem.with_suffix(".png")).exists():
            parts.append(f"![{title(inside)}]({picture.relative_to(folder)})")
        if (table := stem.with_suffix(".md")).exists():
            parts.append(table.read_text())
    executed = [path.stem for path in found(folder, ("*.ipynb",))]
    if executed:
        parts += ["## The notebooks behind it", toctree(executed, hidden=False)]
    return "\n\n".join(parts)


def reference(root: Path, source: Path) -> str:
    """The page that lists the rooms of the library; theirs are written beside it."""
    rooms = [path.parent.name for path in found(root, ("innt_lib/*/__init__.py",))]
    for room in rooms:
        parts = [f"# innt_lib.{room}", module(f"innt_lib.{room}", members=False)]
        for path in found(root, (f"innt_lib/{room}/*.py",)):
            if path.stem != "__init__":
                parts += [f"## {path.stem}", module(f"innt_lib.{room}.{path.stem}")]
        write(source / f"reference/{room}.md", "\n\n".join(parts))
    return "\n\n".join(("# Reference", module("innt_lib", members=False), toctree(rooms)))


def contents(root: Path) -> str:
    """What the sidebar lists, in its order; hidden at the end of the first page."""
    docs = [path for path in found(root, ("docs/*.md",)) if path.stem != "play"]
    texts = [*docs, *found(root, ("data/README.md", "benchmarks/*.md", "CONTRIBUTING.md"))]
    groups = {
        "Try it": ["docs/play"],
        "The series": [f"notebooks/{path.stem}" for path in found(root, NOTEBOOKS[:1])],
        "What came out": ["figures/index"],
        "The library": ["reference/index"],
        "Texts": [str(path.relative_to(root).with_suffix("")) for path in texts],
    }
    return "".join("\n\n" + toctree(pages, caption) for caption, pages in groups.items())


def toctree(pages: Iterable[str], caption: str = "", *, hidden: bool = True) -> str:
    options = [":maxdepth: 1"] + [":hidden:"] * hidden + [f":caption: {caption}"] * bool(caption)
    return "\n".join(["```{toctree}", *options, "", *pages, "```"])


def module(name: str, *, members: bool = True) -> str:
    option = "\n   :members:" * members
    return f"```{{eval-rst}}\n.. automodule:: {name}{option}\n```"


def section(path: Path) -> str:
    """The name of a section about a file of figures: what links to it say."""
    return "-".join(path.with_suffix("").parts[1:])


def title(path: Path) -> str:
    """`fig07_heatmap_grid` is "Figure 7: heatmap grid"."""
    if path.name in TITLES:
        return TITLES[path.name]
    words = path.name.replace("_", " ")
    for short, long in (("fig", "Figure"), ("table", "Table")):
        words = re.sub(rf"^{short}0*(\d+) ", rf"{long} \1: ", words)
    words = words[0].upper() + words[1:]
    return f"{path.parent.name.capitalize()}: {words}" if len(path.parts) > 1 else words


def found(root: Path, patterns: Iterable[str]) -> list[Path]:
    """Files of patterns, in the patterns' order, sorted within each; not those made here."""
    paths = [path for pattern in patterns for path in sorted(root.glob(pattern))]
    return [path for path in paths if path.relative_to(root).parts[:2] != ("figures", "here")]


def copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
