"""What locales/ has to translate: what ComfyUI's page shows of the nodes, and every word of the browser code.

The first are read from the nodes themselves, the others from web/common/english.js.

    .venv/bin/python tests/support/locale_keys.py            what is missing, stale or changed, by language
    .venv/bin/python tests/support/locale_keys.py --write    write the English, and bring the others into its order

--write also drops translations whose English text is gone or has changed, so that they are asked for anew.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import node_diff
from workbench import REPOSITORY

LOCALES = REPOSITORY / "locales"
WORDS = REPOSITORY / "web" / "common" / "english.js"
NODES, PAGE = "nodeDefs", "main"  # the files of a language, as ComfyUI's custom_node_manager.py looks for them
STRING = r'"(?:[^"\\]|\\.)*"'
TRANSLATED = ("zh", "zh-TW", "ja", "ko", "fr", "es", "ru", "de")

Tree = dict[str, Any]
Texts = dict[tuple[str, ...], str]  # by the way to them: ("HSOKSampler", "inputs", "model", "tooltip")


def file_of(language: str, part: str = NODES) -> Path:
    return LOCALES / language / f"{part}.json"


def words() -> Texts:
    """The English words of the browser code, at the places where it looks for their translation."""
    lines = re.findall(rf"^  (\w+):\s+({STRING}(?:\s*\+\s*{STRING})*),$", WORDS.read_text("utf-8"), re.MULTILINE)
    return {("hso", name): "".join(map(json.loads, re.findall(STRING, text))) for name, text in lines}


def texts_of(definitions: Mapping[str, node_diff.Definition]) -> Texts:
    """The English texts of /object_info, at the places where the page looks for their translation."""
    return {place: text for name, definition in definitions.items() for place, text in _node(name, definition) if text}


def _node(name: str, definition: node_diff.Definition) -> Iterator[tuple[tuple[str, ...], str]]:
    node = _key(name)
    yield (node, "display_name"), definition["display_name"]
    yield (node, "description"), definition["description"]
    for group in ("required", "optional"):
        for own_name, (_, *rest) in definition["input"].get(group, {}).items():
            options = rest[0] if rest else {}
            yield (node, "inputs", _key(own_name), "name"), options.get("display_name") or own_name
            yield (node, "inputs", _key(own_name), "tooltip"), options.get("tooltip", "")
    outputs = zip(definition["output"], definition["output_name"], definition["output_tooltips"], strict=True)
    for index, (kind, own_name, tooltip) in enumerate(outputs):
        if own_name != kind:  # the page has names for the types themselves
            yield (node, "outputs", str(index), "name"), own_name
        yield (node, "outputs", str(index), "tooltip"), tooltip


def _key(name: str) -> str:
    return name.replace(".", "_")  # as the page does


def read(language: str, part: str = NODES) -> Texts:
    file = file_of(language, part)
    return flat(json.loads(file.read_text("utf-8"))) if file.is_file() else {}


def flat(tree: Tree, place: tuple[str, ...] = ()) -> Texts:
    found: Texts = {}
    for key, value in tree.items():
        found |= flat(value, (*place, key)) if isinstance(value, dict) else {(*place, key): value}
    return found


def write(language: str, part: str, texts: Texts) -> None:
    tree: Tree = {}
    for place, text in texts.items():
        branch = tree
        for key in place[:-1]:
            branch = branch.setdefault(key, {})
        branch[place[-1]] = text
    file = file_of(language, part)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(tree, ensure_ascii=False, indent=2) + "\n", "utf-8")


def compare(english: Texts, part: str) -> tuple[list[str], dict[str, Texts]]:
    """A line for each text that is not in order, and the files as they should be."""
    before = read("en", part)
    changed = {place for place in before.keys() & english.keys() if before[place] != english[place]}
    lines = [f"en: {'.'.join(place)} has changed" for place in english if before.get(place) != english[place]]
    lines += [f"en: {'.'.join(place)} is stale" for place in before if place not in english]
    files = {"en": english}
    for language in TRANSLATED:
        texts = read(language, part)
        lines += [f"{language}: {'.'.join(place)} is missing" for place in english if place not in texts]
        lines += [f"{language}: {'.'.join(place)} is stale" for place in texts if place not in english]
        files[language] = {place: texts[place] for place in english if place in texts and place not in changed}
    return lines, files


def main(arguments: list[str]) -> int:
    everything = {NODES: texts_of(node_diff.node_definitions(REPOSITORY)), PAGE: words()}
    compared = {part: compare(english, part) for part, english in everything.items()}
    lines = [line for found, _ in compared.values() for line in found]
    print("\n".join(lines) or "All translations are in order.")
    if arguments == ["--write"]:
        lines = []
        for part, (_, files) in compared.items():
            for language, texts in files.items():
                write(language, part, texts)
                missing = [place for place in everything[part] if place not in texts]
                lines += [f"{language}: {'.'.join(place)}" for place in missing]
        print("\n".join(["To be translated:", *lines]) if lines else "Written; nothing is left to translate.")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
