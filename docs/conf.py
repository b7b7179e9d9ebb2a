"""The site of the pages: `make docs` builds it into docs/_build/html.

Sources are read from the root of the repository, so that links between pages, also to SECURITY.md
and to examples/, are the same here and where the files are read as Markdown.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]

project = "world_models"
copyright = "world_models contributors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "tables", "listings", "formulas", "dreams"]

root_doc = "docs/index"
include_patterns = ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**.md"]
exclude_patterns = [".*", "*.egg-info", "build", "dist", "docs/_build", "outputs", "tests"]

myst_enable_extensions = ["attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 4

# docstrings name code in single backticks, as Markdown does
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 88

nitpicky = True
# types of signatures that have no page here, most of them of other libraries
nitpick_ignore_regex = [("py:.*", ".*")]

templates_path = ["_templates"]
html_math_renderer = "mathml"
html_theme = "furo"
html_title = "world_models"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
