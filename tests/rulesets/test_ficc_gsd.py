"""FICC's Government Securities Division: figures worked by hand, the order statistic by other means."""

from __future__ import annotations

import math
import tomllib
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve

from crossmargin.accounts import AccountClass
from crossmargin.errors import InputError, NotInForce
from crossmargin.margin import margin
from crossmargin.methodology import Inputs
from crossmargin.pnl import PnL, can_revalue
from crossmargin.portfolio import Pool, Position
from crossmargin.products import (
    PRODUCT_KINDS,
    Repo,
    ReverseRepo,
    TreasuryBill,
    TreasuryFRN,
    TreasuryNote,
)
from crossmargin.registry import rules
from crossmargin.results import Line
from crossmargin.rulesets import ficc_gsd
from crossmargin.scenarios import ScenarioSet
from tests.properties.strategies import (
    AS_OF,
    BILL,
    BOND,
    NOTE_2,
    NOTE_7,
    NOTE_8,
    OPTION,
    REVERSE,
    STRIP,
    TIPS_8,
    ZN,
    book,
    market,
)

CASES = tomllib.loads(Path(__file__).with_name("ficc_gsd.cases.toml").read_text(encoding="utf-8"))
RULES = rules("ficc_gsd")


def held(*lines) -> tuple[Position, ...]:
    return tuple(Position(f"p{i}", "ALPHA-GOV", *line) for i, line in enumerate(lines))


def pool(*lines, owner="ALPHA", account_class=AccountClass.SEC_NOTE_H) -> Pool:
    return Pool(owner, "DUAL", account_class, "FICC", "ficc_gsd", "", held(*lines))


def reader(as_of=AS_OF, **overlaid):
    return (RULES.with_values(because="test", **overlaid) if overlaid else RULES).at(as_of)


def inputs(gains: dict | None = None) -> Inputs:
    """A book whose P&L in USD per unit of quantity is written down, not computed."""
    gains = gains or {NOTE_7: [0.0]}
    values = np.array(list(gains.values()), dtype=float)
    (spec,) = ficc_gsd.scenarios(reader())
    drawn = ScenarioSet(spec, [5.0], np.zeros((1, values.shape[1])))
    nothing = np.zeros(len(gains))
    return Inputs(book(), market(), {spec: PnL(tuple(gains), values, nothing, nothing, drawn)})


def requirement(*lines, of: Inputs | None = None, **overlaid):
    return ficc_gsd.requirement(pool(*lines), of or inputs(), reader(**overlaid))


# --------------------------------------------------------------------------------------- haircuts and floor, by hand


def written(position: dict) -> tuple:
    maturity, kind = position["maturity"], position["kind"]
    if "start" in position:
        return PRODUCT_KINDS[kind](TreasuryBill(maturity), position["start"], position["end"], 0.037), position["face"]
    rate = () if kind == "treasury_bill" else (position.get("coupon", 0.01),)
    return PRODUCT_KINDS[kind](*rate, maturity), position["face"]


@pytest.mark.parametrize("case", CASES["case"], ids=lambda case: case["name"])
def test_cases_worked_by_hand(case):
    assert CASES["as_of"] == AS_OF
    lines = [written(position) for position in case["positions"]]
    flat = {product: [0.0] for product, _ in lines if can_revalue(product)}  # nothing moves but by haircut
    found = requirement(*lines, of=inputs(flat))
    for line, field in (("haircut_charge", "haircut"), ("percentage_floor", "floor"), ("var_charge", "charge")):
        assert found.part(line).value == pytest.approx(case[field], abs=0.005), line


