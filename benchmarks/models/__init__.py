"""What is measured on: networks and exact models, the host's own solvers, converged samples.

Imports no other room of benchmarks."""
