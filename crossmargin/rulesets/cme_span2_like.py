"""A model like CME SPAN 2: the engine of the historical value-at-risk family on the parameters beside.

A blend of filtered and stressed value at risk over one day, with charges for liquidity and concentration.
Nothing is calculated here, and the calibration is this library's own: see the grades in `cme_span2_like.toml`.
"""

from crossmargin.historical_var import requirement, scenarios

__all__ = ["requirement", "scenarios"]
