import sys

from src.callback import main

sys.exit(main())
