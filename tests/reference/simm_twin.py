"""SIMM the slow way: dictionaries, one pair of risk factors after another, straight from the JSON of a calibration.

Shares no line with the library. `twin(rows, calibration, ...)` returns the margin and its parts.
"""

from collections import defaultdict
from math import sqrt
from statistics import NormalDist

CLASS_OF = {
    "Risk_IRCurve": "interest_rate",
    "Risk_Inflation": "interest_rate",
    "Risk_XCcyBasis": "interest_rate",
    "Risk_IRVol": "interest_rate",
    "Risk_InflationVol": "interest_rate",
    "Risk_CreditQ": "credit_qualifying",
    "Risk_CreditVol": "credit_qualifying",
    "Risk_BaseCorr": "credit_qualifying",
    "Risk_CreditNonQ": "credit_non_qualifying",
    "Risk_CreditVolNonQ": "credit_non_qualifying",
    "Risk_Equity": "equity",
    "Risk_EquityVol": "equity",
    "Risk_Commodity": "commodity",
    "Risk_CommodityVol": "commodity",
    "Risk_FX": "fx",
    "Risk_FXVol": "fx",
}
VOLATILITY = {"Risk_IRVol", "Risk_InflationVol", "Risk_CreditVol", "Risk_CreditVolNonQ", "Risk_EquityVol"}
VOLATILITY |= {"Risk_CommodityVol", "Risk_FXVol"}


def days_of(tenor):
    return int(tenor[:-1]) * {"w": 7, "m": 365 / 12, "y": 365}[tenor[-1]]


def group_of(groups, name):
    for group, names in groups.items():
        if group != "default_group" and name in names:
            return group
    return groups["default_group"]


