"""What Sphinx is told; ``python docs/site/make.py`` lays this beside the pages that it stages."""

import sys
from pathlib import Path

import chainrule

sys.path.insert(0, str(Path(__file__).parent))  # where mathematics.py is

project = "chainrule"
author = copyright = "the chainrule developers"
version = release = chainrule.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "mathematics", "sphinx_copybutton"]
root_doc = "index"
exclude_patterns: list[str] = []

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

autodoc_typehints = "none"  # they stand in the signature
autodoc_member_order = "bysource"
autodoc_default_options = {"show-inheritance": True}
python_use_unqualified_type_names = True

html_math_renderer = "mathml"
html_theme = "furo"
html_title = "chainrule"
html_extra_path = ["extra"]
html_theme_options = {
    "source_repository": "https://github.com/chainrule/chainrule/",
    "source_branch": "main",
    "source_directory": "",
}
html_show_sphinx = False

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# A site that refuses robots is not a broken link, and what is published from here is not there yet.
linkcheck_ignore = [r"https://chainrule\.github\.io/.*", r"https://github\.com/chainrule/.*"]
linkcheck_timeout = 20
