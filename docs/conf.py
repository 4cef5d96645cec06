"""How Sphinx builds the documentation; the pages of the rules and of what is covered come from `_ext`."""

import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

_project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "crossmargin"
author = copyright = "The crossmargin developers"
release = version = _project["version"]

extensions = [
    "myst_nb",  # MyST pages; runs the tutorial while building
    "numpydoc",
    "benchmarktable",
    "coveragepage",
    "rulepages",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
]
exclude_patterns = ["_build", "jupyter_execute"]
templates_path = ["_templates"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_merge_streams = True
suppress_warnings = ["ref.python"]  # a word may name one thing in each of several rooms: `Gap`, `Term`, `Place`
nb_execution_show_tb = True
nb_execution_timeout = 600  # the first run compiles the kernels

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
numpydoc_class_members_toctree = False
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = f"crossmargin {release}"
html_show_sourcelink = False
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}
