"""Bars: one at a time, none for a single step, none where nobody looks on."""

from __future__ import annotations

import pytest

from innt_lib.system import progress as module
from innt_lib.system.progress import progress


@pytest.fixture
def watched(monkeypatch):
    monkeypatch.setattr(module, "unwatched", lambda: False)


def test_the_outermost_bar_shows(watched):
    shown = []
    outer = progress(range(3), desc="outer", unit="step")
    assert not outer.disable
    for _ in outer:
        inner = progress(range(2), desc="inner", unit="step")
        shown.append(inner.disable)
        assert list(inner) == [0, 1]
    assert shown == [True] * 3
    assert not progress(range(3), desc="next", unit="step").disable  # the last one is closed


def test_a_loop_that_breaks_off_does_not_hide_the_next_bar(watched):
    with pytest.raises(KeyError):
        for _ in progress(range(3), desc="fails", unit="step"):
            raise KeyError
    with progress(desc="by hand", unit="step", total=4) as bar:
        assert not bar.disable


def test_none_for_a_single_step(watched):
    assert progress([1], desc="one", unit="step").disable


def test_none_where_nobody_looks_on(monkeypatch):
    module.unwatched.cache_clear()
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert module.unwatched()
    assert progress(range(3), desc="x", unit="step").disable
    module.unwatched.cache_clear()
    monkeypatch.delenv("TQDM_DISABLE")
    assert module.unwatched()  # these tests are run by pytest
    module.unwatched.cache_clear()
