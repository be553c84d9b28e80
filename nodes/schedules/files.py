"""Save Sigmas and Load Sigmas: schedules as files in ComfyUI's own folders."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import torch
from comfy_api.v0_0_2 import io
from torch import Tensor

from ...hso_core import __version__
from ...hso_core.files.file_names import check_file_name
from ...hso_core.files.safe_file import FileError, read_bytes
from ...hso_core.schedule.schedule_file import (
    MAX_BYTES,
    SUFFIX,
    describe_file,
    describe_other_model,
    model_metadata,
    read_schedule,
    write_schedule,
)
from ...hso_core.schedule.sigmas import print_sigmas
from ...hso_core.schedule.tools import as_schedule
from ...hso_core.solvers import LinearMultistep, SolverError, read_solver, write_solver
from ...hso_core.solvers.solver_file import holds_solver
from .. import host
from ..pictures.plot_data import plot_ui
from ..sampling.fitted_sampler import as_sampler, solver_of

logger = logging.getLogger(__name__)

SAVE = "Save Sigmas (HSO)"
LOAD = "Load Sigmas (HSO)"


class SaveSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="HSOSaveSchedule",
            name=SAVE,
            category=host.category_of("SplitSigmas"),
            description="Keeps a schedule as a small file, with all that is known of how and for which model it was "
            "made. Load Sigmas (HSO) finds it again.",
            aliases=["save schedule", "export sigmas", "share"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Sigmas.Input("sigmas", tooltip="The schedule to keep."),
                io.String.Input(
                    "name",
                    default="schedule",
                    tooltip="Name of the file; a number is added, and nothing is ever overwritten. With a slash it "
                    "goes into a folder: portraits/soft.",
                ),
                io.Combo.Input(
                    "folder",
                    options=list(host.FOLDERS),
                    default="output",
                    tooltip="output: the folder schedules beside your pictures. user: the folder schedules among your "
                    "own settings and workflows.",
                ),
                io.String.Input(
                    "sampler",
                    optional=True,
                    default="",
                    tooltip="If you like: the sampler that the schedule is meant for, for example dpmpp_2m.",
                ),
                io.String.Input(
                    "note",
                    optional=True,
                    default="",
                    multiline=True,
                    tooltip="If you like: what you want to remember of it, or tell others.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="If connected, the file says for which model's noise the schedule was made, and loading it "
                    "for another one is announced.",
                ),
                io.String.Input(
                    "report",
                    optional=True,
                    force_input=True,
                    tooltip="If connected, the report of the node that made the schedule is kept in the file.",
                ),
                io.Sampler.Input(
                    "fitted_sampler",
                    optional=True,
                    tooltip="If connected, the sampler that was fitted together with the schedule is kept in the file, "
                    "too.",
                ),
            ],
            outputs=[],
        )

    @classmethod
    def validate_inputs(cls, name: str | None = None) -> bool | str:
        if name is not None:  # None: it comes over a link
            try:
                check_file_name(name)
            except FileError as error:
                return str(error)
        return True

    @classmethod
    def execute(
        cls,
        sigmas: Tensor,
        name: str,
        folder: str,
        sampler: str = "",
        note: str = "",
        model: Any = None,
        report: str | None = None,
        fitted_sampler: Any = None,
    ) -> io.NodeOutput:
        with host.named_errors(SAVE):
            root = host.schedule_folder(folder)
            schedule = as_schedule(sigmas)
            solver = None if fitted_sampler is None else _solver_for(schedule, fitted_sampler)
            noise = host.readable_noise_schedule(model) if model is not None else None
            odd = host.check_schedule(schedule, model) if model is not None else None
            odd = odd or _other_report(report, schedule)
            known = {"sampler": sampler.strip(), "note": note.strip(), "report": (report or "").strip()}
            if host.may_keep_metadata():
                made_by = host.origin(cls.hidden.prompt, cls.hidden.unique_id, "sigmas")
                known["made_by"] = json.dumps(made_by, ensure_ascii=False) if made_by else ""
            if noise is not None:
                known.update(model_metadata(noise))
            path = host.numbered_file(root, check_file_name(name), SUFFIX)
            kept = {key: text for key, text in known.items() if text}
            kept["pack_version"] = __version__
            if solver is None:
                write_schedule(path, schedule, kept)
            else:
                write_solver(path, solver, kept)
        if odd:
            logger.warning("%s: %s", SAVE, odd)
        label = _label(path, folder)
        ui = plot_ui([(path.stem, schedule)], noise=noise, facts=[("saved as", label)], note=odd or "")
        return io.NodeOutput(ui={**ui, "text": [label]})


class LoadSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="HSOLoadSchedule",
            name=LOAD,
            category=host.category_of("SplitSigmas"),
            description="A schedule that Save Sigmas (HSO) has kept, or that you were given. The file is checked "
            "before it is used.",
            aliases=["load schedule", "import sigmas"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=list(_files()),
                    tooltip="The files in the folder schedules of ComfyUI's output folder and of your user folder. "
                    "Put a file that you were given there, and press R.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="If connected, the schedule is checked: a start above the model's largest sigma is "
                    "announced, and refused for a flow model. One that was made for another model is announced.",
                ),
            ],
            outputs=[
                host.sigmas_out(),
                host.report_out("The values, and all that the file says of where they come from."),
                io.Sampler.Output(
                    display_name="SAMPLER",
                    tooltip="The sampler that was fitted together with this schedule, if the file holds one.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, file: Any = None) -> bool | str:
        # None: it comes over a link, or there is no file to choose; then execute says so.
        return file is None or (isinstance(file, str) and file in _files()) or _missing(file)

    @classmethod
    def fingerprint_inputs(cls, file: str | None = None, **_: Any) -> str:
        files = _files()
        if file is None:  # it comes over a link: any of them may be meant
            return " ".join(f"{name}: {_content(path)}" for name, path in files.items())
        return _content(files.get(file, ""))

    @classmethod
    def execute(cls, file: str | None = None, model: Any = None) -> io.NodeOutput:
        with host.named_errors(LOAD):
            path = _files().get(file) if file else None  # only what is in the list is ever opened
            if file is None or path is None:
                raise FileError(_missing(file))
            sigmas, sampler, metadata = _read(path, file)
            noise = host.readable_noise_schedule(model) if model is not None else None
            odd = host.check_schedule(sigmas, model) if model is not None else None
            odd = (describe_other_model(metadata, noise) if noise is not None else None) or odd
        report = describe_file(sigmas, metadata, file)
        if odd:
            logger.warning("%s: %s", LOAD, odd)
            report = f"Warning: {odd}\n\n{report}"
        facts = [(key, metadata[key][:60]) for key in ("sampler", "note") if metadata.get(key)]
        ui = plot_ui([(path.stem, sigmas)], noise=noise, facts=facts, note=odd or "")
        return io.NodeOutput(host.sigmas_output(sigmas), report, sampler, ui=ui)


def _solver_for(sigmas: Tensor, sampler: Any) -> LinearMultistep:
    """The fitted sampler that is to be kept with `sigmas`. Raises SolverError where the two are no pair."""
    solver = solver_of(sampler)
    if solver is None:
        raise SolverError(
            "the sampler in fitted_sampler was not fitted; connect the SAMPLER of Calibrate Sampler (HSO), or nothing"
        )
    if not torch.equal(solver.sigmas, sigmas):
        raise SolverError("the fitted sampler belongs to other sigmas; connect both from the same node")
    return solver


def _read(path: Path, file: str) -> tuple[Tensor, Any, dict[str, str]]:
    """Sigmas, SAMPLER (one that stops whatever it is connected to, where the file holds none) and metadata."""
    if holds_solver(path):
        solver, metadata = read_solver(path)
        return solver.sigmas, as_sampler(solver), metadata
    sigmas, metadata = read_schedule(path)
    return sigmas, host.blocked(f"{file} holds a schedule without a fitted sampler; choose a sampler by name"), metadata


def _content(path: Path | str) -> str:
    """Another text for every content of that file."""
    try:
        return hashlib.sha256(read_bytes(path, MAX_BYTES)).hexdigest()
    except FileError as error:
        return str(error)


def _files() -> dict[str, Path]:
    """Every file that can be loaded, by the name that the list shows."""
    return {
        _label(path, folder): path
        for folder, root in host.schedule_folders().items()
        for path in sorted(root.rglob(f"*{SUFFIX}"))
        if path.is_file()
    }


def _missing(file: Any) -> str:
    """What to say where that file is not to be found."""
    if file is None or file == "":
        return (
            f"there is no schedule yet; keep one with {SAVE}, or put a file that you were given into output/schedules, "
            "and press R"
        )
    return (
        f"there is no schedule {str(file)[:80]!r} in ComfyUI's folders; choose one from the list "
        "(press R to read it anew), or put the file into output/schedules"
    )


def _label(path: Path, folder: str) -> str:
    return f"{path.relative_to(host.schedule_folders()[folder]).as_posix()} [{folder}]"


def _other_report(report: str | None, sigmas: Tensor) -> str | None:
    """A sentence if the report names sigmas, and these are not they."""
    line = next((line for line in (report or "").splitlines() if line.startswith("sigmas: ")), None)
    if line in (None, f"sigmas: {print_sigmas(sigmas)}"):
        return None
    return "the report that is saved with the schedule tells of other sigmas; connect the report of the same node"
