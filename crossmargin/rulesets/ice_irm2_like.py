"""A model like ICE Risk Model 2: the engine of the historical value-at-risk family on the parameters beside.

Filtered value at risk under an anti-procyclicality buffer, with charges for liquidity and concentration.
Nothing is calculated here, and the calibration is this library's own: see the grades in `ice_irm2_like.toml`.
"""

from crossmargin.historical_var import requirement, scenarios

__all__ = ["requirement", "scenarios"]
