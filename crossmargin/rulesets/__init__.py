"""Published margin methodologies.

One `.py` and one `.toml` each; `crossmargin.registry` finds them by id.
"""
