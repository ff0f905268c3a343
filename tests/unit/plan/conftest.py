"""Lets the tests of this folder import what lies beside them, and the simulation."""

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
# Importlib mode puts no test folder on the path.
for _folder in (str(_HERE.parent / "read"), str(_HERE.parents[1] / "property")):
    if _folder not in sys.path:
        sys.path.append(_folder)
