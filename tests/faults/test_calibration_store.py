"""Remembered calibrations whose files were cut, changed or swapped: used when whole, else announced and made anew."""

from __future__ import annotations

import importlib
import random
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from hso_core.calibration.profile import Profile
from hso_core.safe_file import write_tensors

KEY = "0123456789abcdef"
PROFILE = {
    "sigmas": torch.tensor([14.6, 4.0, 1.0]),
    "gram": torch.eye(4),
    "data_scale": torch.tensor([0.5]),
    "seeds": torch.tensor([3]),
}


@pytest.fixture
def store(pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    host = sys.modules[pack.__name__ + ".nodes.host"]
    monkeypatch.setattr(host, "user_folder", lambda: tmp_path)

    return importlib.import_module(pack.__name__ + ".nodes.calibration_store")


@pytest.fixture
def kept(store: Any) -> Path:
    sigmas = torch.tensor([14.6, 4.0, 1.0, 0.0])
    store.store(KEY, store.StoredCalibration(sigmas, "search", "report", 10, True, PROFILE))
    assert store.recall(KEY).sigmas.tolist() == sigmas.tolist()
    return store.file_of(KEY)


def test_cuts_and_flipped_bits(store, kept, figure):
    content, generator, lost = kept.read_bytes(), random.Random(0), 0
    variants = [content[:length] for length in range(0, len(content), 11)]
    for _ in range(800):
        changed = bytearray(content)
        changed[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        variants.append(bytes(changed))
    for variant in variants:
        kept.write_bytes(variant)
        found = store.recall(KEY)
        lost += found is None
        if found is not None:
            assert bool(found.sigmas.isfinite().all()) and bool((found.sigmas.diff() < 0).all())
    assert lost > 100
    figure("hostile input: files", len(variants))


def test_a_newer_format_is_announced_and_counts_as_none(store, kept, caplog):
    write_tensors(kept, {"sigmas": torch.tensor([3.0, 0.0])}, {"format_version": "99", "kind": "calibration"})
    assert store.recall(KEY) is None
    assert "has format version 99" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        {"sigmas": torch.tensor(3.0)},
        {"gram": torch.eye(3)},
        {"gram": torch.full((4, 4), torch.nan)},
        {"data_scale": torch.tensor([1.0, 2.0])},
        {"data_scale": torch.tensor([])},
        {"seeds": torch.tensor([1, 2])},
        {"seeds": torch.tensor([torch.nan])},
        {"sigmas": torch.tensor([[14.6], [4.0], [1.0]])},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_wrong_profile_raises_what_its_readers_expect(change):
    with pytest.raises((KeyError, ValueError)):
        Profile.from_tensors({**PROFILE, **change})
