"""A model like LCH PAIRS (SwapClear): the engine of the historical value-at-risk family on the parameters beside.

Expected shortfall over ten years: the mean of the worst filtered scenarios over five days.
Nothing is calculated here, and the calibration is this library's own: see the grades in `lch_pairs_like.toml`.
"""

from crossmargin.historical_var import requirement, scenarios

__all__ = ["requirement", "scenarios"]
