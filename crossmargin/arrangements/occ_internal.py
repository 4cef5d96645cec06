"""OCC's internal cross-margining: one clearing house, as clearing agency and as derivatives clearing organisation.

Options and security futures of securities accounts stand in one pool with the commodity futures that OCC clears, for
house and market professionals at one dually registered member. `requirement` asks the model, `TESTS` are the
conditions.
"""

from __future__ import annotations

from collections.abc import Mapping

from crossmargin import programmes
from crossmargin.accounts import AccountClass, Agreement
from crossmargin.eligibility import Case, Test
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool
from crossmargin.products.futures import IndexFuture
from crossmargin.products.options import FutureOption
from crossmargin.results import Line


def requirement(pool: Pool, models: programmes.Models, p: Reader) -> Line:
    """Return what the cross-margin account of one owner asks for, USD, never negative.

    References
    ----------
    OCC rule submission of 16 March 2011; order of 5 November 2004 under Commodity Exchange Act 4d(a)(2).
    """
    return programmes.one_pot("occ_internal requirement", pool, models, p)


def _cleared_here(case: Case, p: Reader) -> bool:
    held = case.position.product
    future = held.underlying if isinstance(held, FutureOption) else held
    return not isinstance(future, IndexFuture) or future.contract in p.futures_contracts


TESTS: Mapping[str, Test] = {
    "programme_open": programmes.programme_open,
    "directed": programmes.directed_to("occ_internal"),
    "dual_registration": programmes.dual_registration,
    "common_member": programmes.common_member,
    "house_owner": programmes.house_owner,
    "account_class": programmes.in_class(AccountClass.XM_FUTURES_4D_AB),
    "market_professional": programmes.market_professional,
    "participant_agreement": programmes.agreed(Agreement.PARTICIPANT_AGREEMENT),
    "product_list": programmes.product_list,
    "cleared_here": _cleared_here,
}
