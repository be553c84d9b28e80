"""Remembered reference runs whose files were cut, changed or swapped, or cannot be written: they count as none."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from damaged import damaged
from hso_core.calibration import ReferenceRuns
from hso_core.calibration.reference_runs import ReferenceRun

KEY = "0123456789abcdef"
RUN = SimpleNamespace(shape=(4, 2, 2))


def runs(count: int = 3, values: tuple[int, ...] = (4, 2, 2)) -> ReferenceRuns:
    generator = torch.Generator().manual_seed(0)
    kept = min(torch.Size(values).numel(), 4096)

    def run() -> ReferenceRun:
        return ReferenceRun(torch.randn(values, generator=generator), torch.randn(2, kept, generator=generator), 36)

    return ReferenceRuns(torch.tensor([14.6, 1.0]), {place: run() for place in range(count)})


@pytest.fixture
def store(nodes_module: Any) -> Any:
    return nodes_module("measuring.reference_store")


@pytest.fixture
def kept(store: Any) -> Path:
    store.store(KEY, runs())
    return store.SHELF.file_of(KEY)


def same(found: Any, expected: ReferenceRuns) -> bool:
    tensors, others = found.to_tensors(), expected.to_tensors()
    return all(tensors[name].equal(others[name]) for name in others)


def test_whole_files_come_back_exactly(store, kept, caplog):
    assert same(store.recall(KEY, RUN), runs())
    assert store.recall("f" * 16, RUN) is None and not caplog.text


def test_cuts_and_flipped_bits(store, kept, caplog, figure):
    """A changed file is never used, unless the change is one that says nothing."""
    variants, lost = damaged(kept.read_bytes()), 0
    for variant in variants:
        kept.write_bytes(variant)
        found = store.recall(KEY, RUN)
        lost += found is None
        assert found is None or same(found, runs())
    assert lost > 0.95 * len(variants) and caplog.text.count("a remembered reference cannot be used") == lost
    figure("hostile input: files", len(variants))


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({}, {"format_version": "99"}, "has format version 99"),
        ({}, {"kind": "calibration"}, "holds no reference"),
        ({}, {}, "checksum"),
        ({"latents": torch.full((3, 4, 2, 2), torch.nan)}, None, "must hold finite float32 values"),
        ({"latents": torch.zeros(3, 4, 4, 1)}, None, "latents of another size"),
        ({"latents": torch.zeros(2, 4, 2, 2)}, None, "cannot end in latents"),
    ],
    ids=str,
)
def test_other_contents_are_announced_and_count_as_none(store, kept, caplog, tensors, metadata, message):
    changed = {**runs().to_tensors(), **tensors}
    if metadata is None:
        store.SHELF.store(KEY, changed, {})
    else:
        save_file(changed, kept, {"kind": "reference", **metadata})
    assert store.recall(KEY, RUN) is None
    assert message in caplog.text


def test_a_file_that_cannot_be_read_counts_as_none(store, kept, caplog):
    kept.unlink()
    kept.mkdir()
    assert store.recall(KEY, RUN) is None
    assert "cannot be used and is made anew" in caplog.text


def test_a_full_disk_costs_only_the_memory(store, kept, nodes_module, monkeypatch, caplog):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(nodes_module("measuring.shelf").read_tensors.__globals__["os"], "fsync", full)
    store.store(KEY, runs(5))
    assert "a reference could not be kept" in caplog.text and "No space left on device" in caplog.text
    assert same(store.recall(KEY, RUN), runs()) and [file.name for file in kept.parent.iterdir()] == [kept.name]


def test_a_folder_that_cannot_be_made_costs_only_the_memory(store, tmp_path, caplog):
    (tmp_path / "hso").write_text("in the way")
    store.store(KEY, runs())
    assert "a reference could not be kept" in caplog.text
    assert store.recall(KEY, RUN) is None


def shelf_of(store: Any, monkeypatch: pytest.MonkeyPatch, **limits: int) -> Any:
    shelf = type(store.SHELF)("reference", **{"file_bytes": 1 << 20, "total_bytes": 1 << 20, **limits})
    monkeypatch.setattr(store, "SHELF", shelf)
    return shelf


def test_of_what_is_too_large_the_first_seeds_are_kept(store, monkeypatch, caplog):
    shelf_of(store, monkeypatch, file_bytes=store.HEADER_BYTES + 100_000)
    large = runs(9, (4, 32, 32))  # 49 152 bytes each
    store.store(KEY, large)
    assert list(store.recall(KEY, SimpleNamespace(shape=(4, 32, 32))).by_place) == [0, 1]
    store.store("f" * 16, runs(1, (16, 64, 64)))
    assert not store.SHELF.file_of("f" * 16).exists() and not caplog.text


def test_the_oldest_go(store, kept, monkeypatch):
    left, other = kept.with_name(".0123.tmp"), kept.with_name("a note.txt")
    left.write_bytes(b"x" * 100)  # by a process that was killed
    other.write_bytes(b"x" * 10_000)
    files = [store.SHELF.file_of(name) for name in "abcd"]
    for age, file in enumerate([*files, left]):
        if file is not left:
            store.store(file.stem, runs())
        os.utime(file, (1e9 - age, 1e9 - age))
    shelf_of(store, monkeypatch, total_bytes=3 * kept.stat().st_size)
    store.store("e", runs())
    assert set(kept.parent.iterdir()) == {store.SHELF.file_of("e"), kept, files[0], other}


def test_a_file_that_another_server_removes_meanwhile_is_no_failure(store, kept, monkeypatch, caplog):
    gone, listed = kept.with_name("gone.safetensors"), Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter([gone, *listed(folder)]))
    store.store("e", runs())
    assert not caplog.text and same(store.recall("e", RUN), runs())
