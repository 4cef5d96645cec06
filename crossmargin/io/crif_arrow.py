"""Columns of a large delimited text by pyarrow, where that is installed; `crif_columns.text_table` does without.

Call `arrow_table(data, delimiter, ...)`. It gives what `crif_columns.TextTable` gives, to the last bit, or None for a
text that pyarrow cannot read so, which the careful reader then goes through field by field.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from attrs import frozen

from crossmargin.columns import FloatArray
from crossmargin.simm.sensitivities import Column

_BLOCK = 1 << 22  # bytes that are parsed at a time


@frozen(eq=False)
class ArrowTable:
    """The columns that were asked for; a text that was not is read when it is."""

    data: memoryview
    delimiter: str
    width: int
    table: Any

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, place: int) -> Column:
        """Return the texts of one column as codes, in the order in which they occur first."""
        name = str(place)
        table = self.table if name in self.table.column_names else _read(self, [place], ())
        (found,) = table.select([name]).unify_dictionaries().combine_chunks().column(0).chunks
        return Column(found.indices.to_numpy(), found.dictionary.to_pylist()).mapped(str.strip)

    def numbers(self, place: int) -> FloatArray | None:
        """Return the numbers of one column, NaN where a field is blank; None when one is no finite number."""
        column = self.table.column(str(place))
        found: FloatArray = column.to_numpy()
        return found if np.isfinite(found).sum() == len(found) - column.null_count else None


def arrow_table(
    data: memoryview, delimiter: str, width: int, *, texts: Collection[int], numbers: Collection[int]
) -> ArrowTable | None:
    """Return lines of `width` fields without quotation marks, or None: not so plain, or there is no pyarrow.

    A line without anything is a row of blanks.

    Parameters
    ----------
    data
        UTF-8; every line ends in a newline.
    texts, numbers
        Places of the columns to be read at once, from 0.
    """
    if find_spec("pyarrow") is None:
        return None
    try:
        table = _read(ArrowTable(data, delimiter, width, None), texts, numbers)
    except ValueError:  # ArrowInvalid is one: another number of fields, or what is no number
        return None
    return ArrowTable(data, delimiter, width, table)


def _read(given: ArrowTable, texts: Collection[int], numbers: Collection[int]) -> Any:
    """Return some columns by the names of their places; blank numbers are null, blank texts are texts."""
    arrow, reader = import_module("pyarrow"), import_module("pyarrow.csv")
    names = [str(place) for place in range(given.width)]
    text = arrow.dictionary(arrow.int32(), arrow.string())
    types = {str(place): text for place in texts} | {str(place): arrow.float64() for place in numbers}
    return reader.read_csv(
        arrow.BufferReader(given.data),
        read_options=reader.ReadOptions(use_threads=False, block_size=_BLOCK, column_names=names),
        parse_options=reader.ParseOptions(delimiter=given.delimiter, quote_char=False, ignore_empty_lines=False),
        convert_options=reader.ConvertOptions(
            check_utf8=False,  # it was, with the whole file
            column_types=types,
            include_columns=list(types),
            null_values=[""],
            strings_can_be_null=False,
        ),
    )
