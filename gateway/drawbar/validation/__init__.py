"""Is an environment fit for use? The checks, and the runs that they look at."""

from drawbar.validation.checks import Problem
from drawbar.validation.running import Findings, validate

__all__ = ["Findings", "Problem", "validate"]
