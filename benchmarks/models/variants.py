"""Other prompts and other guidance of the guided networks."""

from __future__ import annotations

from . import sd_unet
from .catalogue import GUIDANCE, SD_CLASS, SD_GUIDANCE, TestModel, _flow_network, sd_network

GUIDED = {
    "flow-unet-guided": (3, GUIDANCE, (7, 0)),
    "sd-unet-guided": (
        sd_unet.CLASSES.index(SD_CLASS),
        SD_GUIDANCE,
        (sd_unet.CLASSES.index("animals"), sd_unet.CLASSES.index("food")),
    ),
}
"""Class and guidance of each as it stands in the catalogue, and other classes."""


def variant(name: str, label: int, guidance: float) -> TestModel:
    """`name`, one of GUIDED, guided by so much towards the class `label`."""
    if name == "flow-unet-guided":
        own = f"{name}, {label}, {guidance:g}"
        return _flow_network(own, label, guidance, f"flow network, guidance of {guidance:g} towards the digit {label}")
    own = f"{name}, {sd_unet.CLASSES[label]}, {guidance:g}"
    return sd_network(own, "eps", label, guidance, f"emoji network, guidance of {guidance:g} towards class {label}")
