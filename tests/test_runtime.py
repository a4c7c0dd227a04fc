"""mdnn.runtime: what the first import of Keras leaves behind."""

import gc
import sys

from mdnn.runtime import without_collections


def test_nothing_is_collected_while_keras_is_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    frozen = gc.get_freeze_count()
    try:
        with without_collections():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
    finally:
        gc.enable()
        gc.unfreeze()


def test_where_keras_is_imported_already_garbage_is_the_programs(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", sys)
    frozen = gc.get_freeze_count()
    with without_collections():
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen
