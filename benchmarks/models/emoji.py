"""Google's emoji (Apache-2.0) as pictures with a class: the data of train_sd_unet.py."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import tarfile

import torch
from PIL import Image
from torch import Tensor

from . import downloads
from .sd_unet import CLASSES, DEVIATION, MEAN

SIDE = 64
_BY_SUBCATEGORY = {
    "cat-face": "animals",
    "monkey-face": "animals",
    "emotion": "symbols",
    "heart": "hearts",
    "body-parts": "hands",
    "hand-fingers-closed": "hands",
    "hand-fingers-open": "hands",
    "hand-fingers-partial": "hands",
    "hand-prop": "hands",
    "hand-single-finger": "hands",
    "hands": "hands",
    "plant-flower": "plants",
    "plant-other": "plants",
    "clothing": "clothes",
    "transport-air": "vehicles",
    "transport-ground": "vehicles",
    "transport-water": "vehicles",
    "sky & weather": "sky",
    "time": "clocks",
}
_BY_CATEGORY = {
    "Smileys & Emotion": "faces",
    "People & Body": "people",
    "Animals & Nature": "animals",
    "Food & Drink": "food",
    "Activities": "activities",
    "Objects": "objects",
    "Travel & Places": "places",
    "Symbols": "symbols",
    "Flags": "flags",
}


@functools.cache
def emoji_table() -> tuple[Tensor, Tensor, Tensor]:
    """All but the skin tones: (n, 3, 64, 64) uint8 on white, labels (n,), and which are held out (n,), one in ten.

    Which are held out is decided by a hash of the character, so that it stays when the set grows.
    """
    pictures, labels, held_out = [], [], []
    with tarfile.open(downloads.fetched(downloads.EMOJI)) as archive:

        def read(name: str) -> bytes:
            stream = archive.extractfile(f"package/{name}")
            assert stream is not None
            return stream.read()

        for entry in json.loads(read("emoji.json")):
            if entry["category"] == "Component":
                continue
            name = _BY_SUBCATEGORY.get(entry["subcategory"]) or _BY_CATEGORY[entry["category"]]
            pictures.append(_on_white(read(f"img/google/64/{entry['image']}")))
            labels.append(CLASSES.index(name))
            held_out.append(hashlib.sha256(entry["unified"].encode()).digest()[0] % 10 == 0)
    return torch.stack(pictures), torch.tensor(labels), torch.tensor(held_out)


def _on_white(data: bytes) -> Tensor:
    with Image.open(io.BytesIO(data)) as picture:
        drawn = picture.convert("RGBA")
    page = Image.new("RGBA", drawn.size, "white")
    page.alpha_composite(drawn)
    pixels = torch.frombuffer(bytearray(page.convert("RGB").tobytes()), dtype=torch.uint8)
    return pixels.view(SIDE, SIDE, 3).movedim(-1, 0)


def as_latents(pictures: Tensor) -> Tensor:
    """Pictures (n, 3, 64, 64) in 0..1 -> what the network draws, (n, 3, 32, 32)."""
    mean = torch.tensor(MEAN, device=pictures.device).view(3, 1, 1)
    return (torch.nn.functional.avg_pool2d(pictures, 2) - mean) / DEVIATION
