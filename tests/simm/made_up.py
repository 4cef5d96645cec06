"""A made-up SIMM calibration in the layout of the real ones, and made-up books; no number is anyone's parameter."""

import math
import random

TENORS = ("2w", "1m", "3m", "6m", "1y", "2y", "3y", "5y", "10y", "15y", "20y", "30y")
CREDIT_TENORS = ("1y", "2y", "3y", "5y", "10y")
HORIZONS = {"10": 1.0, "1": 0.3}
CURRENCIES = ("USD", "EUR", "GBP", "CAD", "JPY", "BRL", "ZAR", "TRY", "MXN", "ARS", "NGN")


def decaying(names, speed):
    """A valid correlation matrix: the nearer, the higher."""
    return [[math.exp(-speed * abs(a - b)) for b in range(len(names))] for a in range(len(names))]


def by_horizon(value):
    if isinstance(value, dict):
        return {days: {name: each * scale for name, each in value.items()} for days, scale in HORIZONS.items()}
    return {days: value * scale for days, scale in HORIZONS.items()}


def numbered(names, first, step):
    return {name: first + step * place for place, name in enumerate(names)}


def between(names, speed):
    real = [name for name in names if name != "Residual"]
    return {
        "buckets": real,
        "matrix": [
            [1 if a == b else 0.4 * each for b, each in enumerate(row)] for a, row in enumerate(decaying(real, speed))
        ],
    }


def credit(count, **more):
    buckets = [str(n) for n in range(1, count + 1)] + ["Residual"]
    inside = {"same_name": 0.9, "different_name": 0.4, "residual_same_name": 0.55, "residual_different_name": 0.45}
    return {
        "buckets": buckets,
        "tenors": list(CREDIT_TENORS),
        "delta_risk_weights": by_horizon(numbered(buckets, 50, 11)),
        "vega_risk_weight": by_horizon(0.5),
        "intra_bucket_correlation": inside,
        "inter_bucket_correlation": between(buckets, 0.1),
        "delta_thresholds": numbered(buckets, 0.2, 0.1),
        "vega_threshold": 100,
    } | more


def priced(count, *, residual):
    buckets = [str(n) for n in range(1, count + 1)] + ["Residual"] * residual
    return {
        "buckets": buckets,
        "delta_risk_weights": by_horizon(numbered(buckets, 15, 2)),
        "vega_risk_weights": by_horizon(numbered(buckets, 0.3, 0.01)),
        "historical_volatility_ratio": {"10": 0.6, "1": 0.7},
        "intra_bucket_correlation": {
            name: 0.0 if name == "Residual" else 0.1 + 0.02 * n for n, name in enumerate(buckets)
        },
        "inter_bucket_correlation": between(buckets, 0.2),
        "delta_thresholds": numbered(buckets, 2, 1),
        "vega_thresholds": numbered(buckets, 100, 10),
    }


def rates():
    groups = ("regular", "low", "high")
    limits = ("deep", "usual", "thin")
    weights = {
        days: {name: [scale * (40 + 20 * n + 3 * place) for place in range(12)] for n, name in enumerate(groups)}
        for days, scale in HORIZONS.items()
    }
    return {
        "tenors": list(TENORS),
        "currency_groups": {
            "regular": ["USD", "EUR", "GBP", "CAD"],
            "low": ["JPY"],
            "high": [],
            "default_group": "high",
        },
        "delta_risk_weights": weights,
        "inflation_risk_weight": by_horizon(45),
        "cross_currency_basis_risk_weight": by_horizon(19),
        "vega_risk_weight": by_horizon(0.2),
        "historical_volatility_ratio": {"10": 0.7, "1": 0.8},
        "tenor_correlation": decaying(TENORS, 0.12),
        "sub_curve_correlation": 0.97,
        "inflation_correlation": 0.3,
        "cross_currency_basis_correlation": -0.02,
        "inter_currency_correlation": 0.3,
        "concentration_groups": {
            "deep": ["USD", "EUR", "GBP"],
            "usual": ["CAD", "JPY"],
            "thin": [],
            "default_group": "thin",
        },
        "delta_thresholds": numbered(limits, 20, 15),
        "vega_thresholds": numbered(limits, 300, 150),
    }