def test_the_floor_of_every_maturity_by_hand():
    lines = ((BILL, 1e6), (NOTE_2, -2e6), (TreasuryNote(0.03, date(2030, 6, 30)), 4e6), (NOTE_7, 8e6), (BOND, -16e6))
    by_hand = 0.10 * (1e6 * 0.0035 + 2e6 * 0.008 + 4e6 * 0.015 + 8e6 * 0.025 + 16e6 * 0.05)
    quiet = inputs({product: [0.0] for product, _ in lines[1:]})
    assert requirement(*lines, of=quiet).part("percentage_floor").value == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("maturity", "rate"),
    [
        (date(2027, 6, 30), 0.0035),  # exactly one year
        (date(2027, 7, 1), 0.008),
        (date(2029, 6, 30), 0.008),  # exactly three
        (date(2029, 7, 1), 0.015),
        (date(2031, 6, 30), 0.015),
        (date(2031, 7, 1), 0.025),
        (date(2036, 6, 30), 0.025),
        (date(2036, 7, 1), 0.05),
    ],
)
def test_floor_buckets_hold_their_upper_bound(maturity, rate):
    note = TreasuryNote(0.04, maturity)
    found = requirement((note, 1e6), of=inputs({note: [0.0]}))
    assert found.part("percentage_floor").value == pytest.approx(1e6 * rate * 0.10)


def test_a_maturity_outside_every_table_is_visible_and_makes_the_figure_partial():
    frn = TreasuryFRN(0.001, date(2029, 10, 31))  # tables end at three years
    charge = ficc_gsd.var_charge(pool((frn, 1e6)), inputs(), reader())
    gaps = [line.note for line in charge.walk() if line.how == "not_modelled"]
    assert any("haircut in the table" in note for note in gaps)
    assert charge.partial


# ------------------------------------------------------------------------------------------------ simulation, by hand


def test_the_third_worst_of_two_hundred():
    gains = np.zeros(200)
    gains[[5, 50, 150, 199]] = -0.05, -0.07, -0.03, -0.06  # 99 % of 200: two may be worse
    found = requirement((NOTE_7, 10e6), of=inputs({NOTE_7: gains}))
    assert found.part("simulated_var").value == pytest.approx(0.05 * 10e6)


def test_a_short_position_loses_what_a_long_one_gains():
    gains = np.linspace(-0.02, 0.04, 100)
    long, short = (requirement((NOTE_7, q), of=inputs({NOTE_7: gains})) for q in (1e6, -1e6))
    assert long.part("simulated_var").value == pytest.approx(1e6 * -gains[1])
    assert short.part("simulated_var").value == pytest.approx(1e6 * gains[-2])


def test_a_pool_is_added_before_the_tail_is_taken():
    gains = {NOTE_7: [-0.01, 0.02, 0.0], NOTE_8: [-0.011, 0.03, 0.0], ZN: [-900.0, 1800.0, 0.0]}
    found = requirement((NOTE_7, 1e6), (NOTE_8, -1e6), (ZN, 2.0), of=inputs(gains), confidence=0.999)
    worst = min(a * 1e6 - b * 1e6 + c * 2.0 for a, b, c in zip(*gains.values(), strict=True))
    assert found.part("simulated_var").value == pytest.approx(-worst)


def test_a_pool_that_only_gains_asks_the_floor():
    found = requirement((NOTE_7, 1e6), of=inputs({NOTE_7: np.full(50, 0.01)}))
    assert found.part("simulated_var").value == 0.0
    assert found.part("var_charge").value == found.part("var_floor").value == pytest.approx(1e6 * 0.025 * 0.10)


def test_simulation_and_haircuts_add():
    gains = {NOTE_7: np.full(10, -0.02)}
    found = requirement((NOTE_7, 1e6), (BILL, 10e6), of=inputs(gains))
    assert found.part("model").value == pytest.approx(20_000 + 15_000)


def zero_curve(tenors, par) -> dict[float, float]:
    """Discount factors at the half-years to 30, bond after bond: the plain bootstrap of any textbook."""
    factors: dict[float, float] = {}
    for n in range(1, 61):
        half = np.interp(n / 2, tenors, par) / 2
        factors[n / 2] = (1 - half * sum(factors.values())) / (1 + half)
    return factors


