"""The fully harmonized pool behind guardrails: each a switch, each a line, each with its marginal effect.

Nobody has put this in force. `guardrails` in the `.toml` names those that are on; the line of each holds what the
requirement would be without it alone. What each of them does stands in `crossmargin.guardrails`.
"""

from crossmargin.common_model import TESTS, requirement, scenarios

__all__ = ["TESTS", "requirement", "scenarios"]
