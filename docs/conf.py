"""How Sphinx builds these pages: `make docs`, without network, to docs/_build/html."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import generate

import wnsim

project = "wnsim"
project_copyright = "the authors of wnsim"
version = release = wnsim.__version__
extensions = ["myst_parser"]
html_theme = "furo"
html_title = f"wnsim {release}"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]
exclude_patterns = ["_build", "_generated", "examples"]
myst_heading_anchors = 3
nitpicky = True
# Written by hand or by the pages' own generator, and nowhere executed by the builder.
source_suffix = {".md": "markdown"}


def setup(app: object) -> None:
    """Write the parts of the pages that come from the code itself."""
    generate.write(Path(__file__).parent / "_generated")
