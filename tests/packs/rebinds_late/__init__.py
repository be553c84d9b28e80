"""A node pack that replaces ComfyUI's scheduler lists while the server starts, after every pack has been loaded, and
patches the function that all of them go through."""

import comfy.samplers
from server import PromptServer

NODE_CLASS_MAPPINGS = {}

original = comfy.samplers.calculate_sigmas


def patched(model_sampling, scheduler_name, steps):
    if scheduler_name == "theirs":
        scheduler_name = "simple"
    return original(model_sampling, scheduler_name, steps)


async def rebind(_app):
    comfy.samplers.SCHEDULER_NAMES = [*comfy.samplers.SCHEDULER_NAMES, "theirs"]
    comfy.samplers.KSampler.SCHEDULERS = [*comfy.samplers.KSampler.SCHEDULERS, "theirs"]


comfy.samplers.calculate_sigmas = patched
PromptServer.instance.app.on_startup.append(rebind)
