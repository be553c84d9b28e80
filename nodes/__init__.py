"""The ComfyUI layer: the pack's nodes and its entry in the scheduler lists."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.v0_0_2 import ComfyExtension

logger = logging.getLogger(__name__)


def _host_is_too_old() -> bool:
    """Whether this ComfyUI lacks the node API; said here, because one that lacks it does not call comfy_entrypoint."""
    try:
        import comfy_api.v0_0_2  # noqa: F401
    except ImportError as error:
        if (error.name or "").startswith("comfy_api"):
            logger.error("HSO: this ComfyUI is too old (it has no node API v0_0_2); HSO needs ComfyUI 0.3.75 or newer.")
            return True
    return False


_TOO_OLD = _host_is_too_old()


async def comfy_entrypoint() -> ComfyExtension | None:
    """What ComfyUI calls to get the nodes."""
    if _TOO_OLD:
        return None
    from .extension import HSOExtension
    from .sampling import scheduler_entry

    try:
        scheduler_entry.register()
    except Exception:
        # The nodes work without the entry; a host that changed its lists must not cost the user the whole pack.
        logger.exception("HSO: could not add 'hso' to the scheduler lists; the nodes work all the same.")
    return HSOExtension()
