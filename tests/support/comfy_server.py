"""A real ComfyUI server as a child process, and its HTTP interface in a few calls.

    with ComfyServer(node_packs={"my-pack": folder}) as server:
        entry = server.run(prompt)
        pictures = [server.fetch(file) for file in server.files(entry)]

Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import host_import

ADDRESS = "127.0.0.1"
LOG_LINES = 25
POLL_SECONDS = 0.05
PATIENCE = 600.0  # seconds for a server or a workflow that is never coming; a machine may be busy
ANSWER = 120.0  # seconds for one request


class ServerError(RuntimeError):
    """The server could not be started, or it stopped; `log` holds the last lines it wrote."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(f"{message}\n{log}" if log else message)
        self.log = log


class PortBusy(ServerError):
    """Another program listens on the port that was asked for."""


class PromptRejected(RuntimeError):
    """The server's validation refused the prompt.

    `error` is the server's summary (type, message, details); `node_errors` maps a node's id to its list of errors.
    """

    def __init__(self, error: Any, node_errors: Mapping[str, Any]) -> None:
        self.error = error
        self.node_errors = dict(node_errors)
        super().__init__(_describe_rejection(error, self.node_errors))


class PromptFailed(RuntimeError):
    """A node raised while the prompt ran; the text is the node's own exception message.

    `node_id`, `node_type` and `exception_type` say where; `traceback` is the server's list of lines.
    """

    def __init__(self, details: Mapping[str, Any]) -> None:
        self.details = dict(details)
        self.node_id = details.get("node_id")
        self.node_type = details.get("node_type")
        self.exception_type = details.get("exception_type")
        self.exception_message = str(details.get("exception_message", "")).strip()
        self.traceback = details.get("traceback", [])
        super().__init__(f"{self.node_type} (node {self.node_id}): {self.exception_message}")


class PromptInterrupted(PromptFailed):
    """The prompt was cancelled."""


