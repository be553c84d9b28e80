"""A real ComfyUI page in a real browser: two versions of the page, each with both of its ways to draw nodes.

What lives long here ends with this folder's tests: Playwright runs an event loop, beside which asyncio.run() would
refuse to run in the tests that follow.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

import workbench
from comfy_page import FRONTENDS, RENDERERS, ComfyPage, browser
from comfy_server import ComfyServer

ARTIFACTS = workbench.REPOSITORY / "tests" / "artifacts" / "browser"
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture(scope="package")
def chromium() -> Iterator[object]:
    if not workbench.chromium():
        pytest.fail("run 'python3 dev.py setup' first: there is no Chromium or Chrome")
    with browser() as running:
        yield running


@pytest.fixture(scope="package", params=list(FRONTENDS))
def page_server(request: pytest.FixtureRequest) -> Iterator[tuple[str, ComfyServer]]:
    """A version of the page, and a server that serves it."""
    root = FRONTENDS[request.param]
    if root and not root.is_dir():
        pytest.fail(f"run 'python3 dev.py setup' first: there is no {root.name}")
    with ComfyServer(
        workbench.node_packs(),
        extra_arguments=["--front-end-root", str(root)] if root else [],
        environment={
            workbench.WEIGHTS_VARIABLE: str(workbench.demo_weights()),
            "OMP_NUM_THREADS": "1",
            "COVERAGE_PROCESS_CONFIG": "",  # not measured: what it runs of the pack is run by tests/server, too
        },
    ) as running:
        yield request.param, running


@pytest.fixture(scope="package", params=RENDERERS)
def page_of_folder(
    request: pytest.FixtureRequest, page_server: tuple[str, ComfyServer], chromium: object
) -> Iterator[ComfyPage]:
    version, server = page_server
    page = ComfyPage(chromium, server, request.param)
    if FRONTENDS[version]:  # the other one is the host's own, whatever HSO_COMFYUI names
        assert page.page.evaluate("() => window.__COMFYUI_FRONTEND_VERSION__") == version
    yield page
    page.close()


@pytest.fixture
def comfy(request: pytest.FixtureRequest, page_of_folder: ComfyPage) -> Iterator[ComfyPage]:
    """The page. It is the same one for many tests: each opens its own workflow. A test that leaves an error fails.

    One that fails leaves a picture of the page, and a new page to the next.
    """
    page_of_folder.errors.clear()
    yield page_of_folder
    if request.node.stash.get(FAILED, False):
        page_of_folder.picture(ARTIFACTS / f"{request.node.name}.png")
        page_of_folder.load()
    page_of_folder.settle()
    assert page_of_folder.errors == []
