"""What a node says of a wrong input."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def named_errors(node: str) -> Iterator[None]:
    """Put the node's name in front of the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{node}: {error}") from error


def check_choice(name: str, value: Any, options: Collection[str]) -> None:
    """Raises ValueError unless `value` is one of a list's options: ComfyUI itself checks no list of such a node."""
    if value not in list(options):  # a list, because a hostile value may not be hashable
        raise ValueError(f"{name} is {str(value)[:60]!r}; it must be one of {', '.join(options)}")
