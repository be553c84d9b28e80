"""How pytest-xdist shares out the tests: by the file, but a page of ComfyUI at a time, and long sweeps in parts."""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection

from xdist.scheduler.loadscope import LoadScopeScheduling
from xdist.workermanage import WorkerController

PAGE = re.compile(r"/browser/.*\[((?:classic|nodes2)-[\d.]+)")
SWEEPS, PARTS = ("test_every_model.py", "test_every_sampler.py"), 4
PAGES = 2  # that are open at a time: each has a browser and a server, which are busy at times and wait at others


class WorkUnits(LoadScopeScheduling):
    """A worker takes one unit after another, pages and sweeps first, then those with the most tests.

    A page with its server is opened once for all files of browser tests, and the tests of a sweep, which share nothing
    that is dear, end at about the same time on all workers.
    """

    def _split_scope(self, nodeid: str) -> str:
        return work_unit(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        under_way = [
            unit for units in self.assigned_work.values() for unit, tests in units.items() if not all(tests.values())
        ]
        self.workqueue.move_to_end(next_unit(self.workqueue, under_way), last=False)
        super()._assign_work_unit(node)


def work_unit(nodeid: str) -> str:
    page = PAGE.search(nodeid)
    if page:
        return page[1]
    file = nodeid.split("::")[0]
    return f"{file} {zlib.crc32(nodeid.encode()) % PARTS}" if file.endswith(SWEEPS) else file


def next_unit(waiting: Collection[str], under_way: Collection[str]) -> str:
    """Which of those that wait is begun: a page where one may be opened, else a sweep, else the first."""

    def rank(unit: str) -> int:
        if _is_page(unit):
            return 0 if sum(map(_is_page, under_way)) < PAGES else 3
        return 1 if unit.split()[0].endswith(SWEEPS) else 2

    return min(waiting, key=rank)


def _is_page(unit: str) -> bool:
    return not unit.split()[0].endswith(".py")
