"""A ComfyUI that is too old for the pack is told so in one line, and starts all the same."""

from __future__ import annotations

import asyncio
import sys

import pytest

import workbench
from by_path import import_path


@pytest.fixture
def pack_without_node_api(monkeypatch):
    """The pack as a package of another name, where `comfy_api.v0_0_2` cannot be imported."""
    monkeypatch.setitem(sys.modules, "comfy_api.v0_0_2", None)
    name = "pack_on_an_old_host"
    yield import_path(workbench.REPOSITORY, name)
    for module in [m for m in sys.modules if m == name or m.startswith(name + ".")]:
        del sys.modules[module]


def test_an_old_host_is_told_which_version_is_needed(pack_without_node_api, caplog):
    assert asyncio.run(pack_without_node_api.comfy_entrypoint()) is None
    assert [record.getMessage() for record in caplog.records] == [
        "HSO: this ComfyUI is too old (it has no node API v0_0_2); HSO needs ComfyUI 0.3.75 or newer."
    ]
