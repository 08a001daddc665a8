import sys

from src.fake_schwab import main

# Not when a reloader's child imports it, see src/callback/__main__.py.
if __name__ == "__main__":
    sys.exit(main())
