"""OCC-CME cross-margining of broad stock indices: one joint account, margined once, for house and market professionals.

Index futures and options on them stand in one pool with options on the same indices and on funds that track them.
`requirement` asks the model, or the larger of several that an overlay of `models` names; `TESTS` are the conditions.
Loss sharing between the clearing houses is not modelled.
"""

from __future__ import annotations

from collections.abc import Mapping

from crossmargin import programmes
from crossmargin.accounts import AccountClass, Agreement
from crossmargin.eligibility import Case, Test
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool
from crossmargin.products.futures import IndexFuture
from crossmargin.products.options import FutureOption, ListedOption
from crossmargin.results import Line


def requirement(pool: Pool, models: programmes.Models, p: Reader) -> Line:
    """Return what the joint account of one owner asks for, USD, never negative.

    References
    ----------
    SR-OCC-2020-011, Second Amended and Restated Cross-Margining Agreement (85 FR 63305); the model as recalled.
    """
    return programmes.one_pot("occ_cme requirement", pool, models, p)


def _broad_index(case: Case, p: Reader) -> bool:
    held = case.position.product
    future = held.underlying if isinstance(held, FutureOption) else held
    if isinstance(held, ListedOption):
        return held.underlying in p.option_underlyings
    return not isinstance(future, IndexFuture) or future.contract in p.futures_contracts


TESTS: Mapping[str, Test] = {
    "programme_open": programmes.programme_open,
    "directed": programmes.directed_to("occ_cme"),
    "joint_member": programmes.affiliated_member,
    "house_owner": programmes.house_owner,
    "account_class": programmes.in_class(AccountClass.XM_FUTURES_4D_AB),
    "market_professional": programmes.market_professional,
    "participant_agreement": programmes.agreed(Agreement.PARTICIPANT_AGREEMENT),
    "subordination": programmes.agreed(Agreement.SUBORDINATION),
    "product_list": programmes.product_list,
    "broad_index": _broad_index,
}
