"""`python -m ganzoo`; also used with `torchrun -m ganzoo train`."""

import os
import sys

# A *.dist-info in the current directory must not become a plugin.
if sys.path and sys.path[0] in ("", os.getcwd()):
    del sys.path[0]

from ganzoo.cli import main

if __name__ == "__main__":
    main()
