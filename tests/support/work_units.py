"""How pytest-xdist shares out the tests: by the file, but a page of ComfyUI at a time, and long sweeps in parts."""

from __future__ import annotations

import re
import zlib

from xdist.scheduler.loadscope import LoadScopeScheduling

PAGE = re.compile(r"/browser/.*\[((?:classic|nodes2)-[\d.]+)")
SWEEPS, PARTS = ("test_every_model.py", "test_every_sampler.py"), 4


class WorkUnits(LoadScopeScheduling):
    """A worker takes one unit after another, those with the most tests first.

    A page with its server is opened once for all files of browser tests, and the tests of a sweep, which share nothing
    that is dear, end at about the same time on all workers.
    """

    def _split_scope(self, nodeid: str) -> str:
        return work_unit(nodeid)


def work_unit(nodeid: str) -> str:
    page = PAGE.search(nodeid)
    if page:
        return page[1]
    file = nodeid.split("::")[0]
    return f"{file} {zlib.crc32(nodeid.encode()) % PARTS}" if file.endswith(SWEEPS) else file
