"""The words of the browser code: the same in English here and there, all used, and all translated."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest

import locale_keys
from hso_core.calibration.outcome import EARLIER, FITTED
from locale_keys import PAGE, TRANSLATED
from workbench import REPOSITORY

CODE = [file for file in (REPOSITORY / "web").rglob("*.js") if file != locale_keys.WORDS]
SCRIPTS = {
    "zh": "[\u4e00-\u9fff]",
    "zh-TW": "[\u4e00-\u9fff]",
    "ja": "[\u3040-\u30ff\u4e00-\u9fff]",
    "ko": "[\uac00-\ud7af]",
    "ru": "[\u0400-\u04ff]",
}
SAME = {  # what a language says as English does
    "fr": {"seconds", "minutes", "hours", "name_note"},
    "es": {"seconds", "minutes", "hours"},
    "de": {"seconds", "minutes"},
}


@pytest.fixture(scope="module")
def english() -> locale_keys.Texts:
    return locale_keys.words()


def test_the_english_is_what_the_browser_code_says(english):
    assert len(english) > 70 and locale_keys.read("en", PAGE) == english


def test_every_word_is_used_and_every_word_that_is_used_is_there(english):
    """As a whole literal; the names of what nodes send are made of what they send."""
    code = "\n".join(file.read_text("utf-8") for file in CODE)
    literals = set(re.findall(r'"(\w+)"', code))
    words = {name for _, name in english if not name.startswith("name_")}
    assert words <= literals
    assert {name for say in re.findall(r"\bsay\(([^)]*)", code) for name in re.findall(r'"(\w+)"', say)} <= words


def test_the_names_that_nodes_send_are_words(english):
    """The names of curves and of facts that are written in the Python code."""
    trees = [ast.parse(file.read_text("utf-8")) for file in (REPOSITORY / "nodes").rglob("*.py")]
    sent = {name for tree in trees for node in ast.walk(tree) for name in names_in(node)}
    words = {name.removeprefix("name_").replace("_", " ") for _, name in english if name.startswith("name_")}
    assert len(sent) > 8 and sent <= words | {"hso"}  # which is a name everywhere
    texts = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert words <= texts | {EARLIER, FITTED}


def names_in(node: ast.AST) -> list[str]:
    """The first of each pair that makes a curve or a fact."""
    makes_plot = (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("plot_ui", "Edited")
    )
    is_facts = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "facts"
    pairs = [part for part in ast.walk(node) if isinstance(part, ast.Tuple) and len(part.elts) == 2]
    firsts = [pair.elts[0] for pair in pairs if makes_plot or is_facts]
    return [first.value for first in firsts if isinstance(first, ast.Constant) and isinstance(first.value, str)]


@pytest.mark.parametrize("language", TRANSLATED)
def test_all_are_translated(english, language):
    texts = locale_keys.read(language, PAGE)
    assert texts.keys() == english.keys()
    same = {place[-1] for place, text in texts.items() if text == english[place]}
    assert same == SAME.get(language, set())
    for place, text in texts.items():
        assert text == text.strip() and not re.search(r"[@|$<>]", text), place
        assert placeholders(text) == placeholders(english[place]), place
        if language in SCRIPTS:
            assert re.search(SCRIPTS[language], text), place


def placeholders(text: str) -> Counter[str]:
    return Counter(re.findall(r"\{\w*\}?", text))


def test_no_language_has_the_sentences_of_another():
    seen = Counter(text for language in TRANSLATED for text in locale_keys.read(language, PAGE).values())
    assert not [text for text, languages in seen.items() if languages > 1 and len(text) > 20]
