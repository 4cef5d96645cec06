"""Made-up books on real history, for the demonstration and for trying things out.

`basis_trade()`, `equity_options()`, `swap_book()` and `group()`, which has posted collateral, return `(portfolio,
market)`, ready for `compare(*basis_trade())`. Firms and customers are fictional; Treasuries, the yield history and the
curve of the date are real, prices and volatilities of shares and credit spreads are not. The market is read from files
inside the package.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from attrs import evolve

from crossmargin.accounts import (
    Account,
    AccountClass,
    Agreement,
    ClearingHouse,
    Customer,
    CustomerKind,
    Firm,
    IntradayMonitoring,
    Registration,
)
from crossmargin.io.market_files import packaged_market
from crossmargin.market import Market
from crossmargin.portfolio import Portfolio, Position
from crossmargin.posted import CARRYING_FIRM, Asset, Cash, Posted
from crossmargin.products import (
    ETF,
    STRIPS,
    TIPS,
    Convention,
    CreditDefaultSwap,
    EquityTotalReturnSwap,
    FutureOption,
    Index,
    ListedOption,
    OvernightSwap,
    Repo,
    ReverseRepo,
    SecurityFuture,
    ShortRateFuture,
    Stock,
    TreasuryBill,
    TreasuryBond,
    TreasuryFRN,
    TreasuryFuture,
    TreasuryNote,
    deliverable_basket,
)
from crossmargin.swap_market import CreditSpreads
from crossmargin.underlyings import Underlying

__all__ = ["EXPIRY", "SECURITIES", "SETTLES", "basis_trade", "equity_options", "group", "swap_book"]

SETTLES = date(2026, 7, 1)  # trades of the sample date settle on the next business day

SECURITIES = (
    TreasuryNote(0.0400, date(2028, 6, 30), issue=date(2023, 6, 30), cusip="91282CHK0"),
    TreasuryNote(0.04125, date(2028, 7, 31), issue=date(2023, 7, 31), cusip="91282CHQ7"),
    TreasuryNote(0.04375, date(2028, 8, 31), issue=date(2023, 8, 31), cusip="91282CHX2"),
    TreasuryNote(0.03375, date(2033, 5, 15), issue=date(2023, 5, 15), cusip="91282CHC8"),
    TreasuryNote(0.03875, date(2033, 8, 15), issue=date(2023, 8, 15), cusip="91282CHT1"),
    TreasuryNote(0.0450, date(2033, 11, 15), issue=date(2023, 11, 15), cusip="91282CJJ1"),
    TreasuryNote(0.0400, date(2034, 2, 15), issue=date(2024, 2, 15), cusip="91282CJZ5"),
    TreasuryNote(0.04375, date(2034, 5, 15), issue=date(2024, 5, 15), cusip="91282CKQ3"),
    TreasuryNote(0.03875, date(2034, 8, 15), issue=date(2024, 8, 15), cusip="91282CLF6"),
    TreasuryBond(0.0400, date(2052, 11, 15), issue=date(2022, 11, 15), cusip="912810TL2"),
    TreasuryBond(0.0475, date(2053, 11, 15), issue=date(2023, 11, 15), cusip="912810TV0"),
    TreasuryBond(0.04625, date(2055, 2, 15), issue=date(2025, 2, 18), cusip="912810UG1"),
)
_BY_CUSIP = {security.cusip: security for security in SECURITIES}
_CUSTOMER_PAPERS = frozenset(Agreement) - {Agreement.PORTFOLIO_MARGIN}


def __dir__() -> list[str]:
    return __all__


def basis_trade() -> tuple[Portfolio, Market]:
    """Return Treasury basis books of a fictional dual registrant and its customers, and the market of 30 June 2026.

    Examples
    --------
    >>> portfolio, market = basis_trade()
    >>> len(portfolio.positions), str(market.as_of)
    (25, '2026-06-30')
    """
    portfolio = Portfolio(firms=_firms(), customers=_customers(), accounts=_accounts(), positions=_positions())
    return portfolio, packaged_market()


def _firms() -> tuple[Firm, ...]:
    members = (ClearingHouse.FICC, ClearingHouse.CME, ClearingHouse.OCC)
    dual = (Registration.BD, Registration.FCM)
    northgate = Firm("NORTHGATE", dual, members, name="Northgate Securities LLC")
    eastway = Firm("EASTWAY", (Registration.FCM,), (ClearingHouse.CME,), name="Eastway Futures Inc.")
    return northgate, eastway


def _customers() -> tuple[Customer, ...]:
    return (
        Customer("MERIDIAN", CustomerKind.ELIGIBLE_CONTRACT_PARTICIPANT, name="Meridian Relative Value Fund"),
        Customer("HARBOR", CustomerKind.QIB, name="Harbor Pension Trust"),
        Customer("PAT", CustomerKind.RETAIL, name="Pat Doe"),
    )


def _accounts() -> tuple[Account, ...]:
    classes = AccountClass
    some = _CUSTOMER_PAPERS - {Agreement.SUBORDINATION}
    house = (Agreement.PARTICIPANT_AGREEMENT,)
    return (
        Account("NG-XM", "NORTHGATE", "NORTHGATE", classes.PROPRIETARY, arrangement="cme_ficc", agreements=house),
        Account("MER-XM", "MERIDIAN", "NORTHGATE", classes.XM_FUTURES_4D_AB, "cme_ficc", _CUSTOMER_PAPERS),
        Account("MER-FUT", "MERIDIAN", "NORTHGATE", classes.CFTC_4D_AB),
        Account("MER-GOV", "MERIDIAN", "NORTHGATE", classes.SEC_NOTE_H),
        Account("MER-EAST", "MERIDIAN", "EASTWAY", classes.CFTC_4D_AB),
        Account("HAR-XM", "HARBOR", "NORTHGATE", classes.XM_FUTURES_4D_AB, "cme_ficc", some),
        Account("PAT-SEC", "PAT", "NORTHGATE", classes.SEC_15C3_3),
    )


def _positions() -> tuple[Position, ...]:
    zt, zn, ub = (_future(contract) for contract in ("ZT", "ZN", "UB"))
    note, old_note, bond = (_BY_CUSIP[cusip] for cusip in ("91282CHC8", "91282CHT1", "912810TL2"))
    two_year, pension_note = _BY_CUSIP["91282CHK0"], _BY_CUSIP["91282CJJ1"]
    month = (SETTLES, date(2026, 7, 31), 0.0372)
    return (
        Position("N1", "NG-XM", old_note, 60e6, SETTLES),
        Position("N2", "NG-XM", ReverseRepo(old_note, *month, price=0.96), 25e6),
        Position("N3", "NG-XM", zn, -330),
        Position("N4", "NG-XM", ShortRateFuture("ZQ", 202609), 150),
        Position("M1", "MER-XM", note, 150e6, SETTLES),
        Position("M2", "MER-XM", Repo(note, *month, price=0.93), 150e6),
        Position("M3", "MER-XM", zn, -1290),
        Position("M4", "MER-XM", bond, 40e6, SETTLES),
        Position("M5", "MER-XM", ub, -300),
        Position("M6", "MER-XM", two_year, 200e6, SETTLES),
        Position("M7", "MER-XM", zt, -970),
        Position("M8", "MER-XM", ShortRateFuture("SR3", 202609), -120),
        Position("M9", "MER-XM", TreasuryNote(0.04625, date(2027, 6, 15), cusip="91282CKV2"), 30e6, SETTLES),
        Position("M10", "MER-XM", FutureOption(zn, "call", 112.0, date(2026, 8, 21)), 400),
        Position("M11", "MER-FUT", zn, 80),
        Position("M12", "MER-EAST", zn, 120),
        Position("M13", "MER-GOV", TreasuryBill(date(2026, 9, 24)), 50e6, SETTLES),
        Position("M14", "MER-GOV", TIPS(0.01875, date(2034, 7, 15)), 20e6, SETTLES),
        Position("M15", "MER-GOV", STRIPS(date(2045, 2, 15)), 10e6, SETTLES),
        Position("M16", "MER-GOV", TreasuryFRN(0.0012, date(2028, 1, 31)), 40e6, SETTLES),
        Position("H1", "HAR-XM", pension_note, 120e6, SETTLES),
        Position("H2", "HAR-XM", zn, -900),
        Position("P1", "PAT-SEC", ListedOption("TLT", "put", 85.0, date(2026, 9, 18)), 20),
        Position("P2", "PAT-SEC", ListedOption("TLT", "put", 82.0, date(2026, 9, 18)), -20),
        Position("P3", "PAT-SEC", TreasuryBill(date(2026, 12, 24)), 25e3),
    )


def _future(contract: str) -> TreasuryFuture:
    return TreasuryFuture(contract, 202609, deliverable_basket(contract, 202609, SECURITIES))


# ------------------------------------------------------------------------------------------- stock and its options

EXPIRY = date(2026, 9, 18)


def equity_options() -> tuple[Portfolio, Market]:
    """Return stock and option books of a margin account and a portfolio-margin account, and a market of 30 June 2026.

    Names, prices and volatilities are made up; the indices and funds bear their real names, so that offsets between
    them can be seen. There is no price history, and the clearing level says so.

    Examples
    --------
    >>> portfolio, market = equity_options()
    >>> [account.id for account in portfolio.accounts], len(portfolio.positions)
    (['ROB-MARGIN', 'LUX-PM'], 15)
    >>> market.notes[-1]
    'prices, yields and volatilities of shares and indices are made up, for the sample books'
    """
    said = "prices, yields and volatilities of shares and indices are made up, for the sample books"
    market = packaged_market()
    told: dict[Any, Any] = {**market.underlyings, **{each.symbol: each for each in _underlyings()}}
    return _equity_book(), evolve(market, underlyings=told, notes=(*market.notes, said))


def _underlyings() -> tuple[Underlying, ...]:
    fund = ETF("SPY", "broad_high_cap", tracks="SPX")
    twofold = ETF("SSO", "broad_high_cap", tracks="SPX", leverage=2.0)
    return (
        Underlying("SPX", 0.16, 6200.0, dividend_yield=0.013, security=Index("SPX", "broad_high_cap")),
        Underlying("SPY", 0.16, 619.0, dividend_yield=0.013, security=fund),
        Underlying("SSO", 0.32, 96.0, dividend_yield=0.007, security=twofold),
        Underlying("QUILL", 0.32, 148.0, dividends=((date(2026, 8, 14), 0.6),), security=Stock("QUILL")),
        Underlying("TARN", 0.45, 61.0, security=Stock("TARN")),
    )


def _equity_book() -> Portfolio:
    brightwater = Firm(
        "BRIGHTWATER",
        (Registration.BD,),
        (ClearingHouse.OCC,),
        name="Brightwater Brokerage Inc.",
        monitoring=IntradayMonitoring.FULL,
    )
    customers = (
        Customer("ROBIN", CustomerKind.RETAIL, name="Robin Poe"),
        Customer("LUX", CustomerKind.ELIGIBLE_CONTRACT_PARTICIPANT, name="Lux Volatility Partners"),
    )
    elected = (Agreement.PORTFOLIO_MARGIN,)
    accounts = (
        Account("ROB-MARGIN", "ROBIN", "BRIGHTWATER", AccountClass.SEC_15C3_3, equity=90_000.0),
        Account("LUX-PM", "LUX", "BRIGHTWATER", AccountClass.SEC_15C3_3, agreements=elected, equity=2_500_000.0),
    )
    return Portfolio([brightwater], customers, accounts, (*_margin_positions(), *_portfolio_margin_positions()))


def _margin_positions() -> tuple[Position, ...]:
    """Return a covered call, a strangle, a put spread and a security future of a retail account."""
    quill, tarn = Stock("QUILL"), Stock("TARN")
    return (
        Position("R1", "ROB-MARGIN", quill, 250),
        Position("R2", "ROB-MARGIN", ListedOption("QUILL", "call", 155.0, EXPIRY), -2),
        Position("R3", "ROB-MARGIN", ListedOption("TARN", "call", 70.0, EXPIRY), -3),
        Position("R4", "ROB-MARGIN", ListedOption("TARN", "put", 52.5, EXPIRY), -3),
        Position("R5", "ROB-MARGIN", tarn, 40),
        Position("R6", "ROB-MARGIN", _on_fund("put", 600.0), -4),
        Position("R7", "ROB-MARGIN", _on_fund("put", 585.0), 4),
        Position("R8", "ROB-MARGIN", SecurityFuture("TARN", 202609), 2),
    )


def _portfolio_margin_positions() -> tuple[Position, ...]:
    """Return index options against the fund that tracks the index, and a hedged twofold fund."""
    return (
        Position("L1", "LUX-PM", _on_index("call", 6400.0), -20),
        Position("L2", "LUX-PM", _on_index("call", 6500.0), 20),
        Position("L3", "LUX-PM", _on_index("put", 5800.0), -15),
        Position("L4", "LUX-PM", ETF("SPY", "broad_high_cap", tracks="SPX"), -3_000),
        Position("L5", "LUX-PM", _on_fund("put", 580.0), 120),
        Position("L6", "LUX-PM", ETF("SSO", "broad_high_cap", tracks="SPX", leverage=2.0), 8_000),
        Position("L7", "LUX-PM", Stock("QUILL"), 3_000),
    )


def _on_fund(right: Any, strike: float) -> ListedOption:
    return ListedOption("SPY", right, strike, EXPIRY, underlying_kind="etf")


def _on_index(right: Any, strike: float) -> ListedOption:
    terms = {"exercise": "european", "settlement": "cash", "underlying_kind": "index", "settles_at": "open"}
    return ListedOption("SPX", right, strike, EXPIRY, **terms)  # type: ignore[arg-type] # all are texts


# ------------------------------------------------------------------------------------------------------------ swaps

IMM = Convention(12, "act/360", 2, roll="third_wednesday")
TWO_YEARS = OvernightSwap(
    "receive", 0.0411, date(2026, 9, 16), date(2028, 9, 20), notional=1e8, fixed=IMM, floating=IMM
)
STRIP = {202609: -100, 202612: -99, 202703: -99, 202706: -98, 202709: -97, 202712: -96, 202803: -95, 202806: -95}


def swap_book() -> tuple[Portfolio, Market]:
    """Return swaps and what hedges them in a fund's accounts at a fictional dealer, and a market of 30 June 2026.

    A cleared two-year SOFR swap beside the strip of futures that hedges it, a credit index beside two of its names, and
    a bilateral return swap beside the stock sold short. Credit spreads and the price of the share are made up.

    Examples
    --------
    >>> portfolio, market = swap_book()
    >>> [account.id for account in portfolio.accounts], len(portfolio.positions)
    (['COR-RATES', 'COR-CREDIT', 'COR-SHARES'], 14)
    """
    market = packaged_market()
    told: dict[Any, Any] = {**market.underlyings, "QUILL": Underlying("QUILL", 0.32, 148.0, security=Stock("QUILL"))}
    spreads = {"EXAMPLE.IG": 0.0055, "QUILL": 0.0080, "TARN": 0.0210}
    credit: dict[Any, Any] = {name: CreditSpreads(name, {5: spread}) for name, spread in spreads.items()}
    said = "credit spreads and the price of QUILL are made up, for the sample book"
    return _swap_portfolio(), evolve(market, underlyings=told, credit=credit, notes=(*market.notes, said))


def _swap_portfolio() -> Portfolio:
    registered = (Registration.BD, Registration.FCM, Registration.SBSD)
    members = (ClearingHouse.CME, ClearingHouse.ICC, ClearingHouse.OCC)
    southport = Firm("SOUTHPORT", registered, members, name="Southport Capital Markets LLC")
    corvid = Customer("CORVID", CustomerKind.ELIGIBLE_CONTRACT_PARTICIPANT, name="Corvid Macro Fund")
    papers, cleared = (Agreement.SUBORDINATION, Agreement.DISCLOSURE), AccountClass.CFTC_4D_F
    accounts = (
        Account("COR-RATES", "CORVID", "SOUTHPORT", cleared, "cme_swaps_futures"),
        Account("COR-CREDIT", "CORVID", "SOUTHPORT", cleared, "icc_cds", papers),
        Account("COR-SHARES", "CORVID", "SOUTHPORT", AccountClass.SEC_15C3_3, equity=400_000.0),
    )
    return Portfolio([southport], [corvid], accounts, (*_rate_hedge(), *_credit_and_shares()))


def _rate_hedge() -> tuple[Position, ...]:
    futures = ((ShortRateFuture("SR3", month), lots) for month, lots in STRIP.items())
    strip = (Position(f"F{n}", "COR-RATES", future, lots) for n, (future, lots) in enumerate(futures, start=1))
    return Position("S1", "COR-RATES", TWO_YEARS, 1), *strip


def _credit_and_shares() -> tuple[Position, ...]:
    june, reset = date(2031, 6, 20), date(2027, 6, 30)
    return (
        Position("C1", "COR-CREDIT", CreditDefaultSwap("EXAMPLE.IG", 0.01, june, names=125), 50e6),
        Position("C2", "COR-CREDIT", CreditDefaultSwap("QUILL", 0.01, june), -10e6),
        Position("C3", "COR-CREDIT", CreditDefaultSwap("TARN", 0.01, june), -5e6),
        Position("E1", "COR-SHARES", EquityTotalReturnSwap("QUILL", reset, 145.0, spread=0.006), 5_000),
        Position("E2", "COR-SHARES", Stock("QUILL"), -5_000),
    )


# ------------------------------------------------------------------------------------- a group, and what it has posted

_BILL = TreasuryBill(date(2026, 9, 24))


def group() -> tuple[Portfolio, Market]:
    """Return a dual registrant, its bank and a fund with an account of every class, with collateral, 30 June 2026.

    The market is that of `equity_options`: there is no price history, so that what is owed at OCC is not known.

    Examples
    --------
    >>> portfolio, _ = group()
    >>> [account.account_class.value for account in portfolio.accounts if account.owner == "MERIDIAN"]
    ['SEC_15C3_3', 'CFTC_4D_AB', 'CFTC_4D_F', 'SEC_NOTE_H', 'XM_FUTURES_4D_AB']
    >>> len(portfolio.positions), len(portfolio.posted)
    (12, 18)
    """
    northgate = evolve(_firms()[0], affiliates=("NG-BANK",), guarantees=("NG-BANK",))
    bank = Firm("NG-BANK", (Registration.BANK,), name="Northgate Bank N.A.")
    fund, accounts = _customers()[0], (*_house_accounts(), *_fund_accounts())
    return Portfolio((northgate, bank), [fund], accounts, _group_positions(), _deposits()), equity_options()[1]


def _house_accounts() -> tuple[Account, ...]:
    papers = (Agreement.PARTICIPANT_AGREEMENT,)
    return tuple(
        Account(id, owner, "NORTHGATE", AccountClass.PROPRIETARY, "cme_ficc", papers)
        for id, owner in (("NG-XM", "NORTHGATE"), ("BANK-XM", "NG-BANK"))
    )


def _fund_accounts() -> tuple[Account, ...]:
    classes, whose = AccountClass, ("MERIDIAN", "NORTHGATE")
    return (
        Account("MER-SEC", *whose, classes.SEC_15C3_3, equity=4e6),
        Account("MER-FUT", *whose, classes.CFTC_4D_AB),
        Account("MER-SWAP", *whose, classes.CFTC_4D_F),
        Account("MER-GOV", *whose, classes.SEC_NOTE_H),
        Account("MER-XM", *whose, classes.XM_FUTURES_4D_AB, "cme_ficc", _CUSTOMER_PAPERS),
    )


def _group_positions() -> tuple[Position, ...]:
    two_year, note, old_note = (_BY_CUSIP[cusip] for cusip in ("91282CHK0", "91282CHC8", "91282CHT1"))
    zt, zn = _future("ZT"), _future("ZN")
    return (
        Position("N1", "NG-XM", old_note, 60e6, SETTLES),
        Position("N2", "NG-XM", zn, -330),
        Position("B1", "BANK-XM", two_year, 80e6, SETTLES),
        Position("B2", "BANK-XM", zt, -300),
        Position("E1", "MER-SEC", Stock("QUILL"), 20_000),
        Position("E2", "MER-SEC", ListedOption("QUILL", "call", 155.0, EXPIRY), -200),
        Position("F1", "MER-FUT", zn, -400),
        Position("S1", "MER-SWAP", TWO_YEARS, 1),
        Position("G1", "MER-GOV", note, 50e6, SETTLES),
        Position("G2", "MER-GOV", _BILL, 50e6, SETTLES),
        Position("M1", "MER-XM", note, 150e6, SETTLES),
        Position("M2", "MER-XM", zn, -1290),
    )


def _deposits() -> tuple[Posted, ...]:
    """Return what house, bank and fund have posted; most of the fund's is passed on to a clearing house."""
    classes, two_year, note = AccountClass, _BY_CUSIP["91282CHK0"], _BY_CUSIP["91282CHC8"]
    own = (
        _of_house("house-ficc", "NORTHGATE", "FICC", lies=(Cash(), 120e3)),
        _of_house("house-ficc-note", "NORTHGATE", "FICC", lies=(two_year, 150e3)),
        _of_house("house-cme", "NORTHGATE", "CME", lies=(Cash(), 100e3)),
        _of_house("bank-ficc", "NG-BANK", "FICC", lies=(Cash(), 90e3)),
        _of_house("bank-cme", "NG-BANK", "CME", lies=(Cash(), 20e3)),
    )
    residual = Posted("fut-firm", "MERIDIAN", "NORTHGATE", "CME", classes.CFTC_4D_AB, Cash(), 60e3)
    return (
        *own,
        *_passed_on("sec", classes.SEC_15C3_3, Cash(), 900e3, OCC=250e3),
        *_passed_on("sec-shares", classes.SEC_15C3_3, Stock("TARN"), 4_000),
        *_passed_on("fut", classes.CFTC_4D_AB, _BILL, 600e3, CME=400e3),
        evolve(residual, provided_by="NORTHGATE"),
        *_passed_on("swap", classes.CFTC_4D_F, note, 1.2e6, CME=1.2e6),
        *_passed_on("gov", classes.SEC_NOTE_H, Cash(), 700e3, FICC=700e3),
        *_passed_on("xm", classes.XM_FUTURES_4D_AB, _BILL, 1e6, FICC=600e3, CME=250e3),
    )


def _of_house(id: str, owner: str, pot: str, *, lies: tuple[Asset, float]) -> Posted:
    return Posted(id, owner, "NORTHGATE", pot, AccountClass.PROPRIETARY, *lies)


def _passed_on(id: str, account_class: AccountClass, asset: Asset, quantity: float, **onward: float) -> list[Posted]:
    """Return a deposit of the fund at its firm, and what of it lies at clearing houses."""
    at_firm = Posted(id, "MERIDIAN", "NORTHGATE", CARRYING_FIRM, account_class, asset, quantity)
    parts = (evolve(at_firm, id=f"{id}-{pot.lower()}", pot=pot, quantity=part) for pot, part in onward.items())
    return [at_firm, *(evolve(part, passed_on=id) for part in parts)]
