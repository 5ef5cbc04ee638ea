"""How the bundled checkpoints are made: data from our own synthesizer, then the codec, then the language model."""
