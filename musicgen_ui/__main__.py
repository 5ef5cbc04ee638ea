"""`python -m musicgen_ui`: the command line."""

import sys

from musicgen_ui.cli import main
from musicgen_ui.ending import end_at_once

if __name__ == "__main__":  # a download's process imports this file again
    end_at_once(main(sys.argv[1:]))  # the ordinary way, MindSpore takes itself apart for a second and a half
