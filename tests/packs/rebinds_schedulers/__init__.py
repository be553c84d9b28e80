"""A node pack that does to ComfyUI's scheduler lists what some real ones do: it replaces them by lists of its own."""

import comfy.samplers

comfy.samplers.SCHEDULER_NAMES = ["simple", "karras", "theirs"]
comfy.samplers.KSampler.SCHEDULERS = ["simple", "karras"]

NODE_CLASS_MAPPINGS = {}
