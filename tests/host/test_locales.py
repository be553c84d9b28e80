"""The translations: complete for the nodes as they are, whole in what must not be lost, and served by ComfyUI."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import locale_keys
from locale_keys import TRANSLATED, Texts
from workbench import REPOSITORY

UPDATE = "run .venv/bin/python tests/support/locale_keys.py --write, and translate what it names"

SCRIPTS = {
    "zh": "[\u4e00-\u9fff]",
    "zh-TW": "[\u4e00-\u9fff]",
    "ja": "[\u3040-\u30ff]",
    "ko": "[\uac00-\ud7af]",
    "ru": "[\u0400-\u04ff]",
}

# What a language calls as English does; everything else that is equal to the English was forgotten.
SYMBOLS = {"cfg", "d_min_4", "d_min_20"}
SAME = {
    "zh": {"gamma", "vae"},
    "zh-TW": {"gamma", "vae"},
    "ja": {"gamma", "vae"},
    "ko": {"gamma", "vae", "KSampler (HSO)"},
    "fr": {"gamma", "vae", "KSampler (HSO)", "sigma", "sigmas", "population", "backend", "budget", "note"},
    "es": {"gamma", "vae", "KSampler (HSO)", "sigma", "sigmas", "backend", "factor"},
    "ru": {"vae", "KSampler (HSO)"},
    "de": {"gamma", "KSampler (HSO)", "Scheduler (HSO)"},
}


@pytest.fixture(scope="module")
def definitions(node_classes) -> dict:
    return {name: cls.GET_NODE_INFO_V1() for name, cls in node_classes.items()}


@pytest.fixture(scope="module")
def english(definitions) -> Texts:
    return locale_keys.texts_of(definitions)


def test_the_english_is_what_the_nodes_say(english):
    assert locale_keys.read("en") == english, UPDATE


def test_every_folder_is_a_language_of_the_page():
    assert {folder.name for folder in locale_keys.LOCALES.iterdir()} == {"en", *TRANSLATED}


@pytest.mark.parametrize("language", TRANSLATED)
def test_nothing_is_missing_or_stale(english, language):
    texts = locale_keys.read(language)
    missing, stale = english.keys() - texts.keys(), texts.keys() - english.keys()
    assert not missing and not stale, UPDATE
    assert not [place for place, text in texts.items() if not text.strip() or text != text.strip()]


@pytest.mark.parametrize("language", ["en", *TRANSLATED])
def test_no_text_has_the_signs_that_the_page_would_interpret(language):
    """In vue-i18n these begin placeholders, links and plural forms."""
    assert not [text for text in locale_keys.read(language).values() if re.search(r"[{}@|$<>]", text)]


@pytest.mark.parametrize("language", TRANSLATED)
def test_everything_is_translated(english, language):
    texts = locale_keys.read(language)
    same = {text for place, text in english.items() if texts[place] == text}
    assert same - SYMBOLS == SAME[language]


@pytest.mark.parametrize("language", SCRIPTS)
def test_sentences_are_in_the_languages_own_script(language):
    sentences = {place: text for place, text in locale_keys.read(language).items() if place[-1] != "name"}
    foreign = {text for text in sentences.values() if not re.search(SCRIPTS[language], text)}
    assert foreign <= {"KSampler (HSO)", "KSampler（HSO）"}


def test_no_language_has_the_sentences_of_another():
    seen = Counter(text for language in TRANSLATED for text in set(locale_keys.read(language).values()))
    assert not [text for text, languages in seen.items() if languages > 1 and len(text) > 20]


@pytest.mark.parametrize("language", TRANSLATED)
def test_no_two_nodes_or_inputs_of_a_node_share_a_name(language):
    texts = locale_keys.read(language).items()
    nodes = [text for place, text in texts if place[-1] == "display_name"]
    slots = [(place[:2], text) for place, text in texts if place[-1] == "name"]
    assert len(set(nodes)) == len(nodes) and not [slot for slot, found in Counter(slots).items() if found > 1]


@pytest.mark.parametrize("language", TRANSLATED)
def test_numbers_are_kept(english, language):
    texts = locale_keys.read(language)
    wrong = {place: texts[place] for place, text in english.items() if numbers(texts[place]) != numbers(text)}
    assert not wrong


def numbers(text: str) -> Counter[str]:
    return Counter(re.findall(r"\d+(?:\.\d+)?", text))


@pytest.mark.parametrize("language", TRANSLATED)
def test_option_values_and_symbols_stay_as_they_are(definitions, english, language):
    """A list shows its values in English, so a tooltip must name them so; likewise t_min, sigma_max, dpm_fast."""
    texts = locale_keys.read(language)
    lost = [
        (place, word)
        for place, text in english.items()
        for word in words_to_keep(definitions[place[0]], place, text)
        if not names(texts[place], word)
    ]
    assert not lost


def words_to_keep(node: dict, place: tuple[str, ...], text: str) -> set[str]:
    if place[-1] != "tooltip":
        return set()
    inputs = {name: entry for group in ("required", "optional") for name, entry in node["input"].get(group, {}).items()}
    options = inputs[place[2]][1].get("options", []) if place[1] == "inputs" else []
    symbols = set(re.findall(r"\w+_\w+", text)) - inputs.keys()  # other inputs are called by their translated names
    return {option for option in options if names(text, option)} | symbols


def names(text: str, word: str) -> bool:
    """Whether the text has the word, not as a part of a longer Latin one."""
    return re.search(rf"(?<![A-Za-z0-9_-]){re.escape(word)}(?![A-Za-z0-9_-])", text) is not None


@pytest.mark.parametrize("language", TRANSLATED)
def test_other_nodes_are_called_by_their_translated_names(english, language):
    texts = locale_keys.read(language)
    display_names = {place: text for place, text in english.items() if place[-1] == "display_name"}
    wrong = [
        (place, texts[named])
        for place, text in english.items()
        for named, name in display_names.items()
        if name in text and texts[named] not in texts[place]
    ]
    assert not wrong


def test_comfyui_serves_every_language(tmp_path: Path, monkeypatch, english):
    """Through the code of its route /i18n, with the pack mounted as users have it."""
    import folder_paths
    from app.custom_node_manager import CustomNodeManager

    (tmp_path / "hso-schedule").symlink_to(REPOSITORY, target_is_directory=True)
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "custom_nodes", ([str(tmp_path)], set()))
    served = CustomNodeManager().build_translations()
    assert served.keys() == {"en", *TRANSLATED}
    for language, parts in served.items():
        assert parts.keys() == {"nodeDefs", "hso"}
        flat = locale_keys.flat(parts["nodeDefs"])
        assert flat == locale_keys.read(language) and flat.keys() == english.keys()
