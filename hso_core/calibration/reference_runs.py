"""Finished runs of a reference: what a later search on the same model need not run again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .profile import MOST_VALUES


@dataclass(frozen=True)
class ReferenceRun:
    """One seed's run.

    latents      (...) float32, where it ended
    predictions  (M, values) float32, the denoised ones on the way, as far as ProfileRecorder keeps them
    evaluations  how many it took
    """

    latents: Tensor
    predictions: Tensor
    evaluations: int

    @property
    def nbytes(self) -> int:
        return self.latents.nbytes + self.predictions.nbytes


@dataclass(frozen=True)
class ReferenceRuns:
    """Runs of one sampler on one schedule, exactly as they came out.

    levels    (M,) float32, the noise levels of the predictions, falling
    by_place  the runs by their place in the sequence of seeds
    """

    levels: Tensor
    by_place: Mapping[int, ReferenceRun]

    def within(self, most_bytes: int) -> ReferenceRuns:
        """The first of the sequence, as many as take at most so many bytes."""
        kept, left = dict[int, ReferenceRun](), most_bytes
        for place in sorted(self.by_place):
            left -= self.by_place[place].nbytes
            if left < 0:
                break
            kept[place] = self.by_place[place]
        return ReferenceRuns(self.levels, kept)

    def to_tensors(self) -> dict[str, Tensor]:
        """For a file, of at least one run: see `from_tensors`."""
        runs = self.by_place.values()
        return {
            "levels": self.levels,
            "places": torch.tensor(list(self.by_place), dtype=torch.int64, device="cpu"),
            "latents": torch.stack([run.latents for run in runs]),
            "predictions": torch.stack([run.predictions for run in runs]),
            "evaluations": torch.tensor([run.evaluations for run in runs], dtype=torch.int64, device="cpu"),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> ReferenceRuns:
        """Raises KeyError or ValueError where the tensors are not those of finished runs."""
        levels, latents, predictions = (tensors[name] for name in ("levels", "latents", "predictions"))
        places, evaluations = tensors["places"], tensors["evaluations"]
        for numbers in (levels, latents, predictions):
            if numbers.dtype != torch.float32 or not bool(numbers.isfinite().all()):
                raise ValueError("reference runs must hold finite float32 values")
        if places.dtype != torch.int64 or evaluations.dtype != torch.int64:
            raise ValueError("places and evaluations of reference runs must be whole numbers")
        count = len(places) if places.ndim == 1 else 0
        if not count or len(set(places.tolist())) < count or int(places.min()) < 0:
            raise ValueError("reference runs must be of different seeds, at least one")
        if evaluations.shape != (count,) or int(evaluations.min()) < 1:
            raise ValueError(f"{count} reference runs cannot have taken {evaluations.tolist()} evaluations")
        if levels.ndim != 1 or not len(levels) or not bool((levels.diff() < 0).all()) or float(levels[-1]) <= 0:
            raise ValueError("the noise levels of reference runs must fall and be above 0")
        if latents.ndim < 2 or len(latents) != count:
            raise ValueError(f"{count} reference runs cannot end in latents {tuple(latents.shape)}")
        if predictions.shape != (count, len(levels), min(latents[0].numel(), MOST_VALUES)):
            raise ValueError(f"reference runs cannot have predictions {tuple(predictions.shape)}")
        runs = zip(latents, predictions, evaluations.tolist(), strict=True)
        return cls(levels, dict(zip(places.tolist(), (ReferenceRun(*run) for run in runs), strict=True)))
