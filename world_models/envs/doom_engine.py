"""Start ViZDoom's engine so that it ends with the process that plays it; run as a script.

Left to itself, an engine whose player was killed waits for ever. Ctrl-C is the player's to
handle, and does not reach the engine.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    os.setsid()
    if sys.platform == "linux":
        # the engine has no answer to anything milder while it waits for its player
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.execv(sys.argv[1], sys.argv[1:])
