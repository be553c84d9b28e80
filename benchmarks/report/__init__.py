"""docs/benchmark.md and its pictures, from results.json."""
