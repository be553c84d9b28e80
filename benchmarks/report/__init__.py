"""docs/benchmark.md and its pictures, from results.json.

Imports models, rivals and measures."""