def value(note, as_of, tenors, par) -> float:
    """Coupons and face of 1 USD discounted; between half-years the logarithm of the factor runs straight."""
    factors = {0.25: 1 / (1 + par[0] * 0.25)} | zero_curve(tenors, par)
    knots = sorted(factors)
    logs = [math.log(factors[knot]) for knot in knots]
    present, year, month = 0.0, note.maturity.year, note.maturity.month
    while (day := date(year, month, note.maturity.day)) > as_of:
        t = (day - as_of).days / 365
        log = logs[0] * t / knots[0] if t < knots[0] else np.interp(t, knots, logs)
        present += (note.coupon / 2 + (day == note.maturity)) * math.exp(log)
        year, month = (year, month - 6) if month > 6 else (year - 1, month + 6)
    return present


def test_a_note_against_a_recomputation_from_the_history():
    """Three-day changes, bootstrap, cash flows and order statistic without the library's code."""
    past, tenors = market().history, market().curve.tenors
    rows = [
        row
        for row in range(3, len(past.dates))
        if (past.dates[row] - past.dates[row - 3]).days <= 11  # not across the years between the two spans
    ]
    now = value(NOTE_7, AS_OF, tenors, past.par[-1])
    changes = [past.par[row] - past.par[row - 3] for row in rows]
    losses = sorted(now - value(NOTE_7, AS_OF, tenors, past.par[-1] + change) for change in changes)
    by_hand = losses[math.ceil(0.99 * len(losses)) - 1] * 100e6
    report = margin(book(Position("p", "ALPHA-GOV", NOTE_7, 100e6)), market())
    (entry,) = [entry for entry in report.requirements if entry.level == "clearing"]
    assert entry.line.part("simulated_var").value == pytest.approx(by_hand, rel=1e-10)
    assert entry.line.value == pytest.approx(by_hand, rel=1e-10)


# --------------------------------------------------------------------------------------------------------------- repo


def var_of(*lines) -> float:
    report = margin(book(*held(*lines)), market())
    return report.requirements[0].line.part("simulated_var").value


def test_a_forward_repo_bears_financing_risk_only_and_a_started_one_the_collaterals():
    end = date(2026, 7, 31)
    forward, started = (Repo(NOTE_7, start, end, 0.037) for start in (date(2026, 7, 1), date(2026, 6, 29)))
    outright = var_of((NOTE_7, 100e6))
    assert var_of((forward, 100e6)) < 0.02 * outright
    assert var_of((started, 100e6)) == pytest.approx(outright, rel=0.03)  # the security comes back, for cash


def test_repo_and_reverse_repo_cancel():
    legs = (NOTE_8, REVERSE.start, REVERSE.end, REVERSE.rate)
    assert var_of((Repo(*legs), 30e6), (ReverseRepo(*legs), 30e6)) == pytest.approx(0.0, abs=1e-6)


def test_exposures_net_in_one_security_over_cash_and_repo_and_never_between_two():
    flat = inputs({product: [0.0] for product in (NOTE_7, NOTE_8, REVERSE)})
    netted = requirement((NOTE_8, 30e6), (REVERSE, 30e6), of=flat)
    assert netted.part("percentage_floor").value == 0.0
    apart = requirement((NOTE_7, 30e6), (REVERSE, 30e6), of=flat)
    assert apart.part("percentage_floor").value == pytest.approx(60e6 * 0.025 * 0.10)


# ------------------------------------------------------------------------------------------------------------- add-ons


def test_every_public_charge_is_a_line():
    found = requirement((NOTE_7, 1e6))
    for name in ficc_gsd.OTHER_CHARGES:
        assert found.part(name).how == "not_modelled"
        assert found.part(name).note
    assert found.part("minimum_margin_amount").how == "not_modelled"
    assert found.partial


def test_the_minimum_margin_amount_is_missed_from_the_day_of_its_order_on():
    since, before = (
        ficc_gsd.var_charge(pool((NOTE_7, 1e6)), inputs(), reader(date(2024, 11, day))).part("var_floor")
        for day in (8, 7)
    )
    assert [part.name for part in since.parts] == ["percentage_floor", "minimum_margin_amount"]
    assert [part.name for part in before.parts] == ["percentage_floor"]
    assert before.value == since.value
    assert since.partial
    assert not before.partial


