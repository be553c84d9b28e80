"""The helper that starts servers: it always cleans up, and says why a server did not come up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
from pathlib import Path

import pytest

import comfy_server
import demo_prompts
import workbench
from comfy_server import ComfyServer, PortBusy, PromptInterrupted, ServerError


@pytest.fixture(autouse=True)
def without_coverage(monkeypatch: pytest.MonkeyPatch) -> None:
    """These servers run nothing of the pack, and start sooner where no coverage is measured."""
    monkeypatch.setenv("COVERAGE_PROCESS_CONFIG", "")


@pytest.fixture
def temporary_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this test's own for everything temporary."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_unknown_argument_is_reported_with_the_servers_words(temporary_folders: Path) -> None:
    with pytest.raises(ServerError, match="unrecognized arguments: --no-such-option") as failure:
        ComfyServer(extra_arguments=["--no-such-option"]).start()
    assert "exit status 2" in str(failure.value)
    assert not list(temporary_folders.iterdir())


def test_busy_port_is_reported_before_anything_starts(temporary_folders: Path) -> None:
    with socket.socket() as other:
        other.bind((comfy_server.ADDRESS, 0))
        other.listen()
        server = ComfyServer(port=other.getsockname()[1])
        with pytest.raises(PortBusy, match="is in use"):
            server.start()
    assert not server.running
    assert not list(temporary_folders.iterdir())


def test_server_and_its_folder_go_when_the_block_fails(temporary_folders: Path) -> None:
    server = ComfyServer()
    with pytest.raises(ZeroDivisionError), server:
        address, process = server.url, server._process
        assert server.base_directory.parent == temporary_folders
        assert server.get("/system_stats")["system"]["argv"][1:2] == ["--cpu"]
        raise ZeroDivisionError
    assert process.poll() is not None
    assert not list(temporary_folders.iterdir())
    assert comfy_server.port_is_free(int(address.rsplit(":", 1)[1]))


@pytest.mark.skipif(os.name != "posix", reason="kills with a signal that only POSIX systems have")
def test_server_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from comfy_server import ComfyServer\n"
        f"server = ComfyServer(base_directory=Path({str(tmp_path)!r})); server.start()\n"
        "print(server.port, flush=True); time.sleep(600)"
    )
    support = str(workbench.REPOSITORY / "tests/support")
    environment = {**os.environ, "PYTHONPATH": support}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as parent:
        port = int(parent.stdout.readline())
        assert not comfy_server.port_is_free(port)
        parent.kill()
    latest = time.monotonic() + comfy_server.PATIENCE
    while not comfy_server.port_is_free(port):
        assert time.monotonic() < latest, "the server lives on without its parent"
        time.sleep(comfy_server.POLL_SECONDS)


def test_cancelled_prompt_is_reported_as_such(server: ComfyServer) -> None:
    prompt_id = server.queue(demo_prompts.ksampler_prompt("euler", "normal", 10_000, seed=99, batch_size=1))
    server.wait_until_running()
    time.sleep(0.3)  # into the sampling
    server.interrupt()

    with pytest.raises(PromptInterrupted, match="cancelled"):
        server.wait(prompt_id)
    assert demo_prompts.sample(server, demo_prompts.ksampler_prompt()).shape == (4, 1, 32, 32)


def test_object_info_of_one_node_and_of_all(server: ComfyServer) -> None:
    assert server.object_info("HSODemoModel")["output"] == ["MODEL", "CONDITIONING"]
    assert {"KSampler", "BasicScheduler", "HSODemoLatent", "HSODemoImage"} <= server.object_info().keys()
    with pytest.raises(KeyError):
        server.object_info("NoSuchNode")


def test_failed_request_keeps_its_status(server: ComfyServer) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        server.get("/no/such/page")
