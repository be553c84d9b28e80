"""What is measured of a schedule, and the cells of the benchmark.

Imports models."""
