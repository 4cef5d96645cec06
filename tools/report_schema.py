"""Write the JSON Schemas that `docs/reference` publishes: of reports and comparisons, and of collateral reports."""

from __future__ import annotations

import json
from pathlib import Path

from crossmargin.collateral import CollateralReport
from crossmargin.documents import json_schema

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"

for name, schema in (("report", json_schema()), ("collateral", json_schema(CollateralReport))):
    (FOLDER / f"{name}.schema.json").write_text(f"{json.dumps(schema, indent=1)}\n", encoding="utf-8")
