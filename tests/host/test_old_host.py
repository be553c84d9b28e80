"""A ComfyUI that is too old for the pack is told so in one line, and starts all the same."""

from __future__ import annotations

import asyncio
import sys

import pytest

import workbench
from by_path import import_path

NAME = "pack_on_an_old_host"


@pytest.fixture
def pack_without_node_api(monkeypatch):
    """The pack as a package of another name, where `comfy_api.v0_0_2` cannot be imported."""
    monkeypatch.setitem(sys.modules, "comfy_api.v0_0_2", None)
    yield import_path(workbench.REPOSITORY, NAME)
    for module in [m for m in sys.modules if m == NAME or m.startswith(NAME + ".")]:
        del sys.modules[module]


def test_an_old_host_is_told_which_version_is_needed(caplog, pack_without_node_api):
    """On import: ComfyUI 0.3.47 and before know nothing of comfy_entrypoint."""
    assert asyncio.run(pack_without_node_api.comfy_entrypoint()) is None
    said = [record.getMessage() for record in caplog.get_records("setup") if record.name.startswith(NAME)]
    assert said == ["HSO: this ComfyUI is too old (it has no node API v0_0_2); HSO needs ComfyUI 0.3.75 or newer."]
