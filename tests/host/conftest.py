"""The pack, loaded into this process by a real ComfyUI's own loader."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType

import pytest

import host_import
import workbench


@pytest.fixture(scope="session")
def pack() -> ModuleType:
    """The pack's module, as ComfyUI's load_custom_node imports it; its nodes are in nodes.NODE_CLASS_MAPPINGS."""
    host_import.import_host()
    import nodes

    assert asyncio.run(nodes.load_custom_node(str(workbench.REPOSITORY))), "ComfyUI did not load the pack"
    return sys.modules[str(workbench.REPOSITORY).replace(".", "_x_")]


@pytest.fixture(scope="session")
def node_classes(pack: ModuleType) -> dict[str, type]:
    """The pack's node classes by id, ready to be executed."""
    import nodes

    return {name: cls for name, cls in nodes.NODE_CLASS_MAPPINGS.items() if name.startswith("HSO")}
