"""Remembered calibrations whose files were cut, changed or swapped: used when whole, else announced and made anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from damaged import damaged
from hso_core import named_schedule

KEY = "0123456789abcdef"
NOISE = named_schedule("sd15")
RESULT = (torch.tensor([14.6, 4.0, 1.0, 0.0]), "search", "A report: 14.6", 10, True, None)


@pytest.fixture
def store(nodes_module: Any) -> Any:
    return nodes_module("measuring.calibration_store")


@pytest.fixture
def kept(store: Any) -> Path:
    store.store(KEY, store.StoredCalibration(*RESULT))
    assert same(store.recall(KEY, NOISE))
    return store.SHELF.file_of(KEY)


def same(found: Any) -> bool:
    sigmas, *others = RESULT
    return bool(torch.equal(found.sigmas, sigmas)) and list(vars(found).values())[1:] == others


def test_cuts_and_flipped_bits(store, kept, caplog, figure):
    """A changed file is never used, unless the change is one that says nothing."""
    variants, lost = damaged(kept.read_bytes()), 0
    for variant in variants:
        kept.write_bytes(variant)
        found = store.recall(KEY, NOISE)
        lost += found is None
        assert found is None or same(found)
    assert lost > 0.9 * len(variants) and caplog.text.count("a remembered calibration cannot be used") == lost
    figure("hostile input: files", len(variants))


@pytest.mark.parametrize("strengths", [None, (0.97, 1.02, 1.0)])
def test_a_fitted_sampler_comes_back_as_it_was(store, strengths):
    sigmas, *others, _ = RESULT
    solver = store.LinearMultistep(sigmas, torch.tensor([[1, 0, 0], [-0.5, 1.5, 0], [0.1, -0.4, 1.3]]).double())
    if strengths:
        solver = store.LinearMultistep(sigmas, solver.weights, torch.tensor(strengths).double())
    store.store(KEY, store.StoredCalibration(sigmas, *others, solver))

    found = store.recall(KEY, NOISE).solver

    assert all(torch.equal(getattr(found, name), getattr(solver, name)) for name in ("sigmas", "weights", "strengths"))


def test_a_fitted_sampler_that_is_none_is_announced_and_counts_as_none(store, kept, caplog):
    tensors = {"sigmas": RESULT[0], "weights": 2 * torch.eye(3).double()}
    store.SHELF.store(KEY, tensors, {"winner": "a", "report": "b", "evaluations": "1", "complete": "true"})
    assert store.recall(KEY, NOISE) is None
    assert "the weights of step 1 have the sum 2; it must be 1" in caplog.text


def test_a_newer_format_is_announced_and_counts_as_none(store, kept, caplog):
    save_file({"sigmas": torch.tensor([3.0, 0.0])}, kept, {"format_version": "99", "kind": "calibration"})
    assert store.recall(KEY, NOISE) is None
    assert "has format version 99" in caplog.text


def test_a_schedule_of_another_models_noise_is_announced_and_counts_as_none(store, caplog):
    sigmas, *others = RESULT
    store.store(KEY, store.StoredCalibration(torch.cat([torch.tensor([700.0]), sigmas[1:]]), *others))
    assert store.recall(KEY, NOISE) is None
    assert "the schedule starts at sigma 700, but the largest of this model is 14.6" in caplog.text
