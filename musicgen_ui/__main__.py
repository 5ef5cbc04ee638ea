"""`python -m musicgen_ui`: the command line."""

import sys

from musicgen_ui.cli import main

sys.exit(main(sys.argv[1:]))
