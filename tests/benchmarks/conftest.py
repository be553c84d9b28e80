"""Makes `import benchmarks` work without the repository root on sys.path: its `nodes` would hide ComfyUI's."""

import workbench
from by_path import import_path

import_path(workbench.REPOSITORY / "benchmarks", "benchmarks")
