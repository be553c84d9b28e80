"""The noise schedules of a real ComfyUI, as its own code makes them: each model class it knows, each node that patches.

Import host_import.import_host() first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import comfy.model_base as model_base
import comfy.supported_models as supported_models
import torch
from comfy.model_patcher import ModelPatcher
from comfy_extras import nodes_lt, nodes_model_advanced


class _Built(Exception):
    """Carries the model_sampling of a model whose construction is stopped there."""


class _AnyWeights(dict):
    """A state dict in which a config finds a tensor for whatever weight it reads without asking first."""

    def __missing__(self, key: str) -> torch.Tensor:
        return torch.zeros(4, 4)


class _AnyConfig(dict):
    """A network's configuration in which a class finds a number for whatever it reads without asking first."""

    def __missing__(self, key: str) -> int:
        return 64


# What a checkpoint must hold for a class to choose another kind of model than it does by default.
KEYS_OF_VARIANTS = {
    "SD20": {"v": {"output_blocks.11.1.transformer_blocks.0.norm1.bias": torch.linspace(-1, 1, 320)}},
    "SDXL": {
        "playground edm": {"edm_mean": torch.zeros(1), "edm_std": torch.zeros(1)},
        "edm v": {"edm_vpred.sigma_max": torch.tensor(120.0), "edm_vpred.sigma_min": torch.tensor(0.002)},
        "v": {"v_pred": torch.zeros(1)},
        "v zsnr": {"v_pred": torch.zeros(1), "ztsnr": torch.zeros(1)},
    },
}


def model_classes() -> list[type]:
    """Every class that this ComfyUI can recognise a checkpoint as."""
    return list(supported_models.models)


def class_samplings() -> Iterator[tuple[str, Any]]:
    """(name, model_sampling) of every class in comfy.supported_models, as its own get_model makes it, and variants."""
    for config_class in model_classes():
        name = config_class.__name__
        for variant, keys in {"": {}, **KEYS_OF_VARIANTS.get(name, {})}.items():
            yield f"{name} {variant}".strip(), _sampling_of(config_class, keys)


def _sampling_of(config_class: Any, keys: dict[str, torch.Tensor]) -> Any:
    unet_config = _AnyConfig(in_channels=4) | config_class.unet_config | {"disable_unet_model_creation": True}
    config = config_class(_AnyConfig(unet_config))
    initialise = model_base.BaseModel.__init__

    def initialise_and_stop(self: Any, *arguments: Any, **options: Any) -> None:
        initialise(self, *arguments, **options)
        raise _Built(self.model_sampling)

    model_base.BaseModel.__init__ = initialise_and_stop
    try:
        config.get_model(_AnyWeights(keys), "")
    except _Built as built:
        return built.args[0]
    finally:
        model_base.BaseModel.__init__ = initialise
    raise AssertionError(f"{config_class.__name__} made no BaseModel")


def is_diffusion(sampling: Any) -> bool:
    """False for models that turn a picture into another in one go: they have no noise schedule."""
    return not any(cls.__name__.startswith("IMG_TO_IMG") for cls in type(sampling).__mro__)


def kind_samplings() -> Iterator[tuple[str, Any]]:
    """(name, model_sampling) of every model type with every distinct set of sampling settings, together or not."""
    settings = {repr(c.sampling_settings): c for c in model_classes()}
    for kind in model_base.ModelType:
        for config_class in settings.values():
            yield f"{kind.name} {config_class.__name__}", model_base.model_sampling(config_class(_AnyConfig()), kind)


def model_with(sampling: Any) -> ModelPatcher:
    """A real MODEL around a model_sampling object; it has no network, which the schedule nodes never look at."""
    model = torch.nn.Module()
    model.model_sampling = sampling
    model.model_config = None
    return ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))


PATCHES: dict[str, tuple[str, dict[str, Any]]] = {
    "discrete eps": ("ModelSamplingDiscrete", {"sampling": "eps", "zsnr": False}),
    "discrete eps zsnr": ("ModelSamplingDiscrete", {"sampling": "eps", "zsnr": True}),
    "discrete v zsnr": ("ModelSamplingDiscrete", {"sampling": "v_prediction", "zsnr": True}),
    "discrete lcm": ("ModelSamplingDiscrete", {"sampling": "lcm", "zsnr": False}),
    "discrete lcm zsnr": ("ModelSamplingDiscrete", {"sampling": "lcm", "zsnr": True}),
    "discrete x0": ("ModelSamplingDiscrete", {"sampling": "x0", "zsnr": False}),
    "discrete img_to_img": ("ModelSamplingDiscrete", {"sampling": "img_to_img", "zsnr": False}),
    "cascade 1": ("ModelSamplingStableCascade", {"shift": 1.0}),
    "cascade 8": ("ModelSamplingStableCascade", {"shift": 8.0}),
    "sd3 0.2": ("ModelSamplingSD3", {"shift": 0.2}),
    "sd3 1": ("ModelSamplingSD3", {"shift": 1.0}),
    "sd3 3": ("ModelSamplingSD3", {"shift": 3.0}),
    "sd3 100": ("ModelSamplingSD3", {"shift": 100.0}),
    "aura 1.73": ("ModelSamplingAuraFlow", {"shift": 1.73}),
    "flux 1024": ("ModelSamplingFlux", {"max_shift": 1.15, "base_shift": 0.5, "width": 1024, "height": 1024}),
    "flux 256": ("ModelSamplingFlux", {"max_shift": 1.15, "base_shift": 0.5, "width": 256, "height": 256}),
    "flux 4096": ("ModelSamplingFlux", {"max_shift": 1.15, "base_shift": 0.5, "width": 4096, "height": 4096}),
    "edm v": ("ModelSamplingContinuousEDM", {"sampling": "v_prediction", "sigma_max": 120.0, "sigma_min": 0.002}),
    "edm edm": ("ModelSamplingContinuousEDM", {"sampling": "edm", "sigma_max": 80.0, "sigma_min": 0.002}),
    "edm eps": ("ModelSamplingContinuousEDM", {"sampling": "eps", "sigma_max": 1000.0, "sigma_min": 0.001}),
    "edm rflow": ("ModelSamplingContinuousEDM", {"sampling": "cosmos_rflow", "sigma_max": 80.0, "sigma_min": 0.002}),
    "continuous v": ("ModelSamplingContinuousV", {"sampling": "v_prediction", "sigma_max": 500.0, "sigma_min": 0.03}),
    "ltxv": ("ModelSamplingLTXV", {"max_shift": 2.05, "base_shift": 0.95, "latent": None}),
}
WITHOUT_OWN_SCHEDULE = {"RescaleCFG": {"multiplier": 0.7}}


def patch(node: str, model: Any, values: dict[str, Any]) -> Any:
    """The MODEL that a core node makes of `model`, whether the host has it in the old or the new form."""
    module = nodes_lt if hasattr(nodes_lt, node) else nodes_model_advanced
    cls = getattr(module, node)
    run: Callable[..., Any] = getattr(cls(), cls.FUNCTION)
    result = run(model=model, **values)
    return getattr(result, "args", result)[0]
