"""What a benchmark reports, how it is timed, how it is shown. Call `compared`; it times nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from attrs import asdict, field, frozen


@frozen(kw_only=True)
class Record:
    """One task done by this library and by a peer, seconds. A comparison that disagrees has no ratio."""

    task: str
    peer: str
    peer_version: str
    threads: int = 1
    runs: int
    ours_s: float
    ours_min_s: float
    ours_max_s: float
    peer_s: float
    peer_min_s: float
    peer_max_s: float
    agreement: float | None = field(default=None)  # largest relative difference of the results
    agreement_limit: float | None = field(default=None)
    at_least: float  # the ratio that is promised
    instruction_set: str

    @property
    def agrees(self) -> bool:
        """Whether both sides computed the same, as far as there is anything to compare."""
        return self.agreement is None or (self.agreement_limit is not None and self.agreement <= self.agreement_limit)

    @property
    def ratio(self) -> float | None:
        """How many times faster this library is, medians; None when the results disagree."""
        return self.peer_s / self.ours_s if self.agrees else None

    def to_dict(self) -> dict[str, object]:
        """Return the record as plain values, the ratio among them."""
        return asdict(self) | {"ratio": self.ratio}

    def text(self) -> str:
        """Return the record as three lines."""
        ratio = "no ratio: the results disagree" if self.ratio is None else f"{self.ratio:,.1f}x"
        ours, peer = (
            f"{1e3 * middle:9.3f} ms  ({1e3 * low:.3f} to {1e3 * high:.3f})"
            for middle, low, high in (
                (self.ours_s, self.ours_min_s, self.ours_max_s),
                (self.peer_s, self.peer_min_s, self.peer_max_s),
            )
        )
        compared = f"(promised {self.at_least:g}x), agreement {self.agreement} within {self.agreement_limit}"
        return (
            f"{self.task}: {ratio} {compared if self.at_least else '(nothing promised)'}\n"
            f"    ours {ours}, {self.threads} thread, {self.instruction_set}, median of {self.runs}\n"
            f"    peer {peer}, {self.peer} {self.peer_version}"
        )


def compared(ours: Callable[[], object], peer: Callable[[], object], *, runs: int, inner: int) -> dict[str, float]:
    """Return medians, smallest and largest of `runs` timings of both sides, taken in turns, seconds.

    `inner` repeats our side inside one timing: the peer's one turn is hundreds of times longer.
    """
    ours_s, peer_s = [], []
    ours()  # what compiles or loads does it here
    for _ in range(runs):
        peer_s.append(timed(peer, 1))
        ours_s.append(timed(ours, inner))
    return summary(ours_s, "ours") | summary(peer_s, "peer") | {"runs": runs}


def summary(seconds: list[float], side: str) -> dict[str, float]:
    """Return median, smallest and largest under the names that `Record` uses."""
    return {f"{side}_s": median(seconds), f"{side}_min_s": min(seconds), f"{side}_max_s": max(seconds)}


def timed(work: Callable[[], object], times: int) -> float:
    """Return the seconds that one call takes, the mean of `times` calls one after another."""
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times