def fx():
    same = {"regular": {"regular": 0.5, "high": 0.25}, "high": {"regular": 0.25, "high": 0.1}}
    other = {"regular": {"regular": 0.9, "high": 0.6}, "high": {"regular": 0.6, "high": 0.5}}
    weights = {"regular": {"regular": 7, "high": 15}, "high": {"regular": 15, "high": 22}}
    return {
        "volatility_groups": {"high": ["ARS", "NGN"], "regular": [], "default_group": "regular"},
        "delta_risk_weights": {
            days: {a: {b: scale * each for b, each in row.items()} for a, row in weights.items()}
            for days, scale in HORIZONS.items()
        },
        "vega_risk_weight": by_horizon(0.4),
        "historical_volatility_ratio": {"10": 0.65, "1": 0.75},
        "delta_correlation_by_calculation_currency_group": {"regular": same, "high": other},
        "vega_correlation": 0.5,
        "concentration_categories": {
            "category_1": ["USD", "EUR", "GBP", "JPY", "CAD"],
            "category_2": ["BRL", "MXN"],
            "category_3": [],
            "default_group": "category_3",
        },
        "delta_thresholds": {"category_1": 300, "category_2": 100, "category_3": 20},
        "vega_thresholds_by_category_pair": {"1-1": 300, "1-2": 150, "1-3": 70, "2-2": 60, "2-3": 40, "3-3": 20},
    }


def calibration():
    """The parsed JSON of a made-up calibration."""
    classes = ["interest_rate", "credit_qualifying", "credit_non_qualifying", "equity", "commodity", "fx"]
    return {
        "schema": "simm-calibration/1",
        "version": "made up",
        "effective_date": "2026-01-01",
        "horizons_days": [10, 1],
        "interest_rate": rates(),
        "credit_qualifying": credit(12, base_correlation_risk_weight=by_horizon(9), base_correlation_correlation=0.2),
        "credit_non_qualifying": credit(2),
        "equity": priced(12, residual=True),
        "commodity": priced(17, residual=False),
        "fx": fx(),
        "risk_class_correlation": {
            "risk_classes": classes,
            "matrix": [[1 if a == b else 0.1 + 0.02 * (a + b) for b in range(6)] for a in range(6)],
        },
    }


# ------------------------------------------------------------------------------------------------------- books

PRODUCTS = ("RatesFX", "Credit", "Equity", "Commodity")
BUCKETS = {
    "CreditQ": 12,
    "CreditVol": 12,
    "CreditNonQ": 2,
    "CreditVolNonQ": 2,
    "Equity": 12,
    "EquityVol": 12,
    "Commodity": 17,
    "CommodityVol": 17,
}
CURRENCY_TYPES = ("IRCurve", "Inflation", "XCcyBasis", "IRVol", "InflationVol", "FX")
TYPES = (*CURRENCY_TYPES, "FXVol", "BaseCorr", *BUCKETS)


def row(rng, *, size=1e5, kind=None, names=12):
    """One made-up CRIF row."""
    kind = kind or rng.choice(TYPES)
    made = {
        "product_class": rng.choice(PRODUCTS),
        "risk_type": f"Risk_{kind}",
        "bucket": "",
        "label1": "",
        "label2": "",
    }
    if kind in CURRENCY_TYPES:
        made["qualifier"] = rng.choice(CURRENCIES)
        if kind in ("IRCurve", "IRVol", "InflationVol"):
            made["label1"] = rng.choice(TENORS)
        if kind == "IRCurve":
            made["label2"] = rng.choice(("OIS", "Libor3m"))
    elif kind == "FXVol":
        made["qualifier"] = "".join(rng.sample(CURRENCIES, 2))
        made["label1"] = rng.choice(TENORS)
    elif kind == "BaseCorr":
        made["qualifier"] = rng.choice(("Index A", "Index B", "Index C"))
    else:
        number = rng.randrange(names)
        residual = number % 5 == 4 and "Commodity" not in kind
        made["qualifier"] = f"Name {number}"
        made["bucket"] = "Residual" if residual else str(number % BUCKETS[kind] + 1)
        if "Credit" in kind:
            made["label1"], made["label2"] = rng.choice(CREDIT_TENORS), f"label {number % 3}"
        elif kind.endswith("Vol"):
            made["label1"] = rng.choice(TENORS)
    return made | {"amount_usd": rng.gauss(0.0, size)}


def book(count, seed=0, **more):
    """So many made-up rows."""
    rng = random.Random(seed)
    return [row(rng, **more) for _ in range(count)]
