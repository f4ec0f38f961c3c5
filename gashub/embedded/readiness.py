"""How a service tells whoever started it that it serves now.

The starter puts a descriptor's number into GASHUB_READY_FD; the service writes one line to it. Started by hand, there
is no such variable.
"""

from __future__ import annotations

import os

from .keeper import READY_FD


def announce() -> None:
    """Say that this process is ready; later calls, and calls where nobody asked, do nothing."""
    number = os.environ.pop(READY_FD, None)
    if number is None:
        return
    try:
        os.write(int(number), b"ready\n")
    except BrokenPipeError:
        # The starter has gone away; whether to go on is for its keeper to say.
        return
    finally:
        os.close(int(number))