def test_an_option_is_not_modelled_rather_than_nothing():
    found = requirement((OPTION, 5.0))
    assert any("no model for the product" in line.note for line in found.walk())


# -------------------------------------------------------------------------------------------- which method, which date


@pytest.mark.parametrize(
    ("product", "by_haircut"),
    [(BILL, True), (TIPS_8, True), (NOTE_7, False), (STRIP, False), (REVERSE, False), (ZN, False)],
    ids=lambda value: getattr(value, "symbol", str(value)),
)
def test_which_products_take_the_haircut_method(product, by_haircut):
    report = margin(book(Position("p", "ALPHA-XM", product, 1e6), Position("q", "ALPHA-XM", NOTE_2, 1.0)), market())
    line = next(r.line for r in report.requirements if "p" in r.positions and r.level == "clearing")
    if product is ZN:
        line = ficc_gsd.requirement(pool((ZN, 1e6)), inputs({ZN: [-5.0]}), reader())
    simulated, haircut = line.part("simulated_var").value, line.part("haircut_charge").value
    assert (haircut > 0) is by_haircut
    assert (simulated > 1.0) is not by_haircut


def test_before_the_first_value_the_rules_are_not_in_force():
    with pytest.raises(NotInForce, match="2018"):
        ficc_gsd.scenarios(reader(date(2018, 5, 31)))


def test_every_parameter_read_is_on_the_figure():
    record = {**RECORD, "intraday_pnl": -1.0, "blackout_pools": [POOL]}
    told = RULES.with_values(
        because="a member's own record",
        member_records=[record],
        impact_table=IMPACT,
        set_charges=[{"charge": "special_charge", "amount": 1.0}],
    )
    report = margin(book(*held((NOTE_7, 1e6), (BILL, 1e6))), market(), rules=[told])
    read = {read.name for read in report.reads() if read.rule == "ficc_gsd"}
    assert read == set(RULES.parameters)


# ----------------------------------------------------------------------------------------- charges of a member's record

RECORD = {
    "owner": "ALPHA",
    "cycle_var_charges": [4.0, 8.0, 6.0, 14.0],
    "deficiencies": [1.0, 9.0, 5.0, 2.0],
    "backtest_days": 250,
    "capital": 100.0,
    "noon_var_charge": 1_500.0,
}
IMPACT = [
    {
        "bucket": "5-10 years",
        "kinds": ["treasury_note"],
        "from_years": 5.0,
        "to_years": 10.0,
        "impact": 2e-4,
        "power": 1.0,
    }
]
LOSS = {NOTE_7: [-0.001] * 10}
POOL = {"pool": "FN 30y 3 %", "face": 200e6, "paydown": 0.02}


def charged(**overlaid):
    return requirement((NOTE_7, 1e6), of=inputs(LOSS), floor_share=0.0, **overlaid)


def test_charges_of_the_members_own_record():
    found = charged(member_records=[RECORD], differential_decay=0.5, differential_multiplier=2.0)
    assert found.part("var_charge").amount == pytest.approx(1_000.0)
    assert found.part("portfolio_differential").amount == pytest.approx(
        2.0 * (0.5 * (0.5 * 4.0 + 0.5 * 0.0) + 0.5 * 8.0)
    )
    assert found.part("backtesting_charge").amount == 2.0  # coverage 98.4 %, third of 9, 5, 2, 1
    assert found.part("excess_capital_premium").amount == pytest.approx(900.0 * 2.0)  # ratio 10, capped
    assert found.part("intraday_supplemental").amount == pytest.approx(500.0)


@pytest.mark.parametrize(
    "other", [{"owner": "BETA"}, {"owner": "ALPHA", "firm": "ELSE"}, {"owner": "ALPHA", "account_class": "PROPRIETARY"}]
)
def test_the_record_of_another_portfolio_charges_nothing(other):
    assert charged(member_records=[{**RECORD, **other}]).amount == charged().amount


