"""Samplers as tables of weights: linear multistep solvers that belong to their schedule. From outside: the names below.

Imports only hso_core.files and hso_core.schedule."""

from .known_solvers import SOLVERS, known_solver
from .linear_multistep import LinearMultistep, SolverError, Stepper
from .solver_file import read_solver, solver_of, tensors_of, write_solver
from .solver_text import parse_solver, print_solver

__all__ = [
    "SOLVERS",
    "LinearMultistep",
    "SolverError",
    "Stepper",
    "known_solver",
    "parse_solver",
    "print_solver",
    "read_solver",
    "solver_of",
    "tensors_of",
    "write_solver",
]
