"""One pot in a futures account: every position of one owner at one firm under one model, customers under Part 190.

Nobody has put this in force. The horizon is the longest of what is held; guardrails are off, and two of them stated so
that they can be switched on. The regime of this name says which class of account is the host.
"""

from crossmargin.common_model import TESTS, requirement, scenarios

__all__ = ["TESTS", "requirement", "scenarios"]
