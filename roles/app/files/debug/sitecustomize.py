"""Lets a debugger attach to the process that serves; Python imports this module when it starts.

Not `python -m debugpy`: where a command prepares something and then becomes the server (exec), the server
would connect to a debugger that ended with that, and end, too. debugpy follows workers and reloads.
"""

import os
import sys

if os.environ["DEBUG_PROGRAM"] in sys.orig_argv:
    # Only the interpreter's own modules are frozen.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    try:
        import debugpy
    except ImportError:
        sys.stderr.write("No debugger can attach: the image has no debugpy. Add it to the requirements.\n")
    else:
        # In the container; the port is published on 127.0.0.1.
        debugpy.listen(("0.0.0.0", int(os.environ["DEBUG_PORT"])))  # noqa: S104
