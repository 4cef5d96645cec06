"""A model like Eurex Prisma: the engine of the historical value-at-risk family on the parameters beside.

The larger of a robust filtered and a weighted stressed measure over sub-samples, with a liquidity add-on.
Nothing is calculated here, and the calibration is this library's own: see the grades in `eurex_prisma_like.toml`.
"""

from crossmargin.historical_var import requirement, scenarios

__all__ = ["requirement", "scenarios"]
