"""The checks of `dev.py test`: they find what they are for, and the report says what was measured."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

import checks
import environment
import reliability
import workbench
from by_path import import_path
from work_units import next_unit, work_unit

dev = import_path(workbench.REPOSITORY / "dev.py", "dev")


def test_options_of_test_are_not_pytests() -> None:
    options, for_pytest = dev._parse(["test", "--quick", "--comfyui", "/x", "tests/core"])
    assert (options.quick, options.report, options.comfyui, for_pytest) == (True, False, "/x", ["tests/core"])


def test_another_comfyui_is_tested_in_an_environment_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(dev.subprocess, "run", lambda *a, **k: started.append((a, k)) or type("Done", (), {})())
    with pytest.raises(AttributeError):  # the return code, which this one has not
        dev.main(["test", "--comfyui", "/there", "--quick", "-x"])
    ((command,), options) = started[0]
    assert command[1:] == [dev.__file__, "test", "--quick", "-x"]
    assert options["env"]["HSO_COMFYUI"] == "/there"


def test_lines_are_written_as_ranges() -> None:
    assert checks.ranges([5, 3, 4, 9, 11, 12]) == "3-5, 9, 11-12"
    assert checks.ranges([]) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("eval('1')\n", "no-eval"),
        ("export function f(n) { return n.innerHTML; }\n", "never become HTML"),
        ("/** @param {number} n */\nexport const f = (n) => n.toUpperCase();\n", "toUpperCase"),
        ('import { app } from "../../scripts/app.js";\napp.noSuchThing();\n', "noSuchThing"),
        ("export const f = () => 1;\n", ""),
    ],
)
def test_the_checks_of_the_browser_code_find_faults(
    code: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (checks.WEB_FOLDER / "node_modules").is_dir():
        pytest.fail("run 'python3 dev.py setup' first: the checks of the browser code are not installed")
    shutil.copytree(checks.WEB_FOLDER / "pack" / "scripts", tmp_path / "pack" / "scripts")
    folder = tmp_path / "pack" / "extensions" / "hso"
    folder.mkdir(parents=True)
    (folder / "code.js").write_text(code)
    for name in ("package.json", "eslint.config.js", "tsconfig.json"):
        shutil.copy(checks.WEB_CHECKS / name, tmp_path / name)
    (tmp_path / "node_modules").symlink_to(checks.WEB_FOLDER / "node_modules")
    monkeypatch.setattr(checks, "WEB_FOLDER", tmp_path)
    found = "\n".join(checks.web())
    assert complaint in found and bool(found) == bool(complaint)


def test_the_report_sums_counts_and_keeps_the_largest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reliability, "FIGURES", tmp_path)
    monkeypatch.setattr(reliability, "REPORT", tmp_path / "reliability.md")
    for process, rows in (
        ("1", [["runs", 3], ["longest, max", 0.2]]),
        ("2", [["runs", 4], ["longest, max", 0.1]]),
    ):
        (tmp_path / f"{process}.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    reliability.write(97.5, {"nodes/x.py": [1, 2, 7]}, "12 passed, 1 skipped in 3.21s (0:00:03)")
    text = (tmp_path / "reliability.md").read_text()
    assert "| runs | 7 |" in text and "| longest | 0.2 |" in text and "12 passed, 1 skipped\n" in text
    assert "| nodes/x.py | 1-2, 7 |" in text and "97.5 %" in text and "## ComfyUI versions" in text


def test_every_part_of_the_report_exists() -> None:
    assert reliability.HOSTS.is_file() and sys.version_info >= environment.PYTHON


def test_at_most_two_pages_are_open_at_a_time_and_sweeps_begin_early():
    waiting = ["tests/core/test_a.py", "nodes2-1.58.1", "tests/families/test_every_model.py 3", "classic-1.32.9"]
    two_pages = ["classic-1.58.1", "nodes2-1.32.9"]
    assert next_unit(waiting, []) == next_unit(waiting, [two_pages[0], "tests/core/test_b.py"]) == "nodes2-1.58.1"
    assert next_unit(waiting, two_pages) == "tests/families/test_every_model.py 3"
    assert next_unit([waiting[3], waiting[0]], two_pages) == "tests/core/test_a.py"
    assert next_unit([waiting[3]], two_pages) == "classic-1.32.9", "nobody is idle while there is work"
    assert work_unit("tests/browser/test_plot.py::test_a[classic-1.32.9-x]") == "classic-1.32.9"
