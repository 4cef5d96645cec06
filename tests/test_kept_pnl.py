"""P&L that is kept: published once for all calls over it, again where it changed, given back when it is gone."""

from __future__ import annotations

import gc
import os
import pickle
from pathlib import Path
from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.batch import mapped
from crossmargin.batch.shards import pool_tails_on
from crossmargin.pricing.many_pools import pool_tails
from tests.engine_doubles import TAILS, Inline, Mapping, damaged, expected, fresh


def kept(store):
    return Path(store.sent["file"].path)


def test_later_runs_over_the_same_pnl_write_none_of_it(monkeypatch):
    (store, held), sizes, written = fresh(), [], mapped._written

    def told(parts, *rest):
        sizes.append(sum(map(len, parts)))
        return written(parts, *rest)

    monkeypatch.setattr(mapped, "_written", told)
    for engine in (Inline(), Mapping(), Inline()):
        assert pool_tails_on(engine, store, held, TAILS, shards=3).tobytes() == expected().tobytes()
    assert [size for size in sizes if size >= store.values.nbytes] == sizes[:1]
    assert len(sizes) == 1 + 3 * (1 + 3)


@given(st.lists(st.sampled_from(["same", "change", "swap", "remove", "flip", "cut"]), max_size=6), st.booleans())
@settings(max_examples=15, deadline=None)
def test_pnl_that_changed_or_was_damaged_is_published_again(steps, alone):
    store, held = fresh()
    for step in ["same", *steps]:
        rows = store.values[:, :7]
        if step == "change":
            rows[3] += 1.0
        elif step == "swap":
            rows[[5, 6]] = rows[[6, 5]]
        elif step != "same":
            mapped.fetch_kept.cache_clear()  # a file that is mapped is not cut short
            damaged(kept(store), step)
        engine = Mapping() if alone and step in {"same", "change", "swap"} else Inline()
        found = pool_tails_on(engine, store, held, TAILS, shards=2, progress=False)
        assert found.tobytes() == pool_tails(store, held, TAILS).tobytes()


def test_what_was_published_goes_with_the_pnl():
    (store, held), (other, _) = fresh(), fresh()
    for each in (store, other):
        pool_tails_on(Inline(), each, held, TAILS, shards=2)
    one, two = kept(store), kept(other)
    assert one != two
    assert pickle.loads(pickle.dumps(store)).sent == {}  # noqa: S301
    store.values[0] += 1.0
    pool_tails_on(Inline(), store, held, TAILS, shards=2)
    assert not one.parent.exists(), "what has changed is given back at once"
    pool_tails_on(SimpleNamespace(map=map), store, held, TAILS, shards=2)  # as it is, in this process
    last = kept(store)
    del store, each
    gc.collect()
    assert not last.parent.exists()
    mapped._removed(str(two.parent), os.getpid() + 1)
    assert two.exists(), "a process that was split off removes nothing"
    del other
    gc.collect()
    assert not two.parent.exists()
