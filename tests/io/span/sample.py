"""A small SPAN file: stock index futures and options, two Treasury futures, every record type; figures are made up.

`RECORDS` are its records, `contract` the two records of one array, `XML` much the same in the other format.
"""

from __future__ import annotations

from typing import Any

Record = tuple[str, dict[str, Any]]

UP_DOWN = (0, 0, -1, -1, 1, 1, -2, -2, 2, 2, -3, -3, 3, 3)


def futures_array(scan_range: int) -> list[int]:
    """Losses of one long future, extreme moves of 2.97 scan ranges covered by a third."""
    return [scan_range * moves // 3 for moves in UP_DOWN] + [-(99 * scan_range) // 100, (99 * scan_range) // 100]


def contract(identity: dict[str, Any], values: list[int], *, delta: float, raw: int, **more: Any) -> list[Record]:
    """The two records of one risk array."""
    first = {"high_precision_settlement_raw": abs(raw), "settlement_flag": "N"}
    second = {
        "composite_delta": delta,
        "implied_volatility": 0.2,
        "settlement_raw": raw,
        "strike_sign": "+",
        "current_delta": delta,
        "delta_flag": "C",
    }
    return [
        ("81", identity | {"values": values[:9]} | first),
        ("82", identity | {"values": values[9:]} | second | more),
    ]


def future(exchange: str, product: str, month: int) -> dict[str, Any]:
    return {
        "exchange": exchange,
        "product": product,
        "underlying": product,
        "product_type": "FUT",
        "futures_month": month,
        "strike_raw": 0,
    }


def option(right: str, strike: int) -> dict[str, Any]:
    series = {"product_type": "OOF", "right": right, "option_month": 202602, "strike_raw": strike}
    return future("CME", "ES", 202603) | series


def parameters(identity: dict[str, Any], scan_range: int, scaling: float, factor: float) -> Record:
    named = {name: value for name, value in identity.items() if name not in {"strike_raw", "right"}}
    figures = {
        "price_scan_range": scan_range,
        "delta_scaling_factor": scaling,
        "contract_value_factor": factor,
        "expiration_date": "20260320",
        "volatility_scan_quotation": "P",
    }
    return "B ", named | figures


def quotes(exchange: str, product: str, product_type: str, **more: Any) -> Record:
    usual = {
        "short_name": f"{product} {product_type}",
        "settlement_decimals": 2,
        "strike_decimals": 0,
        "settlement_alignment": " ",
        "strike_alignment": " ",
        "contract_value_factor": 50.0,
        "currency": "USD",
        "exercise_style": "AMER" if product_type == "OOF" else None,
        "valuation_method": "EQTY" if product_type == "OOF" else "FUT",
    }
    return "P ", {"exchange": exchange, "product": product, "product_type": product_type} | usual | more


def legs(on: str, *named: tuple[Any, float, str]) -> list[dict[str, Any]]:
    return [{on: each, "ratio": ratio, "side": side} for each, ratio, side in named]


def tier(number: int, first: int, last: int) -> dict[str, int]:
    return {"tier": number, "start_month": first, "end_month": last}


def inter_leg(code: str, ratio: float, side: str) -> dict[str, Any]:
    return {"exchange": "CBT", "required": "Y", "combined_commodity": code, "ratio": ratio, "side": side}


MARCH, JUNE = 202603, 202606
ES, ES_JUNE = future("CME", "ES", MARCH), future("CME", "ES", JUNE)
ZN, ZN_JUNE, ZT = future("CBT", "21", MARCH), future("CBT", "21", JUNE), future("CBT", "26", MARCH)
CALL, PUT = option("call", 6000), option("put", 5900)
CALL_LOSSES = [-100, 100, -500, -300, 300, 400, -1200, -1000, 600, 650, -2000, -1900, 700, 720, -900, 250]
PUT_LOSSES = [-90, 90, 200, 260, -350, -250, 300, 330, -900, -800, 380, 400, -1800, -1700, 140, -800]
RATIOS = {"ratio_member": 1.0, "ratio_hedger": 1.0, "ratio_speculator": 1.1}
ADJUSTMENTS = {"adjustment_member": 1.0, "adjustment_hedger": 1.0, "adjustment_speculator": 1.0}

HEADER: Record = (
    "0 ",
    {
        "clearing_organization": "CME",
        "business_date": "20260105",
        "settlement_or_intraday": "S",
        "file_identifier": "C",
        "creation_date": "20260105",
        "creation_time": "1800",
        "file_format": "U2",
        "limit_option_value": "N",
        "gross_or_net": "N",
    },
)


def commodity(exchange: str, code: str, *products: tuple[str, str], **more: Any) -> Record:
    listed = [{"product": product, "product_type": kind, "array_decimals": 0} for product, kind in products]
    usual = {
        "risk_exponent": 0,
        "currency": "USD",
        "currency_code": "$",
        "option_style": "P",
        "limit_option_value": "N",
    }
    return "2 ", {"exchange": exchange, "combined_commodity": code, "products": listed} | usual | more


def further(code: str, first: dict[str, Any], third: dict[str, Any]) -> list[Record]:
    """The records `S`, `3` and `4` of a combined commodity."""
    named = {"combined_commodity": code}
    scan = {"inter_method": "10", "tier_count": 1, "tiers": [tier(1, 202601, 202812)], "weighted_price_risk_method": 1}
    return [
        ("S ", named | scan),
        ("3 ", named | {"intra_method": "10"} | RATIOS | first),
        ("4 ", named | {"spot_method": "01", "month_count": 0} | ADJUSTMENTS | third),
    ]


RECORDS: list[Record] = [
    HEADER,
    ("T ", {"from_currency": "EUR", "from_code": "E", "to_currency": "USD", "to_code": "$", "rate": 1.08}),
    ("1 ", {"exchange": "CME", "exchange_code": "02"}),
    ("5 ", {"group": "CME", "combined_commodities": ["SP"]}),
    ("5 ", {"group": "CBT", "combined_commodities": ["21", "26"]}),
    commodity("CME", "SP", ("ES", "FUT"), ("ES", "OOF")),
    commodity("CBT", "21", ("21", "FUT")),
    commodity("CBT", "26", ("26", "FUT")),
    *further("SP", {"tiers": []}, {"short_option_minimum_rate": 50, "short_option_minimum_method": 1}),
    *further("21", {"tiers": [tier(1, MARCH, MARCH), tier(2, JUNE, JUNE)]}, {}),
    *further(
        "26",
        {"tiers": []},
        {
            "spot_method": "10",
            "month_count": 1,
            "months": [
                {
                    "number": 1,
                    "month": MARCH,
                    "charge_per_delta_consumed": 20,
                    "charge_per_delta_remaining": 30,
                }
            ],
        },
    ),
    (
        "C ",
        {"combined_commodity": "21", "intra_method": "10", "priority": 2, "leg_count": 2, "charge": 140}
        | {"legs": [{"leg": place + 1} | leg for place, leg in enumerate(legs("tier", (1, 1, "A"), (2, 1, "B")))]},
    ),
    (
        "E ",
        {"combined_commodity": "SP", "priority": 1, "charge": 150}
        | {"legs": legs("month", (MARCH, 1.0, "A"), (JUNE, 1.0, "B"))},
    ),
    parameters(ES, 6000, 0.2, 50.0),
    parameters(ES_JUNE, 6000, 0.2, 50.0),
    parameters(CALL, 6000, 0.2, 50.0),
    parameters(ZN, 1200, 1.0, 1000.0),
    parameters(ZN_JUNE, 1200, 1.0, 1000.0),
    parameters(ZT, 600, 1.0, 2000.0),
    quotes("CME", "ES", "FUT", long_name="E-MINI S&P 500"),
    quotes("CME", "ES", "OOF"),
    quotes("CBT", "21", "FUT", settlement_decimals=3, settlement_alignment="C", contract_value_factor=1000.0),
    quotes("CBT", "26", "FUT", settlement_decimals=3, settlement_alignment="C", contract_value_factor=2000.0),
    (
        "6 ",
        {
            "group": "ALL",
            "priority": 1,
            "credit_rate_pct": 60.0,
            "method": "10",
            "legs": [inter_leg("21", 1.0, "A"), inter_leg("26", 2.0, "B")],
        },
    ),
    (
        "6 ",
        {
            "group": "ALL",
            "priority": 2,
            "credit_rate_pct": 98.0,
            "method": "04",
            "legs": [inter_leg("SP", 1.0, "A"), inter_leg("26", 1.0, "B")],
            "target": {"exchange": "CBT", "required": "N", "combined_commodity": "TG", "ratio": 1.0},
            "minimum_legs": 2,
        },
    ),
    *contract(ES, futures_array(6000), delta=1.0, raw=600_000),
    *contract(ES_JUNE, futures_array(6000), delta=1.0, raw=605_000),
    *contract(CALL, CALL_LOSSES, delta=0.45, raw=4_000),
    *contract(PUT, PUT_LOSSES, delta=-0.3, raw=2_500),
    *contract(ZN, futures_array(1200), delta=1.0, raw=112_160),
    *contract(ZN_JUNE, futures_array(1200), delta=1.0, raw=112_000),
    *contract(ZT, futures_array(600), delta=1.0, raw=104_057),
    ("X ", {"combination_method": "M", "product": "31", "price_offset_raw": 0}),
    ("Y ", {"product": "31", "option": "31"}),
    (
        "V ",
        {
            "exchange": "CME",
            "product": "GA",
            "month": 202606,
            "date": "20260105",
            "long_rate_raw": 0,
            "long_maintenance_rate": 1.0,
        },
    ),
    (
        "Z ",
        {
            "exchange": "CBT",
            "product": "31",
            "combination_type": "I/C",
            "month": 202607,
            "leg": 1,
            "relation": "B",
            "ratio": 1.0,
            "leg_product": "S",
            "leg_product_type": "FUT",
            "leg_month": 202607,
            "leg_price_raw": 0,
        },
    ),
]


def _array(values: list[int], delta: float) -> str:
    listed = "".join(f"<a>{value}</a>" for value in values)
    return f"<ra><r>1</r>{listed}<d>{delta}</d></ra>"


def _future(number: int, month: int, price: float, values: list[int]) -> str:
    return f"<fut><cId>{number}</cId><pe>{month}</pe><p>{price}</p><d>1</d>{_array(values, 1.0)}</fut>"


def _family(tag: str, number: int, code: str, inside: str) -> str:
    head = f"<pfId>{number}</pfId><pfCode>{code}</pfCode><name>{code}</name><currency>USD</currency>"
    return f"<{tag}>{head}<cvf>50</cvf><valueMeth>{'EQTY' if tag == 'oofPf' else 'FUT'}</valueMeth>{inside}</{tag}>"


_OPTIONS = (
    "<series><pe>202602</pe><v>0.2</v><cvf>50</cvf><sc>0.2</sc>"
    "<undC><exch>CME</exch><pfId>1</pfId><cId>11</cId><s>A</s><i>1</i></undC>"
    "<scanRate><r>1</r><priceScan>6000</priceScan></scanRate>"
    f"<opt><cId>21</cId><o>C</o><k>6000</k><p>40.0</p><d>0.5</d>{_array(CALL_LOSSES, 0.45)}</opt>"
    f"<opt><cId>22</cId><o>P</o><k>5900</k><p>25.0</p><d>-0.3</d>{_array(PUT_LOSSES, -0.3)}</opt></series>"
)
_LINKS = "".join(
    f"<pfLink><exch>CME</exch><pfId>{number}</pfId><pfCode>ES</pfCode><pfType>{kind}</pfType><sc>0.2</sc></pfLink>"
    for number, kind in ((1, "FUT"), (2, "OOF"))
)
XML = (
    '<?xml version="1.0"?>\n<spanFile><fileFormat>4.00</fileFormat><created>202601051800</created>'
    "<definitions><currencyDef><currency>USD</currency><symbol>$</symbol></currencyDef></definitions>"
    "<pointInTime><date>2026-01-05</date><isSetl>1</isSetl><clearingOrg><ec>CME</ec><name>CME</name>"
    "<curConv><fromCur>EUR</fromCur><toCur>USD</toCur><factor>1.08</factor></curConv>"
    "<pbRateDef><r>1</r><isCust>1</isCust><acctType>M</acctType><isM>1</isM><pbc>CORE</pbc></pbRateDef>"
    "<pbRateDef><r>2</r><isCust>1</isCust><acctType>S</acctType><isM>0</isM><pbc>CORE</pbc></pbRateDef>"
    "<pointDef><r>1</r><scanPointDef><point>1</point></scanPointDef></pointDef>"
    "<exchange><exch>CME</exch>"
    + _family(
        "futPf",
        1,
        "ES",
        _future(11, MARCH, 6000.0, futures_array(6000)) + _future(12, JUNE, 6050.0, futures_array(6000)),
    )
    + _family("oofPf", 2, "ES", _OPTIONS)
    + "</exchange><ccDef><cc>SP</cc><currency>USD</currency><riskExponent>0</riskExponent><capAnov>0</capAnov>"
    + "<wfprMeth>NORMAL</wfprMeth><somMeth>MAX</somMeth>"
    + _LINKS
    + "<adjRate><r>2</r><baseR>1</baseR><val>1.1</val></adjRate>"
    + "<adjRate><r>1</r><baseR>1</baseR><val>1.0</val></adjRate>"
    + "<somTiers><tier><tn>1</tn><rate><r>1</r><val>50</val></rate></tier></somTiers>"
    + "<dSpread><spread>1</spread><chargeMeth>F</chargeMeth><rate><r>1</r><val>150</val></rate>"
    + f"<pLeg><cc>SP</cc><pe>{MARCH}</pe><rs>A</rs><i>1</i></pLeg>"
    + f"<pLeg><cc>SP</cc><pe>{JUNE}</pe><rs>B</rs><i>1</i></pLeg>"
    + f"</dSpread><spotRate><r>1</r><pe>{MARCH}</pe><sprd>0</sprd><outr>0</outr></spotRate></ccDef>"
    + "<interSpreads><dSpread><spread>1</spread><chargeMeth>W</chargeMeth><rate><r>1</r><val>60</val></rate>"
    + "<tLeg><cc>SP</cc><tn>1</tn><rs>A</rs><i>1</i></tLeg><tLeg><cc>ND</cc><tn>1</tn><rs>B</rs><i>2</i></tLeg>"
    + "</dSpread></interSpreads></clearingOrg></pointInTime></spanFile>\n"
)
