"""Slow, obvious twin of streaming: one scenario after another, the worst of each pool in a list that drops its best."""

from bisect import insort

import numpy as np


def streamed_tails(pnl_of, segments, accounts, silos, instruments, quantities, *, n_accounts, tails):
    """`pnl_of(segment, scenario)` is the P&L [n_instruments] of one scenario; nothing of it is remembered."""
    found = np.zeros((n_accounts, len(tails.pools), tails.weights[0].shape[0]))
    for segment, n_scenarios in enumerate(segments):
        weights = tails.weights[segment]
        worst = {(account, pool): [] for account in range(n_accounts) for pool in range(len(tails.pools))}
        for scenario in range(n_scenarios):
            pnl = pnl_of(segment, scenario)
            gains = dict.fromkeys(worst, 0.0)
            for account, silo, instrument, quantity in zip(accounts, silos, instruments, quantities, strict=True):
                for pool, members in enumerate(tails.pools):
                    if silo in members:
                        gains[account, pool] += quantity * pnl[instrument]
            for key, gain in gains.items():
                insort(worst[key], gain)
                del worst[key][weights.shape[1] :]
        for (account, pool), kept in worst.items():
            if tails.segments[pool] == segment:
                found[account, pool] = [-sum(w * x for w, x in zip(row, kept, strict=True)) for row in weights]
    return found
