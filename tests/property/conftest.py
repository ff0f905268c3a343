"""Lets the property tests import the simulation that lies beside them."""

import sys
from pathlib import Path

# Importlib mode puts no test folder on the path.
if (_HERE := str(Path(__file__).resolve().parent)) not in sys.path:
    sys.path.append(_HERE)
