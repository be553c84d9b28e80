"""How good few-step schedules are: test models, the host's own solvers, rivals, measures.

.venv/bin/python -m benchmarks.quality --help
"""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.append(str(REPOSITORY / "tests" / "support"))
