"""The testing kit: the library keeps its own laws on what the kit draws, and each law catches who breaks it."""

import re
import subprocess
import sys

import pytest
from attrs import evolve
from hypothesis import given, settings

import crossmargin as xm
from crossmargin import testing
from crossmargin.errors import InputError

few = settings(max_examples=max(1, settings().max_examples // 8))
THREE = ("siloed", "cross_margin", "harmonized")


def engine(regime, level="clearing"):
    return lambda portfolio, market: xm.margin(portfolio, market, regime).total(level)


@few
@given(testing.books(most=5))
@pytest.mark.parametrize("regime", THREE)
def test_the_library_keeps_the_laws(regime, book):
    for law in testing.LAWS.values():
        law(engine(regime), *book)


@few
@given(testing.books())
def test_what_is_drawn_can_be_margined_at_every_level_under_every_regime(book):
    portfolio, market = book
    comparison = xm.compare(portfolio, market)
    assert [report.regime for report in comparison.reports] == list(THREE)
    pools = {position for report in comparison.reports for each in report.requirements for position in each.positions}
    assert pools == {position.id for position in portfolio.positions}


def gross(portfolio, _market):
    return sum(abs(each.quantity) for each in portfolio.positions)


def over(what):
    """An engine that looks at the positions alone."""
    return lambda portfolio, _: what(portfolio.positions)


BROKEN = {
    "nothing_asks_nothing": lambda portfolio, market: 100.0 + gross(portfolio, market),
    "never_negative": lambda portfolio, market: -gross(portfolio, market),
    "order_does_not_matter": over(lambda held: sum(n * abs(each.quantity) for n, each in enumerate(held))),
    "names_do_not_matter": over(lambda held: sum(abs(each.quantity) for each in held if "renamed" not in each.id)),
    "splitting_changes_nothing": over(lambda held: sum(abs(each.quantity) ** 1.5 for each in held)),
    "owners_never_net": over(lambda held: abs(sum(each.quantity for each in held))),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_law_catches_who_breaks_it(name):
    with pytest.raises(AssertionError, match=r"[\d,.]+"):
        testing.LAWS[name](BROKEN[name], *testing.sample_book())


@pytest.mark.parametrize("law", testing.LAWS.values(), ids=list(testing.LAWS))
@pytest.mark.parametrize("answer", ["1.0", object()], ids=["text", "object"])
def test_an_answer_that_is_no_number_is_named(law, answer):
    with pytest.raises(AssertionError, match=f"returns {type(answer).__name__}, not a number"):
        law(lambda *_: answer, *testing.sample_book())


def test_what_is_not_modelled_breaks_no_law_and_an_empty_book_is_always_modelled():
    for law in testing.LAWS.values():
        law(lambda portfolio, _: None if portfolio.positions else 0.0, *testing.sample_book())
    with pytest.raises(AssertionError, match="returns NoneType, not a number"):
        testing.LAWS["nothing_asks_nothing"](lambda *_: None, *testing.sample_book())
    owners = {account.id: account.owner for account in testing.sample_book()[0].accounts}

    def alone_only(portfolio, _):
        return None if len({owners[each.account] for each in portfolio.positions}) > 1 else 1.0

    with pytest.raises(AssertionError, match="not modelled, and not"):
        testing.LAWS["owners_never_net"](alone_only, *testing.sample_book())


def test_an_engine_that_remembers_is_caught():
    asked = []

    def forgetful(portfolio, market):
        asked.append(1)
        return gross(portfolio, market) + len(asked) * 1e-6

    with pytest.raises(AssertionError, match="then for"):
        testing.LAWS["asking_twice_gives_the_same"](forgetful, *testing.sample_book())
    assert set(testing.LAWS) == {*BROKEN, "asking_twice_gives_the_same"}


def test_an_engine_of_another_kind_keeps_them():
    """Gross notional is a poor margin and a lawful one."""
    for law in testing.LAWS.values():
        law(gross, *testing.sample_book())


def test_the_same_seed_makes_the_same_market():
    one = testing.made_up_market(seed=7)
    testing.made_up_market.cache_clear()
    other = testing.made_up_market(seed=7)
    assert (one.history.par == other.history.par).all()
    assert (one.history.par != testing.made_up_market(seed=8).history.par).any()


def test_the_menu_and_the_accounts_agree():
    portfolio, _ = testing.sample_book()
    assert {account.account_class for account in portfolio.accounts} == set(testing.MENU)
    assert xm.margin(evolve(portfolio, positions=()), testing.made_up_market()).total() == 0.0


def test_without_hypothesis_laws_and_cases_still_work(root):
    code = """
import sys
sys.modules["hypothesis"] = None
from crossmargin import testing
testing.LAWS["nothing_asks_nothing"](lambda portfolio, market: 0.0, *testing.sample_book())
testing.run_cases
try:
    testing.books
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(InputError.__name__)
    assert re.search(r"pip install 'crossmargin\[testing\]'", done.stdout)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'bookz'"):
        testing.bookz  # noqa: B018
