"""The documentation site: `python -m sphinx -W --keep-going -b html docs build/site` builds it, without the network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_site"))

from ganzoo import __version__  # noqa: E402

project = "ganzoo"
author = "The ganzoo maintainers"
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "command_reference",
    "plain_docstrings",
    "source_pages",
]
exclude_patterns = ["_site"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
myst_url_schemes = ("http", "https", "mailto", "repository")  # the last: source_pages.py
suppress_warnings = ["myst.header"]  # plugin pages quote files whose first line is a heading

# Docstrings put code between single backticks, as Markdown does.
default_role = "code"
smartquotes_action = "D"  # dashes alone: quotation marks are copied into code
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False  # `forward` of nn.Module has one that says nothing of ours
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "ganzoo"
html_static_path = ["_site/static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
pygments_style = "default"
pygments_dark_style = "github-dark"
