"""ComfyUI's schedulers, and its lists of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import comfy.samplers
import torch
from server import PromptServer
from torch import Tensor

logger = logging.getLogger(__name__)


def scheduler_names() -> list[str]:
    """The schedulers of this ComfyUI: the very list."""
    return comfy.samplers.SCHEDULER_NAMES


def scheduler_sigmas(model: Any, scheduler: str, steps: int) -> Tensor:
    """The sigmas (n,), usually steps + 1, that a scheduler of ComfyUI's list gives for `model`; on the CPU."""
    return comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), scheduler, steps).cpu()


def ksampler_sigmas(model: Any, scheduler: str, steps: int) -> Tensor:
    """The sigmas (steps + 1,) that KSampler makes of a scheduler for those samplers: one step more, one left out."""
    sigmas = scheduler_sigmas(model, scheduler, steps + 1)
    return torch.cat([sigmas[:-2], sigmas[-1:]])


def add_scheduler(name: str, handler: Callable[[Any, int], Tensor]) -> None:
    """Offer `handler`(model_sampling, steps) as a scheduler in KSampler and BasicScheduler, now and after start-up.

    The lists are only appended to: rebinding or reordering them breaks other packs (where one of these has left a
    tuple, that is replaced). A pack that loads after this one
    may have rebound them, so the entry is made once more when every pack has been loaded.
    """
    _append_scheduler(name, handler)
    server = getattr(PromptServer, "instance", None)
    if server is not None:

        async def again(_app: object) -> None:
            try:  # the server does not start if this fails
                _append_scheduler(name, handler)
            except Exception:
                logger.exception("HSO: could not add the scheduler %r to ComfyUI's lists once more.", name)

        server.app.on_startup.append(again)


def _append_scheduler(name: str, handler: Callable[[Any, int], Tensor]) -> None:
    samplers = comfy.samplers
    entry = samplers.SCHEDULER_HANDLERS.setdefault(name, samplers.SchedulerHandler(handler, use_ms=True))
    if entry.handler is not handler:
        logger.warning("HSO: another pack has a scheduler named %r; it stays, and HSO adds none.", name)
        return
    for owner, attribute in ((samplers, "SCHEDULER_NAMES"), (samplers.KSampler, "SCHEDULERS")):
        names = getattr(owner, attribute)
        if name in names:
            continue
        if isinstance(names, tuple):
            setattr(owner, attribute, (*names, name))
        else:
            names.append(name)
