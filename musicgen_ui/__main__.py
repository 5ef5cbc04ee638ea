"""`python -m musicgen_ui`: the command line."""

import sys

from musicgen_ui.cli import main

if __name__ == "__main__":  # a download's process imports this file again
    sys.exit(main(sys.argv[1:]))
