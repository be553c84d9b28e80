"""Development commands. They need Python 3.11 or newer with pip.

    python3 dev.py run     start a real ComfyUI with this node pack, run the example workflows, keep the server up
    python3 dev.py test    run every check and every test
        --quick            in two to three minutes: style, types, and the tests without a server
        --comfyui PATH     against another ComfyUI tree, of which nothing is changed
        --report           and write docs/reliability.md from what was measured
        ANYTHING ELSE      goes to pytest, and only it is run: test tests/core -k spacing
    python3 dev.py setup   only build .venv and .host, which the other two do by themselves

`test` and `setup` also need Chromium or Chrome, and Node.js 20 or newer with npm: root gets them from apt-get, others
are asked to install them. `test PATH` needs them only if PATH has tests of tests/browser (Chromium) or tests/dev (npm).

HSO_COMFYUI=/path/to/ComfyUI uses that ComfyUI instead of the one that is downloaded.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "tests" / "support"))

import checks  # noqa: E402
import comfy_server  # noqa: E402
import environment  # noqa: E402
import reliability  # noqa: E402
import workbench  # noqa: E402
from environment import VENV_PYTHON, Problem, say  # noqa: E402
from workbench import HOST_VARIABLE, REPOSITORY, WEIGHTS_VARIABLE, WORK_FOLDER  # noqa: E402

OUTPUT = REPOSITORY / "output"
WORKFLOWS = tuple(REPOSITORY / "demo" / name for name in ("workflow_api.json", "emoji_workflow_api.json"))

# tests/support/work_units.py shares them out. Two processes more than cores, because tests in a browser often wait.
PARALLEL = ["-n", str(min(4, (os.cpu_count() or 1) + 2)), "--dist", "loadscope", "--quiet"]
ALL_TESTS = [*PARALLEL, "-rs", "--durations", "15"]  # -rs: why a test was skipped, such as that of a GPU
QUICK_TESTS = [*PARALLEL, "-m", "not slow", "tests/core", "tests/host", "tests/dev", "tests/fuzz"]


# ---- commands


def main(arguments: list[str]) -> int:
    options, for_pytest = _parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped on the way out
    try:
        environment.check_python()
        return options.command(options, for_pytest)
    except Problem as problem:
        print(f"dev.py: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
        return 130


def _parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="dev.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="run | test | setup")
    run = commands.add_parser("run", help="start ComfyUI with the pack and run the example workflows")
    run.add_argument("--once", action="store_true", help="stop after the example workflows")
    run.add_argument("--port", type=int, default=8188, help="port of the server (default: 8188)")
    run.set_defaults(command=run_command)
    test = commands.add_parser("test", help="run the checks and tests", add_help=False, allow_abbrev=False)
    test.add_argument("--quick", action="store_true", help="only a part, in two to three minutes")
    test.add_argument("--comfyui", metavar="PATH", help="test with this ComfyUI")
    test.add_argument("--report", action="store_true", help="write docs/reliability.md")
    test.set_defaults(command=test_command)
    setup = commands.add_parser("setup", help="build .venv and .host")
    setup.set_defaults(command=setup_command)

    options, rest = parser.parse_known_args(arguments)
    if rest and options.command is not test_command:
        parser.error(f"unknown argument: {rest[0]}")
    return options, rest


def setup_command(_: argparse.Namespace, __: list[str]) -> int:
    environment.build_everything()
    environment.build_for_tests()
    say("Ready: .venv holds the packages, .host holds ComfyUI and the demonstration network.")
    return 0


def test_command(options: argparse.Namespace, for_pytest: list[str]) -> int:
    if options.comfyui:
        return _test_with_other_host(options, for_pytest)
    environment.build_everything()
    environment.build_for_tests(for_pytest or (QUICK_TESTS if options.quick else ()))
    # -P keeps the working directory off the module path: our nodes/ would hide ComfyUI's module of that name.
    python = [str(VENV_PYTHON), "-P", "-m"]
    if for_pytest:
        return _pytest(python, for_pytest)[0]
    complaints = _run_checks()
    if options.quick:
        status, _ = _pytest(python, QUICK_TESTS)
        return status or int(complaints)
    shutil.rmtree(reliability.FIGURES, ignore_errors=True)
    status, summary = _pytest(checks.coverage_command(VENV_PYTHON), ALL_TESTS)
    percent, uncovered = checks.coverage(VENV_PYTHON)
    say(f"Coverage of {' and '.join(checks.PACKAGES)}: {percent:.1f} %.")
    if percent < checks.LEAST_COVERAGE:
        complaints = True
        say(f"It must be {checks.LEAST_COVERAGE:g} %. Lines that no test runs:")
        say("\n".join(f"  {name}: {checks.ranges(lines)}" for name, lines in uncovered.items()))
    if options.report and not (status or complaints):
        reliability.write(percent, uncovered, summary)
        say(f"Written: {reliability.REPORT.relative_to(REPOSITORY)}.")
    return status or int(complaints)


def _test_with_other_host(options: argparse.Namespace, for_pytest: list[str]) -> int:
    """Start again with the variable set: where the packages lie depends on it."""
    path = str(Path(options.comfyui).expanduser().resolve())
    flags = [flag for flag, given in (("--quick", options.quick), ("--report", options.report)) if given]
    command = [sys.executable, __file__, "test", *flags, *for_pytest]
    return subprocess.run(command, env={**os.environ, HOST_VARIABLE: path}).returncode


def _run_checks() -> bool:
    """Style, types and browser code; whether anything is to be complained of."""
    found = {
        "Style (ruff)": checks.style(VENV_PYTHON),
        "Types (mypy)": checks.types(VENV_PYTHON),
        "Browser code (ESLint, tsc)": checks.web(),
    }
    for name, complaint in found.items():
        say("\n  ".join([f"{name}:", *complaint]) if complaint else f"{name}: ok")
    return any(found.values())


def _pytest(start: list[str], arguments: list[str]) -> tuple[int, str]:
    """Run pytest, show what it says, and return its status and its last line."""
    say("Running the tests.")
    last = ""
    variables = {**os.environ, **_weights_variable(), "OMP_NUM_THREADS": "1"}  # torch's threads wait by spinning
    with subprocess.Popen(
        [*start, "pytest", *arguments], cwd=REPOSITORY, env=variables, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            last = line.strip(" =\n") or last
    return process.returncode, last


def run_command(options: argparse.Namespace, _: list[str]) -> int:
    _check_port(options.port)  # before anything that takes long
    environment.build_everything()
    say("Starting ComfyUI (about 20 seconds).")
    try:
        with _server(options.port) as server:
            server.post("/settings", {"Comfy.TutorialCompleted": True})  # the tour would cover the page
            for workflow in WORKFLOWS:
                _run_example(server, workflow)
            if not options.once:
                _stay_up(server)
    except comfy_server.PortBusy:
        raise _port_problem(options.port) from None
    except comfy_server.ServerError as error:
        raise Problem(
            f"ComfyUI stopped or did not start; correct what its last lines complain about and run again.\n{error}"
        ) from None
    return 0


# ---- the server and the example


def _server(port: int) -> comfy_server.ComfyServer:
    return comfy_server.ComfyServer(
        workbench.node_packs(),
        port=port,
        base_directory=WORK_FOLDER / "run",
        extra_arguments=["--preview-method", "latent2rgb"],
        environment=_weights_variable(),
        python=VENV_PYTHON,
    )


def _weights_variable() -> dict[str, str]:
    """Where the demonstration network lies, for the servers and the tests; a value that is set already stays."""
    return {WEIGHTS_VARIABLE: str(workbench.demo_weights())}


def _check_port(port: int) -> None:
    if not comfy_server.port_is_free(port):
        raise _port_problem(port)


def _port_problem(port: int) -> Problem:
    return Problem(
        f"Port {port} is in use, perhaps by another ComfyUI; stop that program, or take another port with "
        f"'python3 dev.py run --port {port + 1}'."
    )


def _run_example(server: comfy_server.ComfyServer, workflow: Path) -> None:
    """Run an example workflow through the server's API, and save its pictures and its schedule."""
    say(f"Running the example workflow {workflow.relative_to(REPOSITORY)}.")
    prompt = json.loads(workflow.read_text("utf-8"))
    begun = time.monotonic()
    try:
        entry = server.run(prompt)
    except (comfy_server.PromptRejected, comfy_server.PromptFailed) as error:
        raise Problem(
            f"The example workflow {workflow.name} failed; correct what ComfyUI says about it, here or in "
            f"{server.log_file}, and run again: {error}"
        ) from None
    say(f"It took {time.monotonic() - begun:.1f} seconds.")
    saved = _save_results(server, entry)
    if not saved:
        raise Problem(
            f"The example workflow saved no picture; give {workflow.relative_to(REPOSITORY)} a SaveImage node."
        )
    for file in saved:
        say(f"  saved {file.relative_to(REPOSITORY)}")


def _save_results(server: comfy_server.ComfyServer, entry: dict[str, Any]) -> list[Path]:
    """Write the entry's pictures, and the texts it shows beside the first picture; return the files."""
    OUTPUT.mkdir(exist_ok=True)
    saved = []
    for description in server.files(entry):
        saved.append(OUTPUT / description["filename"])
        saved[-1].write_bytes(server.fetch(description))
    texts = server.texts(entry)
    if saved and texts:
        saved.append(saved[0].with_name(saved[0].stem.rstrip("_") + "_schedule.txt"))
        saved[-1].write_text("\n\n".join(texts) + "\n", "utf-8")
    return saved


def _stay_up(server: comfy_server.ComfyServer) -> None:
    say(f"ComfyUI is at {server.url} until you press Ctrl-C.")
    try:
        while server.running:
            time.sleep(0.5)
    except KeyboardInterrupt:
        print("\nStopped.")
        return
    raise comfy_server.ServerError("The server stopped.", server.log_tail())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
