"""What the tests of stored files share."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def nodes_module(pack: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """The pack's modules under nodes/ by name, with an empty user folder: tmp_path."""
    monkeypatch.setattr(sys.modules[pack.__name__ + ".nodes.host"], "user_folder", lambda: tmp_path)
    return lambda name: importlib.import_module(f"{pack.__name__}.nodes.{name}")
