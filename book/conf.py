"""How Sphinx makes the book of the pages that `prepare` has written."""

project = "hybi"
html_title = "hybi"
extensions = ["myst_parser"]
# Text stays as it is written: quotation marks, and two hyphens.
smartquotes = False
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
# The dialect in which GitHub shows these pages, so that each has one meaning: without what MyST adds. `myst_gfm_only` would
# take links to other pages for addresses outside of the book, and would not check them.
myst_disable_syntax = ["myst_block_break", "myst_line_comment", "myst_role", "myst_target"]
myst_heading_anchors = 6
# A page may begin with any heading, and a program may be cut out of its context. What pages link to outside of docs/ is in no
# menu; `prepare` sees that all of docs/ is.
suppress_warnings = ["myst.header", "misc.highlighting_failure", "toc.not_included"]
html_theme = "furo"
html_copy_source = False
html_show_sphinx = False
