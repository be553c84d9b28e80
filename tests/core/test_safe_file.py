"""Files are written whole, and read without trusting them."""

import json
import os
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hso_core import named_schedule
from hso_core.files.safe_file import FORMAT_VERSION, FileError, read_tensors, write_tensors
from hso_core.schedule.schedule_file import (
    MAX_BYTES,
    MAX_TEXT,
    describe_file,
    describe_other_model,
    model_metadata,
    read_schedule,
    write_schedule,
)
from hso_core.schedule.sigmas import check_sigmas

SIGMAS = torch.tensor([14.6146, 2.5, 0.4, 0.0])


def file_of(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """A .safetensors file made by hand."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def schedule_bytes(dtype: str, shape: list[int], data: bytes, **metadata: object) -> bytes:
    return file_of(
        {"sigmas": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}, "__metadata__": metadata}, data
    )


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "whole.safetensors"
    write_schedule(path, SIGMAS, {"note": "mine"})
    return path.read_bytes()


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "mine.safetensors"
    noise = named_schedule("flow:3")
    write_schedule(path, SIGMAS.double(), {"note": "für Ölbilder", **model_metadata(noise)})
    sigmas, metadata = read_schedule(path)
    assert torch.equal(sigmas, SIGMAS) and sigmas.dtype == torch.float32
    assert metadata["note"] == "für Ölbilder" and metadata["model_fingerprint"] == noise.fingerprint
    assert metadata["steps"] == "3" and metadata["format_version"] == str(FORMAT_VERSION)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.safetensors"]


def test_what_another_file_said_of_itself_does_not_count(tmp_path):
    """Its metadata may be handed on with other sigmas."""
    path = tmp_path / "part.safetensors"
    write_schedule(path, SIGMAS[1:], {"steps": "3", "kind": "calibration", "format_version": "99", "note": "mine"})
    sigmas, metadata = read_schedule(path)
    assert torch.equal(sigmas, SIGMAS[1:])
    assert metadata == {"kind": "schedule", "steps": "2", "format_version": str(FORMAT_VERSION), "note": "mine"}


def test_the_file_is_an_ordinary_one_for_everybody(tmp_path):
    """Other programs read it, and its permissions are those of any new file."""
    from safetensors import safe_open

    path, other = tmp_path / "mine.safetensors", tmp_path / "other"
    write_schedule(path, SIGMAS, {})
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode
    with safe_open(path, "pt") as file:
        assert torch.equal(file.get_tensor("sigmas"), SIGMAS) and file.metadata()["kind"] == "schedule"


@pytest.mark.parametrize("fails_at", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, fails_at):
    path = tmp_path / "mine.safetensors"
    write_schedule(path, SIGMAS, {})
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, fails_at, full)
    with pytest.raises(FileError, match="'mine.safetensors' cannot be written: No space left on device"):
        write_schedule(path, SIGMAS / 2, {})
    monkeypatch.undo()
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_nonsense_is_not_written(tmp_path):
    with pytest.raises(FileError, match="no schedule: value 2 is nan"):
        write_schedule(tmp_path / "a", torch.tensor([1.0, float("nan"), 0.0]), {})
    with pytest.raises(FileError, match="its notes have 100,004 characters"):
        write_schedule(tmp_path / "a", SIGMAS, {"note": "x" * MAX_TEXT})
    with pytest.raises(FileError, match="cannot be written"):
        write_schedule(tmp_path / "missing" / "a", SIGMAS, {})
    with pytest.raises(FileError, match="cannot be written"):
        write_schedule(tmp_path / "a\0b", SIGMAS, {})
    assert not list(tmp_path.iterdir())


def test_the_largest_that_may_be_written_can_be_read(tmp_path):
    path = tmp_path / "large.safetensors"
    write_schedule(path, torch.arange(10_000, -1, -1).float(), {"note": "\x01" * (MAX_TEXT - 4)})  # JSON: six for one
    assert len(read_schedule(path)[0]) == 10_001


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged or cut: it has only 0 bytes"),
        (b"PK\x03\x04" + bytes(300), "its header does not fit into it"),
        (b"\xff" * 64, "its header does not fit into it"),
        (file_of(b"{}", length=2**63), "its header does not fit into it"),
        (file_of(b"not json"), "its header cannot be read"),
        (file_of(b"[" * 200_000), "its header cannot be read"),
        (file_of(b"\xff\xfe{}"), "its header cannot be read"),
        (file_of([1, 2]), "its metadata are not texts"),
        (file_of({"__metadata__": {"steps": 3}}), "its metadata are not texts"),
        (file_of({"__metadata__": "text"}), "its metadata are not texts"),
        (file_of({}), "holds no schedule"),
        (file_of({"__metadata__": {"kind": "calibration"}}), "holds no schedule, but a calibration"),
        (bytes(MAX_BYTES + 1), "larger than 1,048,576 bytes"),
        (schedule_bytes("F32", [3], floats(3, 1, 0), format_version="2"), "has format version 2.* update the pack"),
        (schedule_bytes("F32", [3], floats(3, 1, 0), format_version="²"), "which is not a number from 1 on"),
        (schedule_bytes("F32", [3], floats(3, 1, 0), format_version="9" * 5000), "which is not a number from 1 on"),
        (schedule_bytes("F32", [3], floats(3, 1, 0), steps="7"), "it says 7 steps, and has sigmas for 2"),
        (schedule_bytes("F64", [1], struct.pack("<d", 1)), "are float64; they must be float32"),
        (schedule_bytes("F32", [4], floats(3, 1, 0)), "damaged or cut"),
        (schedule_bytes("F32", [-3], floats(3, 1, 0)), "damaged or cut"),
        (schedule_bytes("F32", [2**62, 2**62], floats(3, 1, 0)), "damaged or cut"),
        (schedule_bytes("PICKLE", [3], floats(3, 1, 0)), "damaged or cut"),
        (schedule_bytes("F32", [1, 3], floats(3, 1, 0)), r"not shape \(1, 3\)"),
        (schedule_bytes("F32", [1], floats(3)), "at least 2 sigmas"),
        (schedule_bytes("F32", [3], floats(1, 3, 0)), "value 2 .3. is not below value 1"),
        (schedule_bytes("F32", [3], floats(3, float("nan"), 0)), "value 2 is nan"),
        (schedule_bytes("F32", [3], floats(float("inf"), 1, 0)), "value 1 is inf"),
        (schedule_bytes("F32", [3], floats(3, 1, -1)), "a sigma is never negative"),
        (schedule_bytes("F32", [10_002], bytes(4 * 10_002)), "has 10002 sigmas; a schedule has at most 10001"),
    ],
)  # fmt: skip
def test_a_hostile_file_gives_one_clear_sentence(tmp_path, content, message):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileError, match=message) as caught:
        read_schedule(path)
    text = str(caught.value)
    assert "bad.safetensors" in text and "\n" not in text and len(text) < 250


def test_a_file_cut_anywhere_is_refused(tmp_path, whole):
    path = tmp_path / "cut.safetensors"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError, match="cut.safetensors"):
            read_schedule(path)


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_file_with_a_wrong_byte_is_a_schedule_or_refused(tmp_path_factory, whole, place, byte):
    content = bytearray(whole)
    content[place % len(content)] = byte
    path = tmp_path_factory.getbasetemp() / "wrong.safetensors"
    path.write_bytes(content)
    try:
        sigmas, _ = read_schedule(path)
    except FileError as error:
        assert len(str(error)) < 300
    else:
        check_sigmas(sigmas)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(FileError, match="'none' cannot be read: No such file"):
        read_schedule(tmp_path / "none")
    with pytest.raises(FileError, match="cannot be read"):
        read_schedule(tmp_path / "a\0b")
    with pytest.raises(FileError):
        read_schedule(tmp_path)  # a folder
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(FileError, match="'pipe' is not an ordinary file"):
            read_schedule(tmp_path / "pipe")


def test_a_file_of_another_program_needs_no_metadata(tmp_path):
    path = tmp_path / "plain.safetensors"
    path.write_bytes(file_of({"sigmas": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}, floats(3, 1, 0)))
    sigmas, metadata = read_schedule(path)
    assert sigmas.tolist() == [3, 1, 0] and metadata == {}


def test_tensors_that_share_memory_or_lie_crosswise_are_written(tmp_path):
    matrix = torch.arange(6.0).reshape(2, 3)
    write_tensors(tmp_path / "t", {"a": matrix.T, "b": matrix[0], "c": torch.zeros(())}, {"x": "y"})
    tensors, metadata = read_tensors(tmp_path / "t", 10_000)
    assert torch.equal(tensors["a"], matrix.T) and torch.equal(tensors["b"], matrix[0]) and tensors["c"].shape == ()
    assert metadata["x"] == "y"


def test_another_model_is_described():
    sd, flow = named_schedule("sd15"), named_schedule("flow:3")
    assert describe_other_model(model_metadata(sd), sd) is None
    assert describe_other_model({}, sd) is None
    assert "made for another noise schedule (vp, largest sigma 14.6146) than the connected model's (flow, 1)" in (
        describe_other_model(model_metadata(sd), flow)
    )
    of_its_family = describe_other_model(model_metadata(sd), named_schedule("ddpm"))
    assert (
        "made for another noise schedule (vp, largest sigma 14.6146) than the connected model's (vp, " in of_its_family
    )


def test_what_was_written_of_a_schedule_is_all_told():
    told = describe_file(SIGMAS, {"note": "for portraits", "report": "A table."}, "mine")
    assert "\n\nNote that was saved with it:\n\nfor portraits" in told
    assert told.endswith("\n\nReport that was saved with it:\n\nA table.")