class Twin:
    """One risk class of one product class."""

    def __init__(self, cal, risk_class, days, currency):
        self.cal, self.risk_class, self.days, self.currency = cal[risk_class], risk_class, days, currency
        self.h = str(days)

    # factor: (kind, bucket, qualifier, label1, label2)

    def factor(self, row):
        kind, bucket, qualifier = row["risk_type"], row["bucket"], row["qualifier"]
        label1, label2 = row["label1"], row["label2"]
        if self.risk_class == "interest_rate":
            inflation = kind in ("Risk_Inflation", "Risk_InflationVol")
            keep = kind in ("Risk_IRCurve", "Risk_IRVol")
            return (
                kind,
                qualifier,
                "",
                "" if inflation else label1 if keep else "",
                label2 if kind == "Risk_IRCurve" else "",
            )
        if self.risk_class == "fx":
            if kind == "Risk_FXVol":
                qualifier = "".join(sorted((qualifier[:3], qualifier[3:])))
            return (kind, "fx", qualifier, "", "")
        if kind == "Risk_BaseCorr":
            return (kind, "base", qualifier, "", "")
        if self.risk_class in ("equity", "commodity"):
            return (kind, bucket, qualifier, "", "")
        return (kind, bucket, qualifier, label1, label2)

    def sigma(self, row):
        if self.risk_class in ("interest_rate", "credit_qualifying", "credit_non_qualifying"):
            return 1.0
        root = sqrt(365 / (1.4 * self.days)) / NormalDist().inv_cdf(0.99)
        if self.risk_class == "fx":
            groups = self.cal["volatility_groups"]
            a, b = (group_of(groups, code) for code in (row["qualifier"][:3], row["qualifier"][3:]))
            return self.cal["delta_risk_weights"][self.h][a][b] * root
        return self.cal["delta_risk_weights"][self.h][row["bucket"]] * root

    def ratio(self):
        if self.risk_class in ("equity", "commodity", "fx"):
            return self.cal["historical_volatility_ratio"][self.h]
        return 1.0

    def weight(self, f):  # noqa: PLR0911 - a table, spelled out
        kind, bucket, qualifier, tenor, _ = f
        cal, h = self.cal, self.h
        if kind == "Risk_BaseCorr":
            return cal["base_correlation_risk_weight"][h]
        if kind in VOLATILITY:
            return cal["vega_risk_weights"][h][bucket] if "vega_risk_weights" in cal else cal["vega_risk_weight"][h]
        if kind == "Risk_Inflation":
            return cal["inflation_risk_weight"][h]
        if kind == "Risk_XCcyBasis":
            return cal["cross_currency_basis_risk_weight"][h]
        if kind == "Risk_IRCurve":
            group = group_of(cal["currency_groups"], bucket)
            return cal["delta_risk_weights"][h][group][cal["tenors"].index(tenor)]
        if kind == "Risk_FX":
            groups = cal["volatility_groups"]
            return cal["delta_risk_weights"][h][group_of(groups, self.currency)][group_of(groups, qualifier)]
        return cal["delta_risk_weights"][h][bucket]

    def threshold(self, f):
        kind, bucket, qualifier, _, _ = f
        which = "vega_thresholds" if kind in VOLATILITY else "delta_thresholds"
        cal = self.cal
        if self.days != 10 or kind in ("Risk_BaseCorr", "Risk_XCcyBasis"):
            return float("inf")
        if self.risk_class == "interest_rate":
            return 1e6 * cal[which][group_of(cal["concentration_groups"], bucket)]
        if kind == "Risk_FX":
            return 1e6 * cal["delta_thresholds"][group_of(cal["concentration_categories"], qualifier)]
        if kind == "Risk_FXVol":
            pair = sorted(
                group_of(cal["concentration_categories"], code)[-1] for code in (qualifier[:3], qualifier[3:])
            )
            return 1e6 * cal["vega_thresholds_by_category_pair"]["-".join(pair)]
        if kind in VOLATILITY and "vega_threshold" in cal:
            return 1e6 * cal["vega_threshold"]
        return 1e6 * cal[which][bucket]

    def name(self, f):
        """Factors of one name are measured against the threshold together."""
        kind, bucket, qualifier, _, _ = f
        if self.risk_class == "interest_rate":
            return (bucket, kind == "Risk_XCcyBasis")
        return (bucket, qualifier)

    def correlation(self, f, g):  # noqa: PLR0911 - a table, spelled out
        if f == g:
            return 1.0
        (kind, bucket, qualifier, tenor, label), (kind2, _, qualifier2, tenor2, label2) = f, g
        cal = self.cal
        if kind == "Risk_BaseCorr":
            return cal["base_correlation_correlation"]
        if self.risk_class == "interest_rate":
            if "Risk_XCcyBasis" in (kind, kind2):
                return cal["cross_currency_basis_correlation"]
            if kind != kind2:
                return cal["inflation_correlation"]
            rho = cal["tenor_correlation"][cal["tenors"].index(tenor)][cal["tenors"].index(tenor2)]
            return rho * (1.0 if label == label2 else cal["sub_curve_correlation"])
        if kind == "Risk_FXVol":
            return cal["vega_correlation"]
        if kind == "Risk_FX":
            groups = cal["volatility_groups"]
            table = cal["delta_correlation_by_calculation_currency_group"][group_of(groups, self.currency)]
            return table[group_of(groups, qualifier)][group_of(groups, qualifier2)]
        if self.risk_class in ("equity", "commodity"):
            return cal["intra_bucket_correlation"][bucket]
        same = label == label2 if self.risk_class == "credit_non_qualifying" else qualifier == qualifier2
        which = "same_name" if same else "different_name"
        return cal["intra_bucket_correlation"][f"residual_{which}" if bucket == "Residual" else which]

    def between(self, b, c):
        if self.risk_class == "interest_rate":
            return self.cal["inter_currency_correlation"]
        table = self.cal["inter_bucket_correlation"]
        return table["matrix"][table["buckets"].index(b)][table["buckets"].index(c)]

    def added(self, rows, scale):
        """Amounts by factor."""
        found = defaultdict(float)
        for row in rows:
            found[self.factor(row)] += scale(row) * row["amount_usd"]
        return found

    def buckets(self, weighted, factors, power):
        """Margin, sum and largest concentration factor of each bucket."""
        members = defaultdict(list)
        for f in weighted:
            members[f[1]].append(f)
        result = {}
        for bucket, fs in members.items():
            square = 0.0
            for f in fs:
                for g in fs:
                    damp = min(factors[f], factors[g]) / max(factors[f], factors[g])
                    if self.risk_class == "interest_rate":
                        damp = 1.0  # between currencies only
                    square += self.correlation(f, g) ** power * damp * weighted[f] * weighted[g]
            result[bucket] = (sqrt(max(square, 0.0)), sum(weighted[f] for f in fs), max(factors[f] for f in fs))
        return result

    def across(self, found, power):
        square = 0.0
        for b, (k, s, c) in found.items():
            for b2, (k2, s2, c2) in found.items():
                if b == b2:
                    square += k * k
                    continue
                damp = min(c, c2) / max(c, c2) if self.risk_class == "interest_rate" else 1.0
                square += self.between(b, b2) ** power * damp * max(-k, min(k, s)) * max(-k2, min(k2, s2))
        return sqrt(max(square, 0.0))

    def weighted_margin(self, amounts):
        sums = defaultdict(float)
        for f, amount in amounts.items():
            sums[self.name(f)] += amount
        factors = {f: max(1.0, sqrt(abs(sums[self.name(f)]) / self.threshold(f))) for f in amounts}
        weighted = {f: self.weight(f) * amount * factors[f] for f, amount in amounts.items()}
        found = self.buckets(weighted, factors, 1)
        residual = found.pop("Residual", (0.0, 0.0, 1.0))
        return self.across(found, 1) + residual[0]

    def curvature(self, rows):
        def scale(row):
            zero = self.risk_class == "equity" and row["bucket"] == "12"
            return 0.0 if zero else 0.5 * min(1.0, 1.4 * self.days / days_of(row["label1"])) * self.sigma(row)

        amounts = self.added(rows, scale)
        ones = dict.fromkeys(amounts, 1.0)
        found = self.buckets(amounts, ones, 2)
        residual = found.pop("Residual", None)
        parts = [(found, [a for f, a in amounts.items() if f[1] != "Residual"])]
        if residual:
            parts.append(({"Residual": residual}, [a for f, a in amounts.items() if f[1] == "Residual"]))
        margin = 0.0
        for buckets, values in parts:
            size = sum(abs(a) for a in values)
            theta = min(0.0, sum(values) / size) if size else 0.0
            tail = (NormalDist().inv_cdf(0.995) ** 2 - 1) * (1 + theta) - theta
            margin += max(0.0, sum(values) + tail * self.across(buckets, 2))
        if self.risk_class == "interest_rate":
            margin /= self.cal["historical_volatility_ratio"][self.h] ** 2
        return margin

    def parts(self, rows):
        delta = [r for r in rows if r["risk_type"] not in VOLATILITY and r["risk_type"] != "Risk_BaseCorr"]
        delta = [r for r in delta if r["risk_type"] != "Risk_FX" or r["qualifier"] != self.currency]
        vega = [r for r in rows if r["risk_type"] in VOLATILITY]
        base = [r for r in rows if r["risk_type"] == "Risk_BaseCorr"]
        ratio = self.ratio()
        return {
            "delta": self.weighted_margin(self.added(delta, lambda _: 1.0)),
            "vega": self.weighted_margin(self.added(vega, lambda row: ratio * self.sigma(row))),
            "curvature": self.curvature(vega),
            "base_correlation": self.weighted_margin(self.added(base, lambda _: 1.0)),
        }


def twin(rows, calibration, *, horizon_days=10, currency="USD"):
    """The margin, and {(product class, risk class): {measure: amount}}."""
    cells = defaultdict(list)
    for row in rows:
        cells[row["product_class"], CLASS_OF[row["risk_type"]]].append(row)
    parts = {cell: Twin(calibration, cell[1], horizon_days, currency).parts(mine) for cell, mine in cells.items()}
    names, psi = (calibration["risk_class_correlation"][key] for key in ("risk_classes", "matrix"))
    total = 0.0
    for product in {product for product, _ in cells}:
        amounts = {risk: sum(found.values()) for (owner, risk), found in parts.items() if owner == product}
        square = sum(
            psi[names.index(a)][names.index(b)] * x * y for a, x in amounts.items() for b, y in amounts.items()
        )
        total += sqrt(max(square, 0.0))
    return total, parts
