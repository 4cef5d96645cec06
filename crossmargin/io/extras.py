"""Libraries that only an extra brings: imported when used, and where absent the line that installs them is told.

Call `extra(module, name_of_the_extra)`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from crossmargin.errors import InputError, Problem


def extra(module: str, name: str) -> Any:
    """Return a module that the extra `name` brings.

    Raises
    ------
    InputError
        It is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        library = module.partition(".")[0]
        fix = f"Install it: pip install 'crossmargin[{name}]'."
        raise InputError([Problem(f"{library} is not installed.", name, fix)]) from error
