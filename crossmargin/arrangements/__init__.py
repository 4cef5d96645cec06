"""Approved cross-margin programmes.

One `.py` and one `.toml` each; `crossmargin.registry` finds them by id.
"""
