"""Full harmonization: one model, one horizon, one pool for all that one owner holds at one firm, no guardrails.

Nobody has put this in force, and nobody asked for it: it bounds what pooling alone can give. The measure is expected
shortfall, so that pooling never raises it under equal parameters.
"""

from crossmargin.common_model import TESTS, requirement, scenarios

__all__ = ["TESTS", "requirement", "scenarios"]
