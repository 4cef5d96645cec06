"""A harmonized pool for rates products: one model, one horizon, every account of one owner at one firm together.

Nobody has put this in force: it is the counterfactual that the joint request for comment of June 2026 invites. The
model is historical VaR over a common horizon, plus haircuts where nothing can be repriced. Two guardrails, each a
switch: the reduction against the siloed requirement is capped, and a share of the siloed requirement is a floor.
`harmonized_with_guardrails` has the others.
"""

from __future__ import annotations

from collections.abc import Mapping

from crossmargin import common_model
from crossmargin.common_model import requirement, scenarios
from crossmargin.eligibility import Test
from crossmargin.programmes import product_list

__all__ = ["TESTS", "requirement", "scenarios"]

TESTS: Mapping[str, Test] = {
    "rates_product": product_list,
    **{name: test for name, test in common_model.TESTS.items() if name != "product_list"},
}
