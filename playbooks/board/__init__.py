"""`make board` and `make history`: what runs, and what was run, for people who look.

Both only read. The board is a page on this machine alone, served by a process of its own until Ctrl-C.
"""

import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
# What the plugins share is imported by the name of their collection.
sys.path.append(str(CHECKOUT / "playbooks/collections"))
