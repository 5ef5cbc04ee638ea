"""MusicGen by MindNLP on MindSpore: an engine, a command line, and (in `ui`) a Gradio page."""

__version__ = "0.1.0"