@pytest.mark.parametrize(
    ("row", "said"), [({"capital": 1e9}, "has no owner"), ({"owner": "ALPHA", "capitl": 1e9}, "Did you mean 'capital'")]
)
def test_a_record_without_owner_or_with_a_misspelt_field_is_refused(row, said):
    with pytest.raises(InputError, match=said):
        charged(member_records=[row])


def test_without_a_record_the_charges_are_gaps_and_with_a_part_of_it_only_the_rest():
    named = {line.name for line in charged().walk() if line.how == "not_modelled"}
    assert {"portfolio_differential", "backtesting_charge", "excess_capital_premium", "intraday_supplemental"} <= named
    some = charged(member_records=[{"owner": "ALPHA", "capital": 1e9}])
    assert some.part("excess_capital_premium").amount == 0.0
    assert some.part("backtesting_charge").how == "not_modelled"


def test_the_margin_proxy_takes_the_place_of_the_model():
    found = charged(member_records=[{"owner": "ALPHA", "margin_proxy": 777.0}])
    assert found.part("var_charge").amount == 777.0
    assert "simulated_var" not in {line.name for line in found.walk()}


@pytest.mark.parametrize(
    ("as_of", "days"), [(date(2026, 7, 2), 1), (date(2026, 7, 1), 0), (date(2026, 7, 10), 0), (date(2025, 12, 24), 1)]
)
def test_the_day_before_a_holiday_asks_for_a_day_more(as_of, days):
    charge = ficc_gsd._holiday_charge(Line("var_charge", 900.0), as_of, reader())
    assert charge.amount == pytest.approx(900.0 * (math.sqrt((3 + days) / 3) - 1))


def test_liquidity_is_charged_once_impact_is_a_share_of_the_var_of_a_day():
    one_day = 1_000.0 / math.sqrt(3)
    assert charged(impact_table=IMPACT).part("margin_liquidity_adjustment").amount == 0.0  # 200 of 577: below 0.4
    dear = [{**IMPACT[0], "impact": 2.4e-4}]
    assert charged(impact_table=dear).part("margin_liquidity_adjustment").amount == pytest.approx(240.0)
    assert 200 < 0.4 * one_day < 240


def record_of(**more):
    return [{"owner": "ALPHA", **more}]


@pytest.mark.parametrize(
    ("pnl", "charge"),
    [
        (-3_000.0, 3_000.0),
        (-300.0, 300.0),  # exactly 30 per cent of the VaR Charge of 1,000
        (-299.0, 0.0),
        (-99.0, 0.0),
        (5_000.0, 0.0),
    ],
)
def test_a_large_intraday_loss_is_charged_in_full(pnl, charge):
    found = charged(member_records=record_of(intraday_pnl=pnl), intraday_mark_minimum=100.0)
    line = found.part("intraday_mark_to_market")
    assert line.amount == charge
    assert {read.name for read in line.reads} >= {"intraday_mark_minimum", "intraday_mark_share"}


def test_a_portfolio_whose_coverage_holds_is_spared_the_intraday_mark():
    short = record_of(intraday_pnl=-3e6, deficiencies=[1.0, 2.0, 3.0], backtest_days=250)
    enough = record_of(intraday_pnl=-3e6, deficiencies=[1.0], backtest_days=250)
    assert charged(member_records=short).part("intraday_mark_to_market").amount == 3e6
    assert charged(member_records=enough).part("intraday_mark_to_market").amount == 0.0


