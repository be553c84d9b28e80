"""Command line: python3 hso_core optimize --schedule sd15 --steps 5"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

if not __package__:  # run by its path; an isolated Python, such as the portable ComfyUI's, finds no module with -m
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    __package__ = "hso_core"

from .method.optimizer import BACKENDS, DEVICES, optimize_schedule
from .method.problem import MAPPINGS, STARTS, Settings, SettingsError
from .method.result import Schedule
from .schedule.noise_schedule import NoiseScheduleError, named_schedule


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        """One line instead of argparse's usage and message."""
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        schedule = optimize_schedule(
            named_schedule(options.schedule), options.steps, _settings(options), options.backend, options.device
        )
    except (NoiseScheduleError, SettingsError) as error:
        print(f"hso_core: {error}", file=sys.stderr)
        return 2
    print(_json(schedule) if options.json else schedule.summary())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="hso_core", description="Few-step schedules by Hierarchical Schedule Optimization.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    optimize = commands.add_parser("optimize", help="optimise a schedule and print it")
    default = Settings()
    add = optimize.add_argument
    add(
        "--schedule",
        required=True,
        help="noise schedule: sd15 (also SD 2 and SDXL), ddpm, flow:SHIFT (SD3: flow:3) or edm:MIN:MAX",
    )
    add("--steps", required=True, type=int, help="number of steps N")
    add("--backend", default="torch", choices=BACKENDS, help="scipy: the paper's procedure, slow (default: torch)")
    add("--device", default="auto", choices=DEVICES, help="where torch computes (default: auto)")
    add("--json", action="store_true", help="print one JSON object")
    add("--mapping", default=default.mapping, choices=MAPPINGS, help="ddim: N sigmas, then 0; unipc: stops at t_min")
    add("--start", default=default.start, choices=STARTS, help="the first sigma (default: auto)")
    for name in ("seed", "population", "generations", "iterations"):
        add(f"--{name}", type=int, default=getattr(default, name), metavar="N")
    for name in ("denoise", "exponent", "gamma", "tolerance"):
        add(f"--{name}", type=float, default=getattr(default, name), metavar="X")
    for name in ("rho", "t-min", "t-max", "spacing"):
        value = getattr(default, name.replace("-", "_"))
        text = "bounds" if value else "bounds (default: as suits the noise schedule)"
        text = "d_min at N = 4 and at N = 20" if name == "spacing" else text
        add(f"--{name}", type=float, nargs=2, default=value, metavar=("LOW", "HIGH"), help=text)
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    values: dict[str, Any] = {field.name: getattr(options, field.name) for field in dataclasses.fields(Settings)}
    pairs: dict[str, Any] = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return Settings(**{**values, **pairs})


def _json(schedule: Schedule) -> str:
    return json.dumps(schedule.to_dict(), allow_nan=False)


if __name__ == "__main__":
    sys.exit(main())
