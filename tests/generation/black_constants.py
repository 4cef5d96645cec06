"""Make again what `crossmargin.kernels.black` is built on: its coefficients, and the table its values are held to.

    python tests/generation/black_constants.py            print the coefficients
    python tests/generation/black_constants.py --table    write black_values.csv beside this file

Needs mpmath, which nothing else does. Fifty digits throughout. Both fits are Remez exchanges: the largest weighted
error is the smallest that the degree allows, which the equal height of its peaks proves.
"""

# ruff: noqa: T201 - a script that prints what it found
from __future__ import annotations

import csv
import random
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from mpmath import cos, erfc, exp, log, lu_solve, matrix, mp, mpf, nstr, pi, sqrt

mp.dps = 50
FARTHEST = mpf(39)
RELATIVE = mpf("1e-6")  # how much the relative error of w weighs beside the error of N(-z)
POINTS = 1500


def tail(z: mpf) -> mpf:
    """w(z) = N(-z) exp(z^2/2)."""
    return erfc(z / sqrt(mpf(2))) / 2 * exp(z * z / 2)


def weight(z: mpf) -> mpf:
    return max(2 * exp(-z * z / 2), RELATIVE / tail(z))


def peaks(errors: Sequence[mpf]) -> list[int]:
    """Indices of the largest error of each run of one sign."""
    starts = [0, *(i for i in range(1, len(errors)) if (errors[i] > 0) != (errors[i - 1] > 0)), len(errors)]
    return [max(range(a, b), key=lambda i: abs(errors[i])) for a, b in pairwise(starts)]


def rational_tail(degree: int) -> tuple[list[mpf], list[mpf], mpf]:
    """Coefficients, lowest first, of (degree - 1) over a monic (degree), and the largest weighted error of w."""
    unknowns = 2 * degree + 1
    ends = FARTHEST / (FARTHEST + 2)
    places = [2 * t / (1 - t) for t in (ends * (1 - cos(pi * k / POINTS)) / 2 for k in range(POINTS + 1))]
    values, weights = [tail(z) for z in places], [weight(z) for z in places]
    chosen = [round(POINTS * k / (unknowns - 1)) for k in range(unknowns)]
    below, level = None, mpf(0)
    for _ in range(40):
        for _ in range(60):
            left, right = matrix(unknowns, unknowns), matrix(unknowns, 1)
            for row, k in enumerate(chosen):
                z, w = places[k], values[k]
                scale = (1 + z) ** degree if below is None else value_at([*below, mpf(1)], z)
                for j in range(degree):
                    left[row, j], left[row, degree + j] = z**j, -(z**j) * w
                left[row, unknowns - 1] = -((-1) ** row) * scale / weights[k]
                right[row] = z**degree * w
            solved = lu_solve(left, right)
            settled = below is not None and abs(solved[unknowns - 1] - level) < abs(level) * mpf("1e-8")
            above, below = list(solved[:degree]), list(solved[degree : unknowns - 1])
            level = solved[unknowns - 1]
            if settled:
                break
        errors = [
            (value_at(above, z) / value_at([*below, mpf(1)], z) - w) * u
            for z, w, u in zip(places, values, weights, strict=True)
        ]
        if max(map(abs, errors)) < abs(level) * mpf("1.01"):
            break
        chosen = peaks(errors)
    return above, below, max(map(abs, errors))


def bell_polynomial(degree: int) -> tuple[list[mpf], mpf]:
    """Coefficients of the best polynomial for exp(-r/2) on |r| <= ln 2 with value 1 at 0, and its relative error."""
    places = [log(2) * mpf("1.0000001") * cos(pi * k / 2000) for k in range(2001)]
    chosen = [log(2) * cos(pi * (k + mpf(1) / 2) / (degree + 1)) for k in range(degree + 1)]
    for _ in range(40):
        left, right = matrix(degree + 1, degree + 1), matrix(degree + 1, 1)
        for row, r in enumerate(chosen):
            for j in range(1, degree + 1):
                left[row, j - 1] = r**j * exp(r / 2)
            left[row, degree] = (-1) ** row
            right[row] = 1 - exp(r / 2)
        solved = lu_solve(left, right)
        found = [mpf(1), *solved[:degree]]
        errors = [value_at(found, r) * exp(r / 2) - 1 for r in places]
        best = peaks(errors)
        while len(best) > degree + 1:
            best.remove(min(best, key=lambda i: abs(errors[i])))
        if max(map(abs, errors)) < abs(solved[degree]) * mpf("1.02") or len(best) <= degree:
            break
        chosen = [places[i] for i in best]
    return found, max(map(abs, errors))


def value_at(coefficients: Sequence[mpf], x: mpf) -> mpf:
    total = mpf(0)
    for c in reversed(coefficients):
        total = total * x + c
    return total


def print_constants() -> None:
    above, below, error = rational_tail(7)
    show("P", above)
    show("Q", below)
    print("largest error of N(-z):", nstr(error / 2, 3), "and of w, relative:", nstr(error / RELATIVE, 3))
    polynomial, error = bell_polynomial(10)
    show("E", polynomial)
    print("largest relative error of exp(-r/2):", nstr(error, 3))


def show(name: str, coefficients: Sequence[mpf]) -> None:
    print(f"{name} =", tuple(float(value) for value in coefficients))


def exact_call_and_put(forward: float, strike: float, deviation: float) -> tuple[mpf, mpf]:
    """Undiscounted Black values of numbers taken as they stand in binary."""
    f, k, s = mpf(forward), mpf(strike), mpf(deviation)
    d1, d2 = log(f / k) / s + s / 2, log(f / k) / s - s / 2
    return f * normal(d1) - k * normal(d2), k * normal(-d2) - f * normal(-d1)


def normal(z: mpf) -> mpf:
    return erfc(-z / sqrt(mpf(2))) / 2


def rows() -> list[tuple[str, ...]]:
    """Strikes by moneyness and by number of deviations, from dust to giants; forward 100."""
    rng = random.Random(7)
    wanted = [(100.0 * k, s) for k in (1e-6, 0.01, 0.5, 0.999, 1.0, 1.001, 2.0, 100.0, 1e6) for s in DEVIATIONS]
    for _ in range(240):
        s = 10 ** rng.uniform(-4, 0.9)
        distance = rng.uniform(-30, 30)
        wanted.append((100.0 * float(exp(-distance * s)), s))
    return [
        (repr(k), repr(s), *(nstr(value, 20) for value in exact_call_and_put(100.0, k, s)))
        for k, s in wanted
        if 1e-300 < k < 1e300
    ]


DEVIATIONS = (1e-8, 1e-5, 1e-3, 0.02, 0.1, 0.3, 1.0, 2.5, 5.0, 8.0)


def main() -> None:
    if "--table" not in sys.argv:
        print_constants()
        return
    with (Path(__file__).parent / "black_values.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("strike", "deviation", "call", "put"), *rows()])


if __name__ == "__main__":
    main()
