"""What several tests of data start from."""

from __future__ import annotations

import pytest
from packs import node

from aigc_cli.data import DATASETS


@pytest.fixture
def cache(tmp_path):
    """Name a folder for packs that is not there yet."""
    return tmp_path / "cache"


@pytest.fixture
def dots(monkeypatch):
    """Offer the source of tests by name; return what makes its data node."""
    monkeypatch.setitem(DATASETS, "dots", "packs:Dots")
    return lambda cache, **settings: node("dots", cache, **{"count": 20, "faults": None, **settings})
