"""The order in which a book of cash flows is valued, date by date, and where each of its lines is kept meanwhile.

Call `plan`. A line is the discount factor of a date, a running sum, or one over a discount factor. It takes a slot from
its date until nothing reads it any more; then another line takes the slot.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from attrs import frozen

from crossmargin.curves import FloatArray, IntArray


@frozen
class _Slots:
    """Where lines are kept: how often each is still to be read, its slot, and which slots are free."""

    reads: list[int]
    slot: list[int]
    free: list[int]

    def take(self, line: int) -> None:
        """Give a line the slot that was freed last."""
        self.slot[line] = self.free.pop()

    def read(self, line: int) -> None:
        """Count one reading; after the last the slot is free."""
        self.reads[line] -= 1
        if self.reads[line] == 0:
            self.free.append(self.slot[line])


def plan(
    times: FloatArray,
    sum_before: IntArray,
    sum_date: IntArray,
    flow_line: IntArray,
    *,
    flow_start: IntArray,
    divisor: IntArray,
    row_start: IntArray,
) -> tuple[Any, ...]:
    """Return what `kernels.value_rows` takes after the pieces, from the arrays of a `CashFlowBook`.

    Running sums grow, and legs are valued, on the latest of their dates; within a date in their given order.
    """
    n_dates, n_legs, days = len(times), len(divisor), np.arange(len(times) + 1)
    n_lines = n_dates + len(sum_date)  # one over the discount factor of date i is line n_lines + i
    inverse = np.where(times[divisor] > 0.0, n_lines + divisor, -1)
    leg_day = divisor.copy()
    leg_of = np.repeat(np.arange(n_legs), np.diff(flow_start))
    np.maximum.at(leg_day, leg_of, np.concatenate([days[:-1], sum_date])[flow_line])
    sums, legs = np.argsort(sum_date, kind="stable"), np.argsort(leg_day, kind="stable")
    starts = np.searchsorted(sum_date[sums], days), np.searchsorted(leg_day[legs], days)
    read = np.concatenate([days[:-1], sum_before, sum_date, flow_line, inverse[inverse >= 0]])
    reads = np.bincount(read, minlength=n_lines + n_dates).tolist()
    slots = _Slots(reads, [-1] * len(reads), list(range(len(reads), -1, -1)))
    flows = [flow_line[first:last].tolist() for first, last in pairwise(flow_start.tolist())]
    grown, slot_of = _walk(slots, starts, (sums, sum_before, sum_date), (legs, flows, inverse))
    place = np.array([*slots.slot, -1], dtype=np.int64)
    steps = np.stack([np.append(place[:n_dates], -1), np.append(place[n_lines:-1], -1), *starts], axis=1)
    row = np.repeat(np.arange(len(row_start) - 1), np.diff(row_start))[legs]
    is_first = np.zeros(n_legs, dtype=np.int64)
    is_first[np.unique(row, return_index=True)[1]] = 1
    columns = [row, flow_start[legs], flow_start[legs + 1], place[inverse[legs]], is_first]
    order = np.ascontiguousarray(np.stack(columns, axis=1).astype(np.int64))
    return steps, grown, order, legs, slot_of, int(place.max(initial=-1)) + 1


def _walk(
    slots: _Slots, starts: tuple[IntArray, IntArray], sums: tuple[IntArray, ...], legs: tuple[Any, ...]
) -> tuple[IntArray, IntArray]:
    """Give every line its slot, in the order in which the kernel goes; return slots of the sums and of the flows."""
    (sum_order, before, date), (leg_order, flows, inverse) = (tuple(map(_listed, each)) for each in (sums, legs))
    (sum_at, leg_at), n_dates = map(_listed, starts), len(starts[0]) - 1
    n_lines, grown, flow_slot = n_dates + len(before), [], {}
    wanted = set(inverse)
    for day in range(n_dates):
        for ahead in range(day + (day > 0), min(day + 2, n_dates)):  # the kernel fills two dates at a time
            slots.take(ahead)
        if n_lines + day in wanted:
            slots.take(n_lines + day)
        for n in sum_order[sum_at[day] : sum_at[day + 1]]:
            parts = slots.slot[before[n]], slots.slot[date[n]]
            slots.read(before[n])
            slots.read(date[n])
            slots.take(n_dates + n)
            grown.append((*parts, slots.slot[n_dates + n]))
        for leg in leg_order[leg_at[day] : leg_at[day + 1]]:
            flow_slot[leg] = [slots.slot[line] for line in flows[leg]]
            for line in (*flows[leg], *([inverse[leg]] if inverse[leg] >= 0 else [])):
                slots.read(line)
        slots.read(day)
    found = [slot for leg in range(len(leg_order)) for slot in flow_slot[leg]]
    return np.array(grown, dtype=np.int64).reshape(-1, 3), np.array(found, dtype=np.int64)


def _listed(values: Any) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)
