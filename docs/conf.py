"""Sphinx's settings for the site. The pages are laid out by workflow/site/pages.py: `make site`."""

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

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 4
napoleon_use_ivar = True
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88

html_theme = "furo"
html_static_path = ["../build/source/_static"]  # where the pages are laid out
html_css_files = ["site.css", "play/play.css"]
html_copy_source = False
html_show_copyright = False
