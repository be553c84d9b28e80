"""The editor, the plot and the line of a long run speak the language of the page."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator

import pytest

import demo_prompts
from comfy_page import ComfyPage

seeds = itertools.count(9000)  # of the search, so that no result comes from the server's cache
EDITOR, PLOT = "HSOCustomSigmas", "HSOOptimizeSchedule"
NAMES = set("hso karras simple beta exponential log Ctrl SNR HSO safetensors".split())  # in any language
SAID = """() => [...document.querySelectorAll(".hso-root, .hso-root *")].flatMap(part =>
    [...["title", "aria-label", "aria-valuetext"].map(name => part.getAttribute(name)),
        ...[...part.childNodes].filter(node => node.nodeType === Node.TEXT_NODE).map(node => node.textContent)])
    .filter(text => text?.trim())"""


@contextlib.contextmanager
def language(comfy: ComfyPage, name: str) -> Iterator[None]:
    use = "async name => { await app.extensionManager.setting.set('Comfy.Locale', name) }"
    comfy.page.evaluate(use, name)
    comfy.load()
    try:
        yield
    finally:
        comfy.page.evaluate(use, "en")
        comfy.load()


def open_all(comfy: ComfyPage) -> None:
    comfy.build(
        {
            "model": demo_prompts.node("HSODemoModel"),
            "found": demo_prompts.optimize_schedule(5, search_seed=next(seeds)),
            "show": demo_prompts.show_text("found", 1),
            "sigmas": demo_prompts.custom_sigmas("12, 5, 2, 1, 0.3", steps=9),
            "show sigmas": demo_prompts.show_text("sigmas", 1),
        }
    )
    comfy.look_at(EDITOR)


def said(comfy: ComfyPage) -> list[str]:
    return comfy.page.evaluate(SAID)


def foreign(texts: list[str]) -> set[str]:
    """Latin words that are no names."""
    return {word for text in texts for word in re.findall(r"[A-Za-z]{3,}", text)} - NAMES


def everything(comfy: ComfyPage) -> list[str]:
    """What is said before a run, after one, of an old result, of faults, and of a point."""
    texts = said(comfy)
    comfy.run()
    texts += said(comfy)
    change = "node.widgets.find(widget => widget.name === 'steps').value = 9"
    comfy.of_node(PLOT, f"(app.canvas.emitBeforeChange(), {change}, app.canvas.emitAfterChange(), null)")
    comfy.settle()
    texts += said(comfy)
    comfy.part("hso-steps").fill("500")
    comfy.part("hso-steps").press("Enter")
    texts += said(comfy)
    for written in ("", "3, 4", "14,6 3", "x"):
        comfy.page.locator("textarea:visible").first.fill(written)
        comfy.settle()
        texts += said(comfy)
    comfy.look_at(PLOT, scale=0.6, top=80)
    comfy.part("hso-plot").locator(".hso-dot").nth(2).focus()
    return texts + said(comfy)


def test_in_japanese_no_english_is_left(comfy: ComfyPage) -> None:
    with language(comfy, "ja"):
        open_all(comfy)
        texts = everything(comfy)
    assert len(texts) > 300 and not foreign(texts) - {"x"}
    assert [text for text in texts if re.search("[\u3040-\u30ff]", text)]


@pytest.mark.parametrize(
    ("name", "undo"), [("fr", "Annuler (Ctrl+Z)"), ("zh-TW", "復原（Ctrl+Z）"), ("tr", "Undo (Ctrl+Z)")]
)
def test_other_languages_and_english_where_there_is_no_translation(comfy: ComfyPage, name: str, undo: str) -> None:
    with language(comfy, name):
        open_all(comfy)
        assert comfy.part("hso-undo").get_attribute("aria-label") == undo
    open_all(comfy)
    assert comfy.part("hso-undo").get_attribute("aria-label") == "Undo (Ctrl+Z)"
    assert "steps" in foreign(everything(comfy))
