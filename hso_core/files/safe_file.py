"""Tensors in .safetensors files: written whole or not at all, read without trusting them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

FORMAT_VERSION = 1  # of all files of this pack; a reader refuses a newer one
VERSION_KEY = "format_version"
LENGTH_BYTES = 8  # a file starts with the length of its header, little-endian


class FileError(ValueError):
    """A file that cannot be written or used; the message names it and says what is wrong."""


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write `tensors` and `metadata` (texts) as one .safetensors file; a failure leaves what was there before.

    The format's version is added to the metadata. Raises FileError.
    """
    path = Path(path)
    plain = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    content = safetensors.torch.save(plain, {**metadata, VERSION_KEY: str(FORMAT_VERSION)})
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")  # the same folder: a rename there is atomic
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, ValueError) as error:  # ValueError: NUL in the name
        raise FileError(f"{path.name!r} cannot be written: {_reason(error)}") from error
    finally:
        _remove(temporary)


def read_tensors(
    path: str | os.PathLike[str], max_bytes: int, newest: int = FORMAT_VERSION
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a .safetensors file of at most `max_bytes`.

    Raises FileError for a file that is missing, too large, cut, damaged or of a format after `newest`.
    """
    name, content = Path(path).name, read_bytes(path, max_bytes)
    metadata = _metadata(name, content)
    _check_version(name, metadata, newest)
    try:
        tensors = safetensors.torch.load(content)
    except Exception as error:  # the library raises several kinds, none of which a user can do anything with
        raise FileError(f"{name!r} is damaged or cut: {_one_line(error)}") from error
    return tensors, metadata


def read_bytes(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """The content of an ordinary file of at most `max_bytes`, of which no more is read. Raises FileError."""
    name = Path(path).name
    try:
        # Non-blocking, because opening a named pipe would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise FileError(f"{name!r} is not an ordinary file")
            content = file.read(max_bytes + 1) if state.st_size <= max_bytes else None
    except FileError:
        raise
    except (OSError, ValueError) as error:
        raise FileError(f"{name!r} cannot be read: {_reason(error)}") from error
    if content is None or len(content) > max_bytes:
        raise FileError(f"{name!r} is larger than {max_bytes:,} bytes: it is not a file of this kind")
    return content


def _metadata(name: str, content: bytes) -> dict[str, str]:
    if len(content) < LENGTH_BYTES:
        raise FileError(f"{name!r} is damaged or cut: it has only {len(content)} bytes")
    length = int.from_bytes(content[:LENGTH_BYTES], "little")
    if length > len(content) - LENGTH_BYTES:
        raise FileError(f"{name!r} is damaged or cut, or no .safetensors file: its header does not fit into it")
    try:
        header = json.loads(content[LENGTH_BYTES : LENGTH_BYTES + length])
    except (ValueError, RecursionError) as error:
        raise FileError(f"{name!r} is damaged, or no .safetensors file: its header cannot be read") from error
    metadata: Any = header.get("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FileError(f"{name!r} is damaged, or no .safetensors file: its metadata are not texts")
    return metadata


def _check_version(name: str, metadata: dict[str, str], newest: int) -> None:
    text = metadata.get(VERSION_KEY)
    if text is None:  # made by another program
        return
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= 1):
        raise FileError(f"{name!r} has the format version {text[:20]!r}, which is not a number from 1 on")
    if int(text) > newest:
        raise FileError(
            f"{name!r} has format version {text}, and this version of the pack reads up to {newest}: update the pack"
        )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or _one_line(error)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError, ValueError):  # then it was never made
        path.unlink(missing_ok=True)
