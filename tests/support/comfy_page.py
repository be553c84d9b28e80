"""ComfyUI's page in a real browser, in a few calls.

with browser() as chromium, ComfyServer(...) as server:
    page = ComfyPage(chromium, server, "nodes2")
    page.open_workflow(workflow)
    page.run()
    page.picture(file)
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

import workbench
from comfy_server import ComfyServer
from demo_prompts import Prompt

RENDERERS = ("classic", "nodes2")
FRONTENDS = {"1.32.9": None, "1.58.1": workbench.NEW_FRONTEND}  # the one in .venv, and the newest
WAIT = 120_000  # milliseconds for what should be there at once; a machine may be busy
READY = """() => !!(window.app?.extensionManager && window.app.graph
    && window.LiteGraph?.registered_node_types['HSOKSampler']
    && document.querySelector('#graph-canvas')
    && app.api.clientId && app.api.socket?.readyState === WebSocket.OPEN)"""
# The last message of every run. Any other sign of its end, such as the server's history, may be there before the page
# has heard of the results.
LISTEN = """window.endedPrompts = new Set();
window.WebSocket = class extends WebSocket {
    constructor(...address) {
        super(...address);
        this.addEventListener("message", ({ data }) => {
            const { type, data: about } = typeof data === "string" ? JSON.parse(data) : {};
            if (type === "executing" && about.node === null) window.endedPrompts.add(about.prompt_id);
        });
    }
};"""
# The page's own animations are a fifth of what Nodes 2.0 takes of a processor. We have none.
STILL = """addEventListener("DOMContentLoaded", () => {
    const still = document.createElement("style");
    still.textContent = "*, ::before, ::after { animation: none !important; transition: none !important }";
    document.head.append(still);
});"""
SETTINGS = {
    "Comfy.TutorialCompleted": True,  # the tour would cover the page
    "Comfy.UseNewMenu": "Top",
    "Comfy.Workflow.Persist": False,
    "Comfy.Workflow.ShowMissingModelsWarning": False,  # examples name checkpoints that are not there
    "Comfy.Workflow.WarnBlueprintOverwrite": False,
}
BUILD = """async prompt => {
    await app.loadGraphData({ version: 0.4, nodes: [], links: [], last_node_id: 0, last_link_id: 0 });
    const nodes = {};
    for (const [id, { class_type, pos }] of Object.entries(prompt)) {
        nodes[id] = LiteGraph.createNode(class_type);
        nodes[id].pos = pos;
        app.graph.add(nodes[id]);
    }
    for (const [id, { inputs }] of Object.entries(prompt)) {
        for (const [name, value] of Object.entries(inputs)) {
            const slot = nodes[id].inputs.findIndex(input => input.name === name);
            if (Array.isArray(value)) nodes[value[0]].connect(value[1], nodes[id], slot);
            else nodes[id].widgets.find(widget => widget.name === name).value = value;
        }
    }
}"""
# Playwright waits for ever for what a page never answers.
IN_TIME = """async ([script, argument, wait]) => {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no answer within ${wait} ms: ${script}`)), wait);
    });
    try {
        return await Promise.race([(0, eval)(`(${script})`)(argument), late]);
    } finally {
        clearTimeout(timer);
    }
}"""
FIND = """(type) => {
    const graphs = [app.graph.rootGraph ?? app.graph, ...(app.graph.rootGraph ?? app.graph).subgraphs?.values() ?? []];
    return graphs.flatMap(graph => graph.nodes).find(node => node.type === type);
}"""


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium, the one that is installed on this computer."""
    expect.set_options(timeout=WAIT)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=str(workbench.chromium()), args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


class ComfyPage:
    """One page of ComfyUI.

    renderer: "classic" (the canvas draws the nodes) or "nodes2" (Nodes 2.0: the nodes are elements).
    errors: what went wrong in the page so far, of what names a file of ours.
    """

    def __init__(
        self,
        chromium: Browser,
        server: ComfyServer,
        renderer: str,
        *,
        size: tuple[int, int] = (1400, 1000),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.server = server
        self.renderer = renderer
        self.errors: list[str] = []
        self._built: dict[str, dict[str, Any]] = {}  # workflows as they are saved, by the prompt that each is made of
        server.post("/settings", {**SETTINGS, "Comfy.VueNodes.Enabled": renderer == "nodes2", **(settings or {})})
        self.page: Page = chromium.new_page(viewport={"width": size[0], "height": size[1]})
        self.page.set_default_timeout(WAIT)
        self.page.add_init_script(LISTEN)
        self.page.add_init_script(STILL)
        self.page.on("pageerror", lambda error: self._note(f"{error}\n{error.stack}"))
        self.page.on("console", lambda message: self._note_console(message))
        self.load()

    def load(self) -> None:
        """Load the page, also again: what is not in the workflow is lost."""
        self.page.goto(self.server.url)
        self.page.wait_for_function(READY)
        assert self.page.evaluate("() => !!LiteGraph.vueNodesMode") == (self.renderer == "nodes2")

    def close(self) -> None:
        self.page.close()

    def _note(self, text: str) -> None:
        if "/extensions/hso" in text:
            self.errors.append(text)

    def _note_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self._note(f"{message.type}: {message.text} ({message.location.get('url')})")

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """What a JavaScript function of one argument gives in the page; an error if it has not ended after WAIT."""
        return self.page.evaluate(IN_TIME, [script, argument, WAIT])

    # -- the workflow

    def build(self, prompt: Prompt, places: Mapping[str, tuple[int, int]] | None = None) -> None:
        """Open a workflow that is given in the API's format, with its nodes at these places, as one that was saved."""
        columns = {name: (430 * i, 0) for i, name in enumerate(prompt)}
        nodes = {name: {**node, "pos": (places or columns)[name]} for name, node in prompt.items()}
        key = json.dumps(nodes)
        if key not in self._built:
            self.evaluate(BUILD, nodes)
            self.settle()
            self._built[key] = self.workflow()
        self.open_workflow({**self._built[key], "id": str(uuid.uuid4())})  # as any other workflow, it has its own id

    def open_workflow(self, workflow: dict[str, Any]) -> None:
        """Open a workflow (as it is saved) in place of the present one, and wait until its nodes are on the page."""
        self.evaluate("async workflow => { await app.loadGraphData(workflow) }", workflow)
        self.settle()

    def settle(self) -> None:
        """Wait until the page has been laid out."""
        self.evaluate("async () => { for (let i = 0; i < 4; i++) await new Promise(requestAnimationFrame) }")

    def workflow(self) -> dict[str, Any]:
        """The present workflow, as it would be saved."""
        return self.evaluate("async () => JSON.parse(JSON.stringify((await app.graphToPrompt()).workflow))")

    def prompt(self) -> dict[str, Any]:
        """The present workflow as it would be sent to the server."""
        return self.evaluate("async () => JSON.parse(JSON.stringify((await app.graphToPrompt()).output))")

    def inputs(self, node_type: str) -> dict[str, Any]:
        """The inputs of the node of this type, as they would be sent to the server."""
        (node,) = [node for node in self.prompt().values() if node["class_type"] == node_type]
        return node["inputs"]

    def of_node(self, node_type: str, expression: str, argument: Any = None) -> Any:
        """Value of a JavaScript expression in `node`, the first node of this type, and `argument`."""
        script = f"async ([type, argument]) => {{ const node = ({FIND})(type); return {expression} }}"
        return self.evaluate(script, [node_type, argument])

    def undo(self) -> None:
        """ComfyUI's own undo."""
        self.evaluate("async () => await app.extensionManager.workflow.activeWorkflow.changeTracker.undo()")
        self.settle()

    def run(self) -> dict[str, Any]:
        """Run the workflow as the Run button does; the server's history entry."""
        return self.wait(self.start())

    def start(self) -> str:
        """Start the workflow as the Run button does; its id for wait()."""
        before = self._prompts()
        self.evaluate("() => app.queuePrompt(0)")
        return self._new_prompt(before)

    def wait(self, prompt_id: str) -> dict[str, Any]:
        """Wait until the page has shown the end of a workflow; the server's history entry."""
        try:
            return self.server.wait(prompt_id)
        finally:  # also of one that failed
            self.page.wait_for_function("prompt => endedPrompts.has(prompt)", arg=prompt_id)
            self.settle()

    def _new_prompt(self, before: set[str]) -> str:
        new: set[str] = set()

        def sent() -> bool:
            self.page.wait_for_timeout(50)  # Playwright hears of the page while it waits
            new.update(self._prompts() - before)
            return bool(new)

        self.server.wait_until("the page sends a workflow", sent)
        return new.pop()

    def _prompts(self) -> set[str]:
        """The ids of all that the server has run, runs or will run."""
        queue = self.server.get("/queue")  # first: what ends meanwhile is in the history
        queued = [item[1] for item in queue["queue_running"] + queue["queue_pending"]]
        return {*queued, *self.server.get("/history")}

    # -- our elements

    def part(self, name: str) -> Locator:
        """The element of ours with this data-testid that is on the page."""
        return self.page.locator(f"[data-testid={name}]:visible")

    def all_of(self, selector: str, part: str) -> list[Locator]:
        """The elements within a part of ours, as soon as there are any."""
        found = self.part(part).locator(selector)
        found.first.wait_for()
        return found.all()

    def look_at(self, node_type: str, scale: float = 1.0, left: float = 320, top: float = 180) -> None:
        """Zoom, and put the corner of the first node of this type there on the page."""
        self.of_node(
            node_type,
            "(([scale, left, top]) => { const offset = [left / scale - node.pos[0], top / scale - node.pos[1]];"
            " Object.assign(app.canvas.ds, { scale, offset }); app.canvas.setDirty(true, true) })(argument)",
            [scale, left, top],
        )
        self.settle()

    def picture(self, file: Path, clip: dict[str, float] | None = None) -> None:
        """Save a picture of the page, or of a part of it (x, y, width, height)."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=file, clip=clip)
