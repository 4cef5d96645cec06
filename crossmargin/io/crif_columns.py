"""Columns of a large delimited text without a Python string for each field, by NumPy alone.

Call `text_table(data, delimiter, width)`: it gives the columns of lines that all have `width` fields, or None for a
text that is not so plain (blank or uneven lines), which `crif_fields` then reads field by field. Fields are compared as
64-bit words, eight characters at a time; a value becomes a string once, where it occurs first.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from crossmargin.columns import FloatArray
from crossmargin.simm.sensitivities import Column

Words: TypeAlias = NDArray[np.uint64]
_WORD = 8  # bytes
_LONGEST = 64  # bytes of a field, beyond which nothing is gained here
_SLOTS = 16  # bits of the table in which values are looked for first
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, its bits well mixed: spreads the words over the table
_MASKS = np.array([(1 << (8 * count)) - 1 for count in range(_WORD + 1)], dtype=np.uint64)


@frozen(eq=False)
class TextTable:
    """Where the fields of a text begin and how long they are, [n_rows, width] each; `words` begin at every byte."""

    data: memoryview
    words: Words
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    def column(self, place: int) -> Column:
        """Return the texts of one column as codes, in the order in which they occur first."""
        words = self._words(place)
        coded = None if words is None else _coded(words)
        if coded is None:
            return Column.of(self._texts(place, slice(None))).mapped(str.strip)
        codes, first = coded
        return Column(codes, self._texts(place, first)).mapped(str.strip)

    def numbers(self, place: int) -> FloatArray | None:
        """Return the numbers of one column, NaN where a field is blank; None when one is no finite number."""
        words, blank = self._words(place), self.lengths[:, place] == 0
        if words is None:
            return None
        fields = np.ascontiguousarray(words).view(f"S{_WORD * words.shape[1]}")[:, 0]
        if (words.view(np.uint8) == ord("_")).any():
            return None  # Python reads 1_0 as ten; no file does
        try:
            found = np.where(blank, b"0", fields).astype(np.float64)
        except ValueError:
            return None
        found[blank] = np.nan
        return found if np.isfinite(found[~blank]).all() else None

    def _texts(self, place: int, rows: slice | NDArray[np.int64]) -> list[str]:
        """Return the fields of some rows as strings."""
        starts = self.starts[rows, place]
        ends = starts + self.lengths[rows, place]
        return [str(self.data[a:b], "utf-8") for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]

    def _words(self, place: int) -> Words | None:
        """Return the bytes of each field, eight in a word, zeros behind; shape (n_rows, n_words)."""
        starts, lengths = self.starts[:, place], self.lengths[:, place]
        n_words = max(1, -(-int(lengths.max(initial=0)) // _WORD))
        if n_words * _WORD > _LONGEST:
            return None
        words = np.empty((len(starts), n_words), dtype=np.uint64)
        for word in range(n_words):
            words[:, word] = self.words[starts + _WORD * word]
            words[:, word] &= _MASKS[np.clip(lengths - _WORD * word, 0, _WORD)]
        return words


def text_table(data: memoryview, delimiter: str, width: int) -> TextTable | None:
    r"""Return the fields of lines that end in a newline, or None when lines differ in their number of fields.

    Examples
    --------
    >>> table = text_table(memoryview(b"USD,1\nEUR,2.5\nUSD,\n"), ",", 2)
    >>> table.column(0).texts(), table.numbers(1)
    (['USD', 'EUR', 'USD'], array([1. , 2.5, nan]))
    """
    letters = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero((letters == ord(delimiter)) | (letters == ord("\n")))
    if not len(ends) or len(ends) % width or letters[-1] != ord("\n"):
        return None
    table = ends.reshape(-1, width)
    newlines = letters[table] == ord("\n")
    if not newlines[:, -1].all() or newlines[:, :-1].any():
        return None
    starts = np.r_[0, ends[:-1] + 1].reshape(-1, width)
    padded = np.concatenate([letters, np.zeros(_LONGEST, dtype=np.uint8)])
    words: Words = np.ndarray((len(padded) - _WORD + 1,), "<u8", padded, strides=(1,))
    return TextTable(data, words, starts, table - starts)


def _coded(words: Words) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return codes of the distinct texts in order of first occurrence, and the rows where they occur first.

    None when two texts have one key.
    """
    key = words[:, 0]
    for each in words.T[1:]:
        key = (key ^ (key >> np.uint64(29))) * _MIX + each
    slots = (key * _MIX) >> np.uint64(64 - _SLOTS)
    holder = np.full(1 << _SLOTS, -1, dtype=np.int64)
    holder[slots[::-1]] = np.arange(len(key) - 1, -1, -1)  # the first row of each slot
    if (key[holder[slots]] != key).any():
        _, first, codes = np.unique(key, return_index=True, return_inverse=True)
    else:
        first = holder[holder >= 0]
        places = np.zeros(1 << _SLOTS, dtype=np.int64)
        places[holder >= 0] = np.arange(len(first))
        codes = places[slots]
    if words.shape[1] > 1 and not all((each == each[first][codes]).all() for each in words.T):
        return None
    order = np.argsort(first)
    ranks = np.empty(len(first), dtype=np.int64)
    ranks[order] = np.arange(len(first))
    return ranks[codes], first[order]
