"""Fitted Sampler: a sampler that was fitted together with its schedule, kept as text in the workflow."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from comfy_api.v0_0_2 import io
from torch import Tensor

from ...hso_core.solvers import LinearMultistep, SolverError, parse_solver, print_solver
from .. import host
from ..pictures.plot_data import plot_ui

logger = logging.getLogger(__name__)

NAME = "Fitted Sampler (HSO)"


def as_sampler(solver: LinearMultistep) -> Any:
    """The SAMPLER that runs `solver`, wherever ComfyUI takes one."""
    return host.sampler_of(sample_fitted, solver=solver)


def solver_of(sampler: Any) -> LinearMultistep | None:
    """What `as_sampler` was given; None for any other SAMPLER."""
    if getattr(sampler, "sampler_function", None) is not sample_fitted:
        return None
    solver: LinearMultistep = sampler.extra_options["solver"]
    return solver


def sample_fitted(
    model: Any,
    x: Tensor,
    sigmas: Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Callable[[dict[str, Any]], None] | None = None,
    disable: bool | None = None,
    *,
    solver: LinearMultistep,
) -> Tensor:
    """A sampler function of ComfyUI's kind. Raises SolverError for sigmas that are not the solver's, nor a part."""
    with host.named_errors(NAME):
        part = solver.on(sigmas)
    if part is not solver:
        logger.info(
            "%s: samples a part of its schedule, %d of %d steps; with the whole of it it is at its best.",
            NAME, part.steps, solver.steps,
        )  # fmt: skip
    return part.sample(lambda at, sigma: model(at, sigma, **(extra_args or {})), x, callback=callback)


class FittedSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return host.schema(
            node_id="HSOFittedSampler",
            name=NAME,
            category=host.category_of("KSamplerSelect"),
            description="Keeps what Calibrate Sampler (HSO) has found in the workflow, so that everybody who opens it "
            "gets the same picture without a search.",
            aliases=["custom sampler", "solver", "share sampler"],
            inputs=[
                io.String.Input(
                    "text",
                    default="",
                    multiline=True,
                    placeholder="sigmas: 14.6, 4.7, 1.9, 0\nweights:\n1\n-0.31, 1.31\n0.05, -0.4, 1.35",
                    tooltip="The sampler as text: its sigmas, and for each step the weights of the predictions so far. "
                    "Empty: the connected sampler passes through.",
                ),
                io.Sampler.Input(
                    "sampler",
                    optional=True,
                    lazy=True,
                    tooltip="From Calibrate Sampler (HSO). Used while the text is empty; with text it is not even "
                    "computed.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="If connected, the schedule is checked: a start above the model's largest sigma is "
                    "announced, and refused for a flow model.",
                ),
            ],
            outputs=[
                io.Sampler.Output(
                    display_name="SAMPLER",
                    tooltip="For SamplerCustom, SamplerCustomAdvanced or KSampler (HSO), with these sigmas only.",
                ),
                io.Sigmas.Output(display_name="SIGMAS", tooltip="The schedule that the sampler belongs to."),
                io.String.Output("sampler_text", display_name="text", tooltip="The same as text, ready to be pasted."),
            ],
        )

    @classmethod
    def validate_inputs(cls, text: str | None = None) -> bool | str:
        if text and text.strip():
            try:
                parse_solver(text)
            except SolverError as error:
                return str(error)  # ComfyUI puts the node's and the input's name in front
        return True

    @classmethod
    def check_lazy_status(cls, text: str, **linked: Any) -> list[str]:
        # ComfyUI gives None for a link that has not been computed, and nothing where there is no link.
        wanted = not text.strip() and linked.get("sampler", 0) is None
        return ["sampler"] if wanted else []

    @classmethod
    def execute(cls, text: str, sampler: Any = None, model: Any = None) -> io.NodeOutput:
        with host.named_errors(NAME):
            solver = _given(text, sampler)
            odd = host.check_schedule(solver.sigmas, model) if model is not None else None
        if odd:
            logger.warning("%s: %s", NAME, odd)
        noise = host.readable_noise_schedule(model) if model is not None else None
        printed = print_solver(solver)
        ui = plot_ui([("text" if text.strip() else "connected", solver.sigmas)], noise=noise, note=odd or "")
        return io.NodeOutput(
            as_sampler(solver), host.sigmas_output(solver.sigmas), printed, ui={**ui, "hso_sampler": [printed]}
        )


def _given(text: str, sampler: Any) -> LinearMultistep:
    if text.strip():
        return parse_solver(text)
    if sampler is None:
        raise SolverError("there is no sampler; connect Calibrate Sampler (HSO), or paste one as text")
    solver = solver_of(sampler)
    if solver is None:
        raise SolverError(
            "the connected sampler was not fitted, so there is nothing to keep; connect the SAMPLER of Calibrate "
            "Sampler (HSO), or use the sampler as it is"
        )
    return solver