class ComfyServer:
    """One ComfyUI server process with node packs mounted in an otherwise empty base directory.

    node_packs: folder name under custom_nodes -> folder of the pack (linked, not copied).
    port: the port to use; None takes a free one.
    base_directory: kept between runs when given; None makes a temporary one that goes with the process.
    extra_arguments: more arguments for ComfyUI's main.py.
    environment: variables to set for the server beside those of this process.
    python: the interpreter; None is the running one.
    """

    def __init__(
        self,
        node_packs: Mapping[str, Path] | None = None,
        *,
        port: int | None = None,
        base_directory: Path | None = None,
        extra_arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        python: Path | None = None,
    ) -> None:
        self.node_packs = dict(node_packs or {})
        self.port = port
        self.base_directory = base_directory
        self.extra_arguments = list(extra_arguments)
        self.environment = dict(environment or {})
        self.python = python or Path(sys.executable)
        self._process: subprocess.Popen[bytes] | None = None
        self._own_folders = contextlib.ExitStack()

    # ---- life of the process

    def __enter__(self) -> ComfyServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers; raise ServerError with the end of its log if it does not."""
        try:
            self._prepare_folders()
            self.port = self._choose_port()
            self._start_process()
            self.wait_until("the server answers", self._answers)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the process and remove what was temporary. May be called twice."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        self._own_folders.close()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def process_id(self) -> int:
        assert self._process is not None, "the server has not been started"
        return self._process.pid

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.port}"

    @property
    def output_directory(self) -> Path:
        assert self.base_directory is not None, "the server has not been started"
        return self.base_directory / "output"

    @property
    def log_file(self) -> Path:
        assert self.base_directory is not None, "the server has not been started"
        return self.base_directory / "server.log"

    def log(self) -> str:
        """Everything that the server has written so far."""
        return self.log_file.read_text("utf-8", "replace") if self.log_file.exists() else ""

    def log_tail(self, lines: int = LOG_LINES) -> str:
        return "\n".join(self.log().splitlines()[-lines:])

    def _prepare_folders(self) -> None:
        if self.base_directory is None:
            temporary = tempfile.mkdtemp(prefix="hso-server-")
            self.base_directory = Path(temporary)
            self._own_folders.callback(self._forget_base_directory)
        mounts = self.base_directory / "custom_nodes"
        mounts.mkdir(parents=True, exist_ok=True)
        for name, folder in self.node_packs.items():
            _link(mounts / name, folder.resolve())

    def _forget_base_directory(self) -> None:
        folder, self.base_directory = self.base_directory, None
        shutil.rmtree(folder, ignore_errors=True)  # removes links, never what they point to

    def _choose_port(self) -> int:
        if self.port is None:
            return free_port()
        if not port_is_free(self.port):
            raise PortBusy(f"Port {self.port} is in use by another program.")
        return self.port

    def _start_process(self) -> None:
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.PIPE,  # closes when this process dies: the launcher then ends itself
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, host_import.EXIT_WITH_PARENT_VARIABLE: "1", **self.environment},
                start_new_session=True,  # Ctrl-C reaches us first
            )

    def _command(self) -> list[str]:
        return [
            *(str(self.python), "-u", host_import.__file__, "main.py"),
            *("--cpu", "--listen", ADDRESS, "--port", str(self.port)),
            *("--base-directory", str(self.base_directory)),
            *("--database-url", "sqlite://", "--disable-api-nodes", "--disable-auto-launch"),
            *self.extra_arguments,
        ]

    def wait_until(self, what: str, happened: Callable[[], object]) -> None:
        """Ask again and again; raise ServerError if the server ends first, or when this has taken much too long.

        what: what is waited for, a sentence in the present.
        """
        latest = time.monotonic() + PATIENCE
        while not happened():
            self._check_alive()
            if time.monotonic() > latest:
                raise ServerError(f"Waited {PATIENCE:.0f} s until {what}; it did not happen.", self.log_tail())
            time.sleep(POLL_SECONDS)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            self.get("/system_stats")
            return True
        return False

    def _check_alive(self) -> None:
        if self._process is None:
            raise ServerError("The server is not running.")
        status = self._process.poll()
        if status is not None:
            raise ServerError(f"The server ended with exit status {status}.", self.log_tail())

    # ---- HTTP

    def get(self, path: str, timeout: float = ANSWER) -> Any:
        """JSON value of GET `path`."""
        return json.loads(self._request(path, None, timeout) or b"null")

    def post(self, path: str, body: Any = None, timeout: float = ANSWER) -> Any:
        """JSON value of POST `path` with `body` as JSON; None where the server answers with nothing."""
        return json.loads(self._request(path, json.dumps(body or {}).encode(), timeout) or b"null")

    def _request(self, path: str, body: bytes | None, timeout: float) -> bytes:
        request = urllib.request.Request(self.url + path, data=body, headers={"Content-Type": "application/json"})
        try:
            with _direct.open(request, timeout=timeout) as response:
                return response.read()
        except urllib.error.HTTPError:
            raise  # an answer, with a body to read
        except urllib.error.URLError as error:  # hides what happened in `reason`
            raise ConnectionError(f"{self.url}{path}: {error.reason}") from error

    def object_info(self, node: str | None = None) -> dict[str, Any]:
        """Description of every node, by id; of one node when its id is given (KeyError if there is none)."""
        return self.get(f"/object_info/{urllib.parse.quote(node)}")[node] if node else self.get("/object_info")

    # ---- prompts

    def queue(self, prompt: Mapping[str, Any], **extra: Any) -> str:
        """Post an API-format prompt and return its id; raise PromptRejected for whatever validation refuses.

        extra: further keys of the request, for example client_id.
        """
        try:
            answer = self.post("/prompt", {"prompt": prompt, **extra})
        except urllib.error.HTTPError as error:
            answer = json.loads(error.read() or b"{}")
            raise PromptRejected(answer.get("error"), answer.get("node_errors") or {}) from None
        if answer.get("node_errors"):  # the other outputs do run
            raise PromptRejected("some outputs were refused", answer["node_errors"])
        return answer["prompt_id"]

    def wait(self, prompt_id: str) -> dict[str, Any]:
        """History entry of a finished prompt (keys: prompt, outputs, status, meta); raise PromptFailed if it failed."""
        entry: dict[str, Any] = {}

        def finished() -> bool:
            with contextlib.suppress(ConnectionError, TimeoutError):  # it died just now, or it is very busy
                entry.update(self.get(f"/history/{prompt_id}").get(prompt_id) or {})
            return bool(entry)

        self.wait_until("the workflow ends", finished)
        _raise_for_status(entry)
        return entry

    def wait_until_running(self) -> None:
        """Wait until the server works on a prompt."""
        self.wait_until("a workflow begins", lambda: self.get("/queue")["queue_running"])

    def run(self, prompt: Mapping[str, Any]) -> dict[str, Any]:
        """queue() and wait() in one."""
        return self.wait(self.queue(prompt))

    def interrupt(self) -> None:
        """Cancel the running prompt, as the Cancel button does."""
        self.post("/interrupt")

    def download(self, path: str) -> bytes:
        """Content of GET `path`."""
        return self._request(path, None, ANSWER)

    def fetch(self, file: Mapping[str, str]) -> bytes:
        """Bytes of a saved file, described as in a history entry: filename, subfolder, type."""
        return self.download("/view?" + urllib.parse.urlencode(file))

    @staticmethod
    def files(entry: Mapping[str, Any], kind: str = "images") -> list[dict[str, str]]:
        """Descriptions of the files of one kind ("images", "latents") that the entry's nodes saved, in their order."""
        return [file for output in entry["outputs"].values() for file in output.get(kind, [])]

    @staticmethod
    def texts(entry: Mapping[str, Any]) -> list[str]:
        """Texts that the entry's nodes (Preview as Text) showed."""
        return [str(text) for output in entry["outputs"].values() for text in output.get("text", [])]


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return probe.getsockname()[1]


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed connection may linger
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


# The server is on this machine: a proxy set in the environment has no part in it.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _link(link: Path, target: Path) -> None:
    if link.is_symlink():
        link.unlink()
    try:
        link.symlink_to(target, target_is_directory=True)
    except OSError as error:
        raise ServerError(f"Could not link {link} to {target} ({error.strerror}).") from error


def _end(process: subprocess.Popen[bytes], patience: float = 30.0) -> None:
    _signal_group(process, "SIGTERM")
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        _signal_group(process, "SIGKILL")
        process.wait()
    if process.stdin is not None:
        process.stdin.close()  # last: the launcher ends itself then, and two ends at once spoil its file of coverage


def _signal_group(process: subprocess.Popen[bytes], name: str) -> None:
    """Signal the server and whatever it started; on Windows, which has no groups of this kind, the server alone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, getattr(signal, name))
        else:
            process.kill()


def _raise_for_status(entry: Mapping[str, Any]) -> None:
    for kind, details in entry.get("status", {}).get("messages", []):
        if kind == "execution_interrupted":
            raise PromptInterrupted({**details, "exception_message": "cancelled"})
        if kind == "execution_error":
            raise PromptFailed(details)


def _describe_rejection(error: Any, node_errors: Mapping[str, Any]) -> str:
    summary = error.get("message", "") if isinstance(error, Mapping) else str(error)
    lines = [
        f"{found.get('class_type')} (node {node_id}): {problem.get('message')}: {problem.get('details')}"
        for node_id, found in node_errors.items()
        for problem in found.get("errors", [])
    ]
    return "\n".join([summary, *lines])
