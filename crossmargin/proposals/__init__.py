"""Harmonized regimes that nobody has put in force.

One `.py` and one `.toml` each; `crossmargin.registry` finds them by id.
"""
