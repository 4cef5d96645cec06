"""A model like CME interest-rate swaps: the engine of the historical value-at-risk family on the parameters beside.

Filtered value at risk over five days, the crisis of 2008 kept in the window.
Nothing is calculated here, and the calibration is this library's own: see the grades in `cme_irs_like.toml`.
"""

from crossmargin.historical_var import requirement, scenarios

__all__ = ["requirement", "scenarios"]
