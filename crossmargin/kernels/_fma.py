"""Multiply and add as one instruction, asked for by name.

Use `fma(x, y, z)` inside kernels. Asked for by name it gives the same bits in a vector and alone, on every machine
that has the instruction (all of the last decade). Leave to the compiler whether it fuses (`fastmath`), and the last
scenarios of a block could come out differently from the others. Interpreted (`NUMBA_DISABLE_JIT=1`) it rounds twice.
"""

from __future__ import annotations

from typing import Any

import numba
from numba import extending


def fma(x: float, y: float, z: float) -> float:
    """Return x * y + z; in compiled code rounded once."""
    return x * y + z


@extending.type_callable(fma)
def _type_of_fma(_: Any) -> Any:
    return lambda x, y, z: numba.float64 if x == y == z == numba.float64 else None


@extending.lower_builtin(fma, numba.float64, numba.float64, numba.float64)  # type: ignore[no-untyped-call]
def _code_of_fma(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
    return builder.fma(*arguments)
