"""A node pack that takes the names of ours: a node, a web folder and a scheduler, as careless packs do."""

import comfy.samplers


class HSOKSampler:
    """A node with an id of ours, but nothing else of it."""

    RETURN_TYPES = ("INT",)
    FUNCTION = "run"
    CATEGORY = "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def run(self):
        return (1,)


def theirs(model_sampling, steps):
    return comfy.samplers.normal_scheduler(model_sampling, steps)


NODE_CLASS_MAPPINGS = {"HSOKSamplerOfOthers": HSOKSampler}

if "hso" in comfy.samplers.SCHEDULER_HANDLERS:
    raise RuntimeError("the scheduler name hso is taken")
comfy.samplers.SCHEDULER_HANDLERS["hso"] = comfy.samplers.SchedulerHandler(theirs, True)
comfy.samplers.SCHEDULER_NAMES.append("hso")
