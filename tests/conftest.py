"""What all tests share: `import hso_core` without the repository root on sys.path (its `nodes` would hide ComfyUI's),
and the pack as a real ComfyUI loads it into this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Generator
from types import ModuleType
from typing import Any

import hypothesis
import pytest

import workbench
from by_path import import_path
from work_units import WorkUnits

import_path(workbench.REPOSITORY / "hso_core", "hso_core")

hypothesis.settings.register_profile("hso", deadline=None)  # how long an example takes depends on the machine
hypothesis.settings.load_profile("hso")

UNCOUNTED = ("tests/benchmarks/", "tests/browser/", "tests/families/", "tests/samplers/")
"""Tests that run the same lines over and over, as those that are marked slow do, and those that run none here. The
coverage is that of all others: where it is measured, lines take up to twice as long."""
FIGURES = workbench.REPOSITORY / "tests" / "artifacts" / "figures"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> WorkUnits:
    return WorkUnits(config, log)


@contextlib.contextmanager
def uncounted() -> Generator[None, None, None]:
    """What is run within does not count for the coverage, and takes no time for it."""
    measuring = sys.gettrace()  # coverage's own stop() and start() would look through every module of torch again
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(measuring)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    with uncounted():  # the servers import all of the pack, too
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    if not (item.nodeid.startswith(UNCOUNTED) or item.get_closest_marker("slow")):
        return (yield)
    with uncounted():
        return (yield)


@pytest.fixture(scope="session")
def pack() -> ModuleType:
    """The pack's module, as ComfyUI's load_custom_node imports it; its nodes are in nodes.NODE_CLASS_MAPPINGS."""
    import host_import

    host_import.import_host()
    import nodes

    assert asyncio.run(nodes.load_custom_node(str(workbench.REPOSITORY))), "ComfyUI did not load the pack"
    return sys.modules[str(workbench.REPOSITORY).replace(".", "_x_")]


@pytest.fixture(scope="session")
def node_classes(pack: ModuleType) -> dict[str, type]:
    """The pack's node classes by id, ready to be executed."""
    import nodes

    return {name: cls for name, cls in nodes.NODE_CLASS_MAPPINGS.items() if name.startswith("HSO")}


@pytest.fixture(scope="session")
def figure() -> Callable[[str, float | str], None]:
    """figure(name, value) keeps a measured value for docs/reliability.md, which tests/support/reliability.py writes.

    Several values of one name are summed up there (a count) or their largest is taken (a name that ends in "max").
    """

    def keep(name: str, value: float | str) -> None:
        FIGURES.mkdir(parents=True, exist_ok=True)
        with (FIGURES / f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps([name, value]) + "\n")

    return keep
