"""dev.py: what goes wrong is one sentence that says what to do, and a finished set-up is left alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import environment
import workbench
from by_path import import_path
from comfy_server import PATIENCE

dev = import_path(workbench.REPOSITORY / "dev.py", "dev")


def run_dev(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(workbench.REPOSITORY / "dev.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, **environment},
    )


def test_busy_port_is_said_at_once_with_another_one_to_take() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = run_dev("run", "--once", "--port", str(port))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"dev.py: Port {port} is in use")
    assert f"python3 dev.py run --port {port + 1}" in done.stderr


def test_folder_without_comfyui_is_refused() -> None:
    done = run_dev("setup", HSO_COMFYUI="/nowhere/ComfyUI")
    assert done.returncode == 1
    assert done.stderr == "dev.py: There is no ComfyUI in /nowhere/ComfyUI: set HSO_COMFYUI to a ComfyUI folder.\n"


def test_unknown_argument_and_no_command_are_usage_errors() -> None:
    assert run_dev("run", "--twice").returncode == 2
    assert run_dev().returncode == 2


def test_old_python_is_told_which_one_is_needed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    assert dev.main(["setup"]) == 1
    assert "This is Python 3.9; run dev.py with Python 3.11 or newer." in capsys.readouterr().err


def test_arguments_of_test_go_to_pytest() -> None:
    options, for_pytest = dev._parse(["test", "tests/core", "-k", "spacing and not slow", "-x", "--port", "1", "-h"])
    assert options.command is dev.test_command
    assert for_pytest == ["tests/core", "-k", "spacing and not slow", "-x", "--port", "1", "-h"]


def test_hosts_requirements_leave_out_what_we_choose_ourselves(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(
        "torch\ntorchsde\ntorchvision>=0.1\nTorchAudio\n# a remark\n\nkornia>=0.7.1\nspandrel\nnumpy>=1.25\n"
    )
    kept = [line for line in environment._host_requirements(tmp_path).split() if line[0].isalpha()]
    assert kept[0] == "torchsde"
    assert kept[-1] == "numpy>=1.25"
    assert not {"torch", "torchvision>=0.1", "TorchAudio", "kornia>=0.7.1", "spandrel"} & set(kept)


def test_own_host_is_held_to_all_versions_and_another_one_only_to_torchs(tmp_path: Path) -> None:
    ours = environment._constraints(workbench.DEFAULT_HOST)
    assert "transformers==" in ours
    assert environment._constraints(tmp_path).split() == ["torch==2.13.0", "torchvision==0.28.0"]


def test_every_version_is_pinned_and_the_two_lists_agree() -> None:
    constraints = _pins(environment.CONSTRAINTS)
    named = _pins(environment.REQUIREMENTS)
    assert named.items() <= constraints.items()


def _pins(file: Path) -> dict[str, str]:
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("==") for line in lines)  # fails for anything that is not name==version


def test_failing_command_shows_its_last_words_and_the_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(environment, "SETUP_LOG", tmp_path / "setup.log")
    with pytest.raises(environment.Problem, match="check the network"):
        environment._run_logged([sys.executable, "-c", "raise SystemExit('no such host')"], "check the network")
    assert capsys.readouterr().err == "no such host\n"


def test_long_command_says_that_it_is_still_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ends when it has been heard of: how long it takes depends on nothing else."""
    monkeypatch.setattr(environment, "SETUP_LOG", tmp_path / "setup.log")
    monkeypatch.setattr(environment, "HEARTBEAT_SECONDS", 0.05)
    heard = tmp_path / "heard"
    monkeypatch.setattr(environment, "say", lambda said: heard.write_text(said))
    environment._run_logged([sys.executable, "-c", f"import os\nwhile not os.path.exists({str(heard)!r}): pass"], "")
    assert "still at it" in heard.read_text()


def test_wrong_download_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_pip", lambda *_: (tmp_path / "other.whl").write_bytes(b"another file"))
    with pytest.raises(environment.Problem, match="other.whl is not the file that dev.py knows"):
        environment._download(environment.HOST_WHEEL, tmp_path)


def test_finished_set_up_installs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = []
    (tmp_path / "requirements.txt").write_text("numpy\n")
    monkeypatch.setattr(environment, "VENV", tmp_path)
    monkeypatch.setattr(environment, "_pip", lambda *arguments: installed.append(arguments))

    environment._install_packages(tmp_path)
    assert len(installed) == 4
    environment._install_packages(tmp_path)
    assert len(installed) == 4
    (tmp_path / "requirements.txt").write_text("numpy\nscipy\n")
    environment._install_packages(tmp_path)
    assert len(installed) == 8


@pytest.mark.parametrize(("user", "asked_for"), [(0, 2), (1000, 0)])
def test_a_missing_browser_is_installed_by_root_and_asked_for_from_others(
    user: int, asked_for: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []
    monkeypatch.setattr(environment.workbench, "chromium", lambda: None)
    monkeypatch.setattr(environment.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(environment.os, "geteuid", lambda: user, raising=False)
    monkeypatch.setattr(environment, "_run_logged", lambda command, _advice: commands.append(command))
    with pytest.raises(environment.Problem, match="need Chromium or Chrome; install it .* or set HSO_CHROMIUM"):
        environment._provide_chromium()
    assert len(commands) == asked_for


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        ("", {"browser", "web"}),
        ("-k spacing", {"browser", "web"}),
        ("-k nodes", {"browser", "web"}),  # not the folder of that name
        ("--ignore tests/core", {"browser", "web"}),
        ("-x --ignore tests/core tests/host", set()),
        ("@file", {"browser", "web"}),
        ("tests", {"browser", "web"}),
        ("tests/core -k spacing", set()),
        ("-x tests/core/test_search.py::test_a tests/host", set()),
        ("tests/core tests/browser/test_plot.py::test_a", {"browser"}),
        ("tests/dev", {"web"}),
        (" ".join(dev.QUICK_TESTS), {"web"}),
    ],
)
def test_only_the_tests_that_need_them_ask_for_a_browser_and_node(
    arguments: str, needed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    provided = set()
    monkeypatch.setattr(environment, "_fetch_tree", lambda *_, **__: None)
    monkeypatch.setattr(environment, "_provide_chromium", lambda: provided.add("browser"))
    monkeypatch.setattr(environment, "_provide_web_checks", lambda: provided.add("web"))
    environment.build_for_tests(arguments.split())
    assert provided == needed


def test_a_pytest_that_is_killed_is_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    reports = []
    monkeypatch.setattr(environment, "build_everything", lambda: None)
    monkeypatch.setattr(environment, "build_for_tests", lambda *_: None)
    monkeypatch.setattr(dev, "_run_checks", lambda: False)
    monkeypatch.setattr(dev.checks, "coverage_command", lambda _python: [sys.executable, "-c", killed])
    monkeypatch.setattr(dev.checks, "coverage", lambda _python: (100.0, {}))
    monkeypatch.setattr(dev.reliability, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(dev.reliability, "write", lambda *given: reports.append(given))
    assert dev.main(["test", "--report"]) != 0
    assert not reports