def test_the_intraday_mark_of_two_markets():
    """Ten basis points on a seven-year note in the curve, then a price observed in the second market alone."""
    last = market()
    up = evolve(last, curve=evolve(last.curve, par=last.curve.par + 0.001))
    positions = held((NOTE_7, 100e6), (NOTE_7, -40e6), (NOTE_8, 0.0))
    duration = -ficc_gsd.intraday_pnl(positions, last=last, now=up) / (60e6 * 0.001)
    assert 5.5 < duration < 6.5
    assert ficc_gsd.intraday_pnl(positions, last=last, now=last) == 0.0
    assert ficc_gsd.intraday_pnl((), last=last, now=up) == 0.0
    there, here = (evolve(last, prices={NOTE_7.symbol: price}) for price in (99.0, 98.5))
    assert ficc_gsd.intraday_pnl(positions, last=there, now=here) == pytest.approx(-0.005 * 60e6)
    with pytest.raises(InputError, match="two dates"):
        ficc_gsd.intraday_pnl(positions, last=_of(last, date(2026, 6, 29)), now=up)
    with pytest.raises(InputError, match="no real yields"):
        ficc_gsd.intraday_pnl(held((TIPS_8, 1e6)), last=last, now=up)


def _of(there, day):
    return evolve(there, as_of=day, curve=evolve(there.curve, as_of=day))


@pytest.mark.parametrize(
    ("as_of", "counts"),
    [
        (date(2026, 7, 1), True),
        (date(2026, 7, 8), True),  # the fifth: the third of July is a holiday
        (date(2026, 7, 9), False),
        (date(2026, 7, 31), False),
        (date(2026, 8, 1), False),  # no business day has passed yet
        (date(2026, 8, 3), True),
    ],
)
def test_mortgage_pools_count_on_the_first_business_days(as_of, counts):
    told = reader(as_of, member_records=record_of(blackout_pools=[POOL, {**POOL, "face": -50e6}]))
    line = ficc_gsd._blackout(pool(), as_of, told)
    assert line.amount == pytest.approx(150e6 * 0.02 * counts)
    assert line.part("expected paydowns").amount == pytest.approx(3e6)


def test_charges_that_ficc_sets():
    rows = [
        {"charge": "volatility_event_charge", "share": 0.2},  # for all
        {"charge": "volatility_event_charge", "amount": 50.0, "owner": "ALPHA"},
        {"charge": "volatility_event_charge", "amount": 7.0, "owner": "BETA"},
        {"charge": "special_charge", "amount": 11.0, "account_class": "PROPRIETARY"},
    ]
    found = charged(set_charges=rows)
    assert found.part("volatility_event_charge").amount == pytest.approx(0.2 * 1_000 + 50)
    assert found.part("special_charge").how == "not_modelled"  # that of another margin portfolio
    with pytest.raises(InputError, match=r"Did you mean 'special_charge'"):
        charged(set_charges=[{"charge": "special", "amount": 1.0}])


def test_a_gap_says_what_to_give():
    found = charged()
    for name, needed in (
        ("intraday_mark_to_market", "intraday_pnl"),
        ("blackout_period_exposure", "blackout_pools"),
        ("volatility_event_charge", "set_charges"),
        ("special_charge", "set_charges"),
        ("backtesting_charge", "deficiencies"),
    ):
        assert needed in found.part(name).note


@pytest.mark.parametrize("security", [TIPS_8, TreasuryFRN(0.0012, date(2028, 1, 31)), BILL])
def test_a_repo_that_has_not_started_on_a_security_without_a_model_is_visible(security):
    forward, started = (Repo(security, start, date(2026, 7, 31), 0.037) for start in (date(2026, 7, 1), AS_OF))
    found = requirement((forward, 10e6))
    (gap,) = [line for line in found.part("model").walk() if line.how == "not_modelled"]
    assert gap.name == f"p0: {forward.symbol}"
    assert "has not started" in gap.note
    assert found.part("haircut_charge").value == 0
    assert not [line for line in requirement((started, 10e6)).part("model").walk() if line.how == "not_modelled"]


def test_sensitivities_say_nearly_what_repricing_says():
    line = margin(book(*held((NOTE_7, 1e6), (BOND, -2e5))), market()).requirements[0].line.part("simulated_var")
    assert line.memo[0].amount == pytest.approx(line.amount, rel=0.02)
    assert line.memo[0].amount != line.amount
