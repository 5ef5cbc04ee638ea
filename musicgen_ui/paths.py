"""Where the app's own files are."""

from pathlib import Path

ASSETS = Path(__file__).resolve().parent.parent / "assets"
LOCALES = ASSETS / "locales"
EXAMPLES = ASSETS / "examples"
