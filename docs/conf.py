"""Sphinx's settings for the site. The pages are laid out by workflow/site/pages.py: `make site`."""

from typing import Any

project = html_title = "INNT"
author = "INNT reference implementation contributors"
extensions = [
    "myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon", "sphinx.ext.viewcode",
]  # fmt: skip

# Notebooks are shown as they are committed.
nb_execution_mode = "off"
nb_merge_streams = True
# Nothing comes from elsewhere: widgets are pictures of themselves, equations are drawn by our copy.
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
mathjax_path = "mathjax/tex-svg.js"
mathjax3_config = {"svg": {"scale": 0.92}}

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 4
default_role = "literal"
napoleon_use_ivar = True
autodoc_member_order = "bysource"
# A source links back to its own section, not to that of a module which imports from it.
viewcode_follow_imported_members = False
python_maximum_signature_line_length = 88

html_theme = "furo"
html_static_path = ["../build/source/_static"]  # where the pages are laid out
html_css_files = ["site.css", "play/play.css"]
html_copy_source = False
html_show_search_summary = False  # it would fetch pages, which a browser forbids in a folder
pygments_dark_style = "monokai"
html_show_copyright = False


def examples(
    app: object, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """What a module's docstring indents is code."""
    if what == "module":
        for i in range(len(lines) - 1, 1, -1):
            if lines[i][:4].isspace() and not lines[i - 1] and not lines[i - 2].startswith(" "):
                lines.insert(i, "")
                lines.insert(i, "::")


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", examples)
