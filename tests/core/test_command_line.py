"""The command line, run as a user runs it."""

import json
import re
import subprocess
import sys

import pytest

import workbench
from hso_core import named_schedule, optimize_schedule
from hso_core.__main__ import main

PATH = str(workbench.REPOSITORY / "hso_core" / "__main__.py")


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "hso_core", *arguments], cwd=workbench.REPOSITORY, capture_output=True, text=True
    )


ISOLATED = "-I"  # as the portable ComfyUI's Python runs: neither the current folder nor the script's is on its path


@pytest.mark.parametrize("how", [["-m", "hso_core"], ["hso_core"], [ISOLATED, "hso_core"], [ISOLATED, PATH]])
def test_every_way_to_start_it_gives_the_same_numbers(how):
    arguments = [*how, "optimize", "--schedule", "sd15", "--steps", "5", "--json"]
    done = subprocess.run([sys.executable, *arguments], cwd=workbench.REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["sigmas"] == list(optimize_schedule(named_schedule("sd15"), 5).sigmas)


def test_the_command_of_the_page_works_with_an_isolated_python():
    page = (workbench.REPOSITORY / "docs" / "method.md").read_text("utf-8")
    (command,) = re.findall(r"^python3 (hso_core .*) \[--json\]$", page, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, ISOLATED, *command.split()], cwd=workbench.REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.startswith("5 steps, made for this model.")


def test_json_is_one_object_with_the_numbers_of_the_library():
    done = run("optimize", "--schedule", "ddpm", "--steps", "4", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    keys = {"sigmas", "timesteps", "psi", "objective", "penalty", "spacing_met", "backend", "elapsed_ms"}
    assert keys <= set(result) and set(result["psi"]) == {"rho", "t_min", "t_max"}
    assert result["timesteps"] == [959, 716, 370, 30] and result["backend"] == "torch"
    assert result["sigmas"] == list(optimize_schedule(named_schedule("ddpm"), 4).sigmas)


def test_the_table_is_readable_and_its_sigmas_can_be_pasted():
    from hso_core.schedule.sigmas import parse_sigmas

    done = run("optimize", "--schedule", "flow:3", "--steps", "6", "--denoise", "0.7", "--seed", "4")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and max(map(len, lines)) <= 120 and len(lines) < 25
    (sigmas,) = [line for line in lines if line.startswith("sigmas: ")]
    assert parse_sigmas(sigmas)[0] == pytest.approx(3 * 0.7 / (1 + 2 * 0.7))


def test_every_setting_is_an_option():
    done = run(
        *"optimize --schedule sd15 --steps 4 --json --mapping unipc --start sigma_max --population 8 --generations 3"
        " --iterations 50 --exponent 1.5 --gamma 10 --tolerance 0.1 --rho 5 6 --t-min 0.02 0.04 --t-max 0.9 0.95"
        " --spacing 0.1 0.02 --seed 9 --denoise 0.8 --device cpu".split()
    )
    settings = json.loads(done.stdout)["settings"]
    assert settings == {
        "mapping": "unipc", "start": "sigma_max", "population": 8, "generations": 3, "iterations": 50, "exponent": 1.5,
        "gamma": 10.0, "tolerance": 0.1, "rho": [5.0, 6.0], "t_min": [0.02, 0.04], "t_max": [0.9, 0.95],
        "spacing": [0.1, 0.02], "seed": 9, "denoise": 0.8,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--schedule sd15 --steps 0", "steps is 0; it must be a whole number from 1 to 10000"),
        ("--schedule sd15 --steps 100000", "steps is 100000"),
        ("--schedule sd15 --steps five", "invalid int value: 'five'"),
        ("--schedule sdxl9 --steps 4", "unknown schedule 'sdxl9'"),
        ("--schedule flow:-2 --steps 4", "must be above 0, not -2"),
        ("--schedule sd15 --steps 4 --denoise 3", "denoise is 3; it must be between"),
        ("--schedule sd15 --steps 4 --backend jax", "invalid choice: 'jax'"),
        ("--schedule sd15", "required: --steps"),
        ("--schedule sd15 --steps 4 --what", "unrecognized arguments: --what"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(arguments, message, capsys):
    try:
        status = main(["optimize", *arguments.split()])
    except SystemExit as error:  # argparse's own complaints
        status = error.code
    said = capsys.readouterr()
    assert status == 2 and said.out == ""
    assert message in said.err and said.err.count("\n") == 1


def test_the_program_ends_with_the_status_and_writes_nothing_else():
    done = run("optimize", "--schedule", "sd15", "--steps", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "hso_core: steps is 0; it must be a whole number from 1 to 10000\n"


def test_scipy_is_imported_only_when_it_is_used():
    """Beside torch, which ComfyUI has loaded anyway, importing the core is nothing."""
    code = "import hso_core, sys; print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=workbench.REPOSITORY, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
