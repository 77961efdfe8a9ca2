"""Compiling where nothing can be written: it goes on, and says what would make it quicker."""

import pytest

from snnsim.compilation import compiled


def add(a, b):
    return a + b


def test_a_read_only_installation_compiles_without_keeping(monkeypatch):
    caching = pytest.importorskip("numba.core.caching")
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    with pytest.warns(RuntimeWarning, match="set NUMBA_CACHE_DIR"):
        kernel = compiled(add, cache=True, nogil=True)
    assert kernel(1, 2) == 3
