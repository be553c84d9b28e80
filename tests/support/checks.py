"""What `dev.py test` checks beside the tests: style, types, the browser code, coverage. Standard library only.

Each check returns the lines of its complaint, none when all is well.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from workbench import REPOSITORY, WORK_FOLDER

PACKAGES = ("hso_core", "nodes")
LEAST_COVERAGE = 95.0
WEB_CHECKS = REPOSITORY / "tests" / "web"
WEB_FOLDER = WORK_FOLDER / "web-checks"  # with npm's packages, which are not wanted in the repository
COVERAGE_FOLDER = WORK_FOLDER / "coverage"
COVERAGE_CONFIG = COVERAGE_FOLDER / "coverage.ini"


def style(python: Path) -> list[str]:
    return _complaint([str(python), "-m", "ruff", "check", "."]) + _complaint(
        [str(python), "-m", "ruff", "format", "--check", "."]
    )


def types(python: Path) -> list[str]:
    """mypy on the pack under a name of its own: nodes/ imports from the package above it."""
    folder = WORK_FOLDER / "typing"
    _link(folder / "hso_pack", REPOSITORY)
    packages = [argument for package in PACKAGES for argument in ("-p", f"hso_pack.{package}")]
    return _complaint([str(python), "-m", "mypy", *packages], MYPYPATH=str(folder))


def web() -> list[str]:
    """ESLint, and TypeScript's check of the comments' types against those that ComfyUI's frontend publishes."""
    node, bin_folder = shutil.which("node") or "node", WEB_FOLDER / "node_modules"
    eslint = _complaint([node, str(bin_folder / "eslint" / "bin" / "eslint.js"), "pack"], WEB_FOLDER)
    return eslint + _complaint([node, str(bin_folder / "typescript" / "bin" / "tsc"), "--project", "."], WEB_FOLDER)


def lay_out_web() -> None:
    """Put the pack's browser code where a ComfyUI serves it, beside stand-ins that have the types of its own files."""
    for name in ("package.json", "package-lock.json", "eslint.config.js", "tsconfig.json"):
        _copy(WEB_CHECKS / name, WEB_FOLDER / name)
    _copy(WEB_CHECKS / "app.d.ts", WEB_FOLDER / "pack" / "scripts" / "app.d.ts")
    code = WEB_FOLDER / "pack" / "extensions" / "hso"
    shutil.rmtree(code, ignore_errors=True)  # a copy, because ESLint follows no links
    shutil.copytree(REPOSITORY / "web", code)


def coverage_command(python: Path) -> list[str]:
    """The start of a command that runs a module with its coverage measured, in all processes that it starts too."""
    shutil.rmtree(COVERAGE_FOLDER, ignore_errors=True)
    COVERAGE_FOLDER.mkdir(parents=True)
    sources = "".join(f"    {REPOSITORY / package}\n" for package in PACKAGES)
    COVERAGE_CONFIG.write_text(
        f"[run]\nparallel = true\ndata_file = {COVERAGE_FOLDER / 'data'}\npatch =\n    subprocess\n    _exit\n"
        f"sigterm = true\ndisable_warnings = no-data-collected,module-not-measured,module-not-imported\n"
        f"source =\n{sources}"
        "[report]\nexclude_also =\n    if TYPE_CHECKING:\n    raise AssertionError\n"
    )
    return [str(python), "-P", "-m", "coverage", "run", f"--rcfile={COVERAGE_CONFIG}", "-m"]


def coverage(python: Path) -> tuple[float, dict[str, list[int]]]:
    """Percentage of the lines that ran, and the lines of each file that did not."""
    command = [str(python), "-m", "coverage"]
    options = [f"--rcfile={COVERAGE_CONFIG}", "--quiet"]
    report = COVERAGE_FOLDER / "report.json"
    subprocess.run([*command, "combine", *options], cwd=REPOSITORY, check=True)
    subprocess.run([*command, "json", *options, "-o", str(report)], cwd=REPOSITORY, check=True)
    measured: dict[str, Any] = json.loads(report.read_text("utf-8"))
    files = {Path(name).as_posix(): file["missing_lines"] for name, file in measured["files"].items()}
    return measured["totals"]["percent_covered"], {name: lines for name, lines in sorted(files.items()) if lines}


def ranges(lines: Iterable[int]) -> str:
    """3-5, 9 for 3, 4, 5, 9."""
    runs: list[list[int]] = []
    for line in sorted(lines):
        if runs and line == runs[-1][1] + 1:
            runs[-1][1] = line
        else:
            runs.append([line, line])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _complaint(command: Sequence[str], folder: Path = REPOSITORY, **environment: str) -> list[str]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **environment})
    return [] if done.returncode == 0 else (done.stdout + done.stderr).strip().splitlines()


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():
        link.unlink()
    link.symlink_to(target, target_is_directory=True)
