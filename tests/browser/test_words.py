"""The editor, the plot and the line of a long run speak the language of the page."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator

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
def language(comfy: ComfyPage, *names: str) -> Iterator[Iterator[str]]:
    """The page in one language after the other, and in English again in the end."""
    try:
        yield (load_in(comfy, name) for name in names)
    finally:
        load_in(comfy, "en")


def load_in(comfy: ComfyPage, name: str) -> str:
    comfy.server.post("/settings", {"Comfy.Locale": name})
    comfy.load()
    return name


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
        comfy.page.locator("textarea:not([readonly]):visible").first.fill(written)
        comfy.settle()
        texts += said(comfy)
    comfy.look_at(PLOT, scale=0.6, top=80)
    comfy.part("hso-plot").locator(".hso-dot").nth(2).focus()
    return texts + said(comfy)


def test_in_japanese_no_english_is_left_and_without_a_translation_it_is_english(comfy: ComfyPage) -> None:
    found = {}
    with language(comfy, "ja", "tr") as loaded:
        for name in loaded:
            open_all(comfy)
            found[name] = everything(comfy) if name == "ja" else said(comfy)
    assert len(found["ja"]) > 300 and not foreign(found["ja"]) - {"x"}
    assert [text for text in found["ja"] if re.search("[\u3040-\u30ff]", text)]
    assert "Undo (Ctrl+Z)" in found["tr"] and "steps" in foreign(found["tr"])
