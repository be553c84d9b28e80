"""What a change of the pack would break in workflows that people have saved.

    .venv/bin/python tests/support/node_diff.py OLD_FOLDER NEW_FOLDER

Loads both versions into a real ComfyUI, and ends with status 1 if something that is saved would no longer fit.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import host_import

WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
PREFIX = "HSO"
CHANGES_WITH_THE_HOST = {("HSOLoadSchedule", "file")}  # lists of files

Definition = dict[str, Any]


def node_definitions(folder: Path) -> dict[str, Definition]:
    """Every node of the pack in `folder`, as ComfyUI's /object_info describes it."""
    host_import.import_host()
    import nodes

    for name in [name for name in nodes.NODE_CLASS_MAPPINGS if name.startswith(PREFIX)]:
        del nodes.NODE_CLASS_MAPPINGS[name]
    if not asyncio.run(nodes.load_custom_node(str(folder.resolve()))):
        raise RuntimeError(f"ComfyUI could not load the pack in {folder}")
    found = {name: cls for name, cls in nodes.NODE_CLASS_MAPPINGS.items() if name.startswith(PREFIX)}
    return {name: cls.GET_NODE_INFO_V1() for name, cls in found.items()}


def breaking_changes(old: Mapping[str, Definition], new: Mapping[str, Definition]) -> list[str]:
    """A sentence for each thing in `old` that a saved workflow or prompt may rely on, and that `new` has not."""
    changes = [f"{name} is gone" for name in old if name not in new]
    for name in old.keys() & new.keys():
        changes += [f"{name}: {change}" for change in _changes_of_node(name, old[name], new[name])]
    return sorted(changes)


def _changes_of_node(name: str, old: Definition, new: Definition) -> list[str]:
    changes = []
    if new["output"][: len(old["output"])] != old["output"]:
        changes.append(f"the outputs were {old['output']}, and are {new['output']}")
    widgets = _widgets(old)
    if _widgets(new)[: len(widgets)] != widgets:
        changes.append(f"the widgets were {widgets}, and are {_widgets(new)}; new ones belong at the end")
    before, after = _inputs(old), _inputs(new)
    for key, (kind, options, _) in before.items():
        if key not in after:
            changes.append(f"the input {key} is gone")
        elif _type(after[key][0]) != _type(kind):
            changes.append(f"the input {key} was {_type(kind)}, and is {_type(after[key][0])}")
        elif (name, key) not in CHANGES_WITH_THE_HOST:
            gone = set(_choices(kind, options)) - set(_choices(*after[key][:2]))
            changes += [f"the choice {choice!r} of {key} is gone" for choice in sorted(gone)]
    added = [key for key, (_, _, group) in after.items() if group == "required" and key not in before]
    # A saved workflow has no value for it; the browser gives the default, a prompt that is posted has none.
    return changes + [f"the new input {key} is required; make it optional" for key in added]


def _inputs(definition: Definition) -> dict[str, tuple[Any, dict[str, Any], str]]:
    """(type, options, "required" or "optional") of each input, in the browser's order."""
    return {
        name: (entry[0], entry[1] if len(entry) > 1 else {}, group)
        for group in ("required", "optional")
        for name, entry in definition["input"].get(group, {}).items()
    }


def _widgets(definition: Definition) -> list[str]:
    inputs = _inputs(definition).items()
    return [
        name for name, (kind, options, _) in inputs if _type(kind) in WIDGET_TYPES and not options.get("forceInput")
    ]


def _type(kind: Any) -> str:
    return "COMBO" if isinstance(kind, list) else str(kind)


def _choices(kind: Any, options: dict[str, Any]) -> list[str]:
    return kind if isinstance(kind, list) else options.get("options", []) if kind == "COMBO" else []


def main(old: str, new: str) -> int:
    changes = breaking_changes(node_definitions(Path(old)), node_definitions(Path(new)))
    print("\n".join(changes) or "Every saved workflow still fits.")
    return bool(changes)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
