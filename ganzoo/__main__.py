"""`python -m ganzoo`, also the form that torchrun starts."""

import os
import sys

if sys.path and sys.path[0] in (
    "",
    os.getcwd(),
):  # a *.dist-info that lies about in the folder must not become a plugin
    del sys.path[0]

from ganzoo.cli import main

if __name__ == "__main__":
    main()
