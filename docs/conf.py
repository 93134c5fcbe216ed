"""The docs as a site: Sphinx, MyST, furo. Nothing is fetched while it is built, nor when it is read.

uv run --group docs sphinx-build -nW --keep-going docs docs/_build
"""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

from sessionspan import __version__

project = "sessionspan"
author = "The sessionspan authors"
project_copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "*-intro.md"]

default_role = "code"  # docstrings say `name` for what a name is
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types of other projects, which we cannot link to offline

html_theme = "furo"
html_title = f"sessionspan {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False

# Files outside docs/ that have a page here; on GitHub the links lead to the files.
_PAGES = {"../CONTRIBUTING.md": "contributing.md", "../CHANGELOG.md": "changelog.md"}


def _link_to_pages(app: Sphinx, page: str, source: list[str]) -> None:
    for file, target in _PAGES.items():
        if target != f"{page}.md":
            source[0] = source[0].replace(f"]({file}", f"]({target}")
    if page == "index" and not (Path(__file__).parent / "doctor.md").exists():
        source[0] = source[0].replace("\ndoctor\n", "\n")


def setup(app: Sphinx) -> None:
    """What Sphinx calls."""
    app.connect("source-read", _link_to_pages)
