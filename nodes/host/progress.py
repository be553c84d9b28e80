"""Long work: the progress bar, and the user who cancels."""

from __future__ import annotations

from collections.abc import Callable

import comfy.model_management
import comfy.utils
from comfy_execution.utils import get_executing_context
from server import PromptServer

CANCELLED = comfy.model_management.InterruptProcessingException


def stop_if_cancelled(*_: object) -> None:
    """Raise ComfyUI's own exception if the user has cancelled."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def is_cancelled() -> bool:
    """Whether the user has cancelled; `stop_if_cancelled` has still to be called."""
    return comfy.model_management.processing_interrupted()


def cancel() -> None:
    """Take back that a cancellation was noticed: the next `stop_if_cancelled` raises."""
    comfy.model_management.interrupt_current_processing()


def progress_bar() -> Callable[[int, int], None]:
    """A function of (done, total) that moves the node's progress bar, and ends the work when the user cancels."""
    bar: list[comfy.utils.ProgressBar] = []

    def show(done: int, total: int) -> None:
        stop_if_cancelled()
        if not bar:
            bar.append(comfy.utils.ProgressBar(max(total, 1)))
        bar[0].update_absolute(done, max(total, 1))

    return show


def tell_page(event: str, **what: str | int) -> None:
    """Send the page an event of ours about the node that is running; where no page listens, nothing happens."""
    server, running = getattr(PromptServer, "instance", None), get_executing_context()
    if server is not None and running is not None:
        where = {"node": running.node_id, "prompt_id": running.prompt_id}
        server.send_sync(event, {**where, **what}, server.client_id)
