"""The direction of imports: web -> nodes -> hso_core, and within them from room to room without a circle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench

MAY_IMPORT = {
    "hso_core.files": set(),
    "hso_core.schedule": {"hso_core.files"},
    "hso_core.method": {"hso_core.schedule"},
    "hso_core.solvers": {"hso_core.files", "hso_core.schedule"},
    "hso_core.calibration": {"hso_core.files", "hso_core.schedule", "hso_core.solvers"},
    "nodes.host": {"hso_core"},
    "nodes.pictures": {"hso_core", "nodes.host"},
    "nodes.schedules": {"hso_core", "nodes.host", "nodes.pictures", "nodes.sampling"},
    "nodes.sampling": {"hso_core", "nodes.host", "nodes.pictures"},
    "nodes.measuring": {"hso_core", "nodes.host", "nodes.pictures", "nodes.sampling"},
    "benchmarks.models": {"hso_core", "benchmarks"},
    "benchmarks.rivals": {"hso_core", "benchmarks", "benchmarks.models"},
    "benchmarks.measures": {"hso_core", "benchmarks", "benchmarks.models"},
    "benchmarks.report": {"hso_core", "benchmarks.models", "benchmarks.rivals", "benchmarks.measures"},
}
"""Of each room, the packages that it may import beside itself; `hso_core` and `benchmarks` stand for what these offer,
the first with all of its rooms."""
HOST_MODULES = {
    "comfy",
    "nodes",
    "server",
    "folder_paths",
    "latent_preview",
    "execution",
    "comfy_extras",
    "comfy_execution",
}


def imported(file: Path) -> Iterator[str]:
    """The modules that a file imports, by their full names from the root of the repository."""
    package = list(file.relative_to(workbench.REPOSITORY).parts[:-1])
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = [*above, *(node.module.split(".") if node.module else [])]
            for name in node.names:  # `from .. import host` imports a package, `from ..host import model` a module
                whole = [*module, name.name]
                path = workbench.REPOSITORY.joinpath(*whole)
                yield ".".join(whole if path.is_dir() or path.with_suffix(".py").is_file() else module)


def room_of(module: str) -> str:
    """a.b of a.b.c, and of a.b where that is a package."""
    parts = module.split(".")
    is_package = workbench.REPOSITORY.joinpath(*parts[:2]).is_dir()
    return ".".join(parts[:2]) if is_package else parts[0]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_go_one_way(room: str) -> None:
    folder = workbench.REPOSITORY.joinpath(*room.split("."))
    files = list(folder.rglob("*.py"))
    wrong = [
        f"{file.relative_to(workbench.REPOSITORY)} imports {module}"
        for file in files
        for module in imported(file)
        if module.split(".")[0] in ("hso_core", "nodes", "benchmarks")
        and module != "nodes"  # ComfyUI's own module of that name
        and room_of(module) != room
        and room_of(module) not in MAY_IMPORT[room]
        and module.split(".")[0] not in MAY_IMPORT[room] - {"benchmarks"}
    ]
    assert files and not wrong


def test_every_room_is_in_the_table() -> None:
    found = {
        f"{top}.{folder.name}"
        for top in ("hso_core", "nodes", "benchmarks")
        for folder in (workbench.REPOSITORY / top).iterdir()
        if (folder / "__init__.py").is_file()
    }
    assert found - {"benchmarks.studies", "benchmarks.pictures"} == set(MAY_IMPORT)  # these two are imported by nothing


def test_only_one_room_touches_comfyui() -> None:
    files = [file for file in (workbench.REPOSITORY / "nodes").rglob("*.py") if "host" not in file.parts]
    wrong = [(file.name, m) for file in files for m in imported(file) if m.split(".")[0] in HOST_MODULES - {"nodes"}]
    assert len(files) > 20 and not wrong


def test_the_core_knows_nothing_of_comfyui() -> None:
    files = list((workbench.REPOSITORY / "hso_core").rglob("*.py"))
    names = {module.split(".")[0] for file in files for module in imported(file)}
    assert "torch" in names and not names & {*HOST_MODULES, "comfy_api"}


def test_the_page_names_files_that_are_there() -> None:
    page = (workbench.REPOSITORY / "docs" / "architecture.md").read_text("utf-8")
    named = set(re.findall(r"`((?:[\w.-]+/)+(?:[\w.-]+\.\w+)?)`", page))
    assert len(named) > 20
    assert not [name for name in named if not (workbench.REPOSITORY / name).exists() and name != "custom_nodes/"]
