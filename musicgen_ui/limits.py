"""Every limit on what a user may ask for, in one place."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds checked before work starts. Each stands in one sentence that the user reads when it is passed."""

    prompt_characters: int = 2_000
    prompts: int = 8
    takes: int = 4
    rows: int = 8
    """prompts × takes: the rows of one batch"""
    piece_seconds: float = 300.0
    """a piece, its clip included"""
    clip_bytes: int = 50 * 1024 * 1024
    clip_seconds: float = 600.0
    """a longer file is refused unread"""
    heard_seconds: float = 300.0
    """of a longer file the first so many seconds are read: as much as a piece may begin with"""
    clip_channels: int = 32
    padding: int = 600
    """padded_seconds and padded_tokens of a record that is made again"""
    queue: int = 16
    """requests that may wait for the engine, the running one included"""
    queue_per_user: int = 4
    """of which one user's"""
    own_models: bool = True
    """whether a model may be a folder or any id of the hub; not for strangers on a Space or in a network"""

    @classmethod
    def of_this_machine(cls) -> "Limits":
        served_here_only = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1") in ("127.0.0.1", "localhost", "::1")
        return cls(own_models=served_here_only and "SPACE_ID" not in os.environ)
