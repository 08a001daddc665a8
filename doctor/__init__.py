"""`make doctor`: what could keep this checkout's environments from working, and what to do about it.

It changes nothing. The part that looks at Python, disk and memory needs nothing but Python, as .venv may be
what is broken; the rest says so where no engine answers.
"""

import sys
from pathlib import Path

# What the plugins share is imported by the name of their collection.
sys.path.append(str(Path(__file__).resolve().parents[1] / "playbooks/collections"))
