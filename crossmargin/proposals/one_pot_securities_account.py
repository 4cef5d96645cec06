"""One pot in a securities account: the same pool and model as in a futures account, customers under SIPA.

Nobody has put this in force: it is the alternative that the CME-FICC notice of February 2026 asks about. What a pool
asks does not depend on its host; segregation, insolvency law and what may be posted do.
"""

from crossmargin.common_model import TESTS, requirement, scenarios

__all__ = ["TESTS", "requirement", "scenarios"]
