"""What the rules answer without a component: python3 -m unittest"""

import sys
from pathlib import Path

# The SDK is not installed: it is here.
sys.path.insert(0, str(Path(__file__).parents[1] / "sdk"))
