"""CME interest-rate futures: historical VaR with a stressed share, at the clearing level.

The engine of the historical value-at-risk family on the parameters beside: `weight * filtered VaR + (1 - weight) *
stressed VaR` over one day, with a volatility floor in the filter. Rates futures are margined by SPAN today and move to
this family; CME's calibration is not public, so weight, decay and floor are assumed, and the liquidity and
concentration charges stand as lines that are not modelled. Options on futures need a volatility in the market.
"""

from crossmargin.historical_var import requirement, scenarios

__all__ = ["requirement", "scenarios"]
