import sys

from src.callback import main

# A process that the reloader spawns imports this module again, under another name.
if __name__ == "__main__":
    sys.exit(main())
