"""Remembered calibrations whose files were cut, changed or swapped: used when whole, else announced and made anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from damaged import damaged

KEY = "0123456789abcdef"


@pytest.fixture
def store(nodes_module: Any) -> Any:
    return nodes_module("calibration_store")


@pytest.fixture
def kept(store: Any) -> Path:
    sigmas = torch.tensor([14.6, 4.0, 1.0, 0.0])
    store.store(KEY, store.StoredCalibration(sigmas, "search", "report", 10, True))
    assert store.recall(KEY).sigmas.tolist() == sigmas.tolist()
    return store.SHELF.file_of(KEY)


def test_cuts_and_flipped_bits(store, kept, figure):
    variants, lost = damaged(kept.read_bytes()), 0
    for variant in variants:
        kept.write_bytes(variant)
        found = store.recall(KEY)
        lost += found is None
        if found is not None:
            assert bool(found.sigmas.isfinite().all()) and bool((found.sigmas.diff() < 0).all())
    assert lost > 100
    figure("hostile input: files", len(variants))


def test_a_newer_format_is_announced_and_counts_as_none(store, kept, caplog):
    save_file({"sigmas": torch.tensor([3.0, 0.0])}, kept, {"format_version": "99", "kind": "calibration"})
    assert store.recall(KEY) is None
    assert "has format version 99" in caplog.text
