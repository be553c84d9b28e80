"""What a piece of code does beside its result: the files it opens, the programs it runs, how much it calls."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RUNS = {
    "os.system",
    "subprocess.Popen",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "exec",
    "pickle.find_class",
}
CHANGES = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
PATHS = (str, bytes, os.PathLike)
CONNECTS = {"socket.connect", "socket.bind", "urllib.Request"}

_watchers: list[Watch] = []


class Watch:
    """Collects what goes against the rules while it is on: nothing is run, and no file outside `allowed` is changed."""

    def __init__(self, allowed: Path | None) -> None:
        self.allowed = allowed
        self.violations: list[str] = []

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in RUNS | CONNECTS:
            self.violations.append(f"{event} {arguments!r:.200}")
        elif event == "open":
            path, mode, flags = (*arguments, None, None)[:3]
            writes = any(c in (mode or "") for c in "wax+") or bool((flags or 0) & (os.O_WRONLY | os.O_RDWR))
            if writes and not self._inside(path):
                self.violations.append(f"open {path!r} for writing")
        elif event in CHANGES and not all(
            self._inside(a) for a in arguments if isinstance(a, (str, bytes, os.PathLike))
        ):
            self.violations.append(f"{event} {arguments!r:.200}")

    def _inside(self, path: Any) -> bool:
        if self.allowed is None or not isinstance(path, PATHS):
            return isinstance(path, int)  # an open descriptor was checked when it was opened
        return Path(os.path.realpath(os.fsdecode(path))).is_relative_to(self.allowed.resolve())


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    for watcher in _watchers:
        watcher.see(event, arguments)


sys.addaudithook(_hook)  # for good: Python has no way to take one off


@contextmanager
def watched(allowed: Path | None = None) -> Iterator[Watch]:
    """Fail when the block runs code or programs, uses the network, or changes a file outside `allowed`."""
    watch = Watch(allowed)
    _watchers.append(watch)
    try:
        yield watch
    finally:
        _watchers.remove(watch)
    assert not watch.violations, watch.violations[:3]


class Effort:
    """What the most laborious of some blocks took.

    calls: functions called, Python's own and built-in ones; the same on every machine, however busy it is.
    seconds: processor time, for what happens inside one call, such as a regular expression that goes back and forth.
    """

    def __init__(self) -> None:
        self.blocks = 0
        self.calls = 0
        self.seconds = 0.0

    @contextmanager
    def once(self) -> Iterator[None]:
        events = itertools.count()  # two for each call
        before, began = sys.getprofile(), time.thread_time()
        sys.setprofile(lambda *_: next(events))
        try:
            yield
        finally:
            sys.setprofile(before)
            self.blocks += 1
            self.calls = max(self.calls, next(events) // 2)
            self.seconds = max(self.seconds, time.thread_time() - began)
