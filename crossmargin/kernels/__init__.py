"""Compiled inner loops: arrays and floats in, arrays out; `pnl`, `pricing` and `pairing` call them.

Nothing here knows a product, a date or a rule, and nothing outside this folder imports numba. Importing the
folder compiles the kernels, or loads them from disk (`_jit.py` says from where), so callers import it late.
"""

from __future__ import annotations

from crossmargin.kernels.discounting import value_netted
from crossmargin.kernels.rows import value_rows

__all__ = ["value_netted", "value_rows"]
