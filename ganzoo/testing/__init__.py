"""Conformance checks: what every variant must pass. Imports no torch; running a check does.

    from ganzoo.testing import check_variant
    check_variant("dcgan")          # raises an AssertionError that says what to change

The same checks run as `ganzoo check dcgan` and as `pytest --ganzoo dcgan`.
"""

from ganzoo.testing.checks import CHECKS, QUICK, CheckFailed, CheckSkipped, Outcome, check_names
from ganzoo.testing.runner import check_variant, run_checks

__all__ = ["CHECKS", "QUICK", "CheckFailed", "CheckSkipped", "Outcome", "check_names", "check_variant", "run_checks"]
