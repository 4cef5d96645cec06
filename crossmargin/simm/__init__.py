"""Initial margin of uncleared trades by SIMM: from CRIF sensitivities and a calibration that the user supplies.

Call `load_calibration(path)`, then `simm(sensitivities, calibration)`; `SimmMargin.line()` explains the figure. The
package holds the formulas and no parameter. SIMM belongs to ISDA and its commercial use needs a licence: `LICENCE`.
Sensitivities are not calculated here; CRIF files are read and written by `crossmargin.io.crif`.
"""

from crossmargin.simm.calibration import LICENCE, Calibration, calibration_from, find_calibration, load_calibration
from crossmargin.simm.margin import AddOns, NotionalAddOn, RiskClassMargin, SimmMargin, notional_add_ons, simm
from crossmargin.simm.sensitivities import Sensitivities, net

__all__ = [
    "LICENCE",
    "AddOns",
    "Calibration",
    "NotionalAddOn",
    "RiskClassMargin",
    "Sensitivities",
    "SimmMargin",
    "calibration_from",
    "find_calibration",
    "load_calibration",
    "net",
    "notional_add_ons",
    "simm",
]
