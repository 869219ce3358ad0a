"""Sphinx configuration of these pages: `make docs` builds docs/_build/html without network."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import generate
from docutils import nodes
from sphinx.application import Sphinx

import wnsim

project = "wnsim"
project_copyright = "the authors of wnsim"
version = release = wnsim.__version__
extensions = ["myst_nb"]
html_theme = "furo"
html_title = f"wnsim {release}"
html_show_copyright = False
html_static_path = ["_static"]
html_extra_path = ["gallery/report"]
html_css_files = ["wide.css"]
exclude_patterns = ["_build", "_generated", "examples"]
myst_heading_anchors = 3
# Notebooks are executed at each build, elsewhere than in the folder of the pages.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nitpicky = True
# Two hyphens start an option.
smartquotes = False


def setup(app: Sphinx) -> None:
    """Write the generated parts of the pages."""
    generate.write(Path(__file__).parent)
    app.connect("doctree-read", without_blank_ends)


def without_blank_ends(app: Sphinx, page: nodes.document) -> None:
    """Remove trailing blank lines of included pieces of a module."""
    for block in page.findall(nodes.literal_block):
        block.rawsource = block.rawsource.rstrip()
        block[:] = [nodes.Text(block.astext().rstrip())]
