"""ICE Clear Credit's credit default swaps in one account: swaps on indices with security-based swaps on single names.

Swaps of either regulator lie in one cleared-swaps account and are margined as one portfolio. `requirement` asks the
model, `TESTS` are the conditions. Bilateral credit default swaps have no such programme.
"""

from __future__ import annotations

from collections.abc import Mapping

from crossmargin import programmes
from crossmargin.accounts import AccountClass, Agreement
from crossmargin.eligibility import Test
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool
from crossmargin.results import Line


def requirement(pool: Pool, models: programmes.Models, p: Reader) -> Line:
    """Return what the credit default swaps of one owner ask for together, USD, never negative.

    References
    ----------
    SEC Release 34-93501 (86 FR 61357), in place of 34-68433; CFTC order of 14 January 2013.
    """
    return programmes.one_pot("icc_cds requirement", pool, models, p)


TESTS: Mapping[str, Test] = {
    "programme_open": programmes.programme_open,
    "directed": programmes.directed_to("icc_cds"),
    "dual_registration": programmes.dual_registration,
    "common_member": programmes.common_member,
    "house_owner": programmes.house_owner,
    "account_class": programmes.in_class(AccountClass.CFTC_4D_F),
    "institutional": programmes.institutional,
    "subordination": programmes.agreed(Agreement.SUBORDINATION),
    "disclosure": programmes.agreed(Agreement.DISCLOSURE),
    "product_list": programmes.product_list,
}
