"""Measurements behind the documentation: models, rivals, measures, the report, and studies of single questions.

.venv/bin/python -m benchmarks --help
"""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.append(str(REPOSITORY / "tests" / "support"))
