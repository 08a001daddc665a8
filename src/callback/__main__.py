import sys

from src.callback import main

# A reloader that was started when this was one module runs it again in what it spawns, under another name
# (multiprocessing.spawn, _fixup_main_from_name).
if __name__ == "__main__":
    sys.exit(main())
