"""Teaches the text encoder what captions say, before there is music to it: python -m training.text_encoder

A language model hears of a caption only through the music that it gets wrong, which teaches slowly. So first the
encoder learns to tell attributes from captions, each by the sum of what every token's state says; what a caption
doesn't say costs the same for all. Leaves training/out/text-encoder.safetensors.
"""

import argparse
import time

import torch
from torch import nn
from torch.nn import functional as F

from training import data, nano
from training.attributes import BEAT_FRAMES, LEADS, MODES, MOODS, STYLES
from training.models import (
    TEXT_ENCODER_FILE,
    TEXT_TOKENS,
    device_and_dtype,
    make_model,
    make_tokenizer,
    save_weights,
    share_of_rate,
)

CLIPS = 12_000  # whose captions are learnt from
BATCH = 128
LEARNING_RATE, WARM_UP = 2e-3, 50  # at its height, falls as a cosine over the time given; steps
HELD_OUT = 512  # captions
NAMES = {
    "style": tuple(STYLES), "tonic": tuple(range(12)), "mode": tuple(MODES), "lead": LEADS, "mood": tuple(MOODS),
    "has_drums": (False, True), "metre": (3, 4), "beat_frames": tuple(range(BEAT_FRAMES[0], BEAT_FRAMES[1] + 1)),
}  # fmt: skip


def classes(attributes) -> list[int]:
    """What the captions of these attributes should tell, one number for each of NAMES."""
    return [known.index(getattr(attributes, name)) for name, known in NAMES.items()]


class Questions(nn.Module):
    """states (batch, tokens, width), mask → logits of each attribute: the sum of what every token says."""

    def __init__(self):
        super().__init__()
        self.sizes = [len(known) for known in NAMES.values()]
        self.answers = nn.Linear(nano.TEXT_WIDTH, sum(self.sizes))

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
        return (self.answers(states) * mask[..., None]).sum(1).split(self.sizes, 1)

    def loss(self, states: torch.Tensor, mask: torch.Tensor, goals: torch.Tensor) -> torch.Tensor:
        """Sum of the cross-entropies, in nats; goals (batch, attributes) are `classes`."""
        return sum(F.cross_entropy(answer, goals[:, i]) for i, answer in enumerate(self(states, mask)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4)
    minutes = parser.parse_args().minutes
    device, _ = device_and_dtype()
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    encoder, questions = make_model(False).text_encoder.to(device), Questions().to(device)
    texts, goals = [], []
    for seed in range(CLIPS):
        attributes = data.draw_clip(seed)
        captions = data.caption_clip(attributes, seed)
        texts += captions
        goals += [classes(attributes)] * len(captions)
    ids = tokenizer(texts, padding="max_length", truncation=True, max_length=TEXT_TOKENS, return_tensors="pt").input_ids
    ids, goals = ids.to(device), torch.tensor(goals, device=device)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *questions.parameters()], lr=0.0, weight_decay=0.01)

    def read(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        some = ids[rows]
        some = some[:, : int((some != 0).sum(1).max())]
        mask = (some != 0).long()
        return encoder(input_ids=some, attention_mask=mask).last_hidden_state, mask

    began, step, total = time.perf_counter(), 0, 0.0
    while (progress := (time.perf_counter() - began) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * share_of_rate(step, WARM_UP, progress)
        rows = torch.randint(len(ids) - HELD_OUT, (BATCH,), device=device)
        loss = questions.loss(*read(rows), goals[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([*encoder.parameters(), *questions.parameters()], 1.0)
        optimizer.step()
        step, total = step + 1, total + loss.detach()
        if step % 50 == 0:
            print(f"{progress * minutes:5.1f} min, step {step}: {float(total) / 50:.3f}", flush=True)
            total = 0.0
    with torch.no_grad():
        rows = torch.arange(len(ids) - HELD_OUT, len(ids), device=device)
        right = [(a.argmax(1) == goals[rows, i]).float().mean() for i, a in enumerate(questions(*read(rows)))]
    told = ", ".join(f"{name} {float(share):.0%}" for name, share in zip(NAMES, right, strict=True))
    print(f"right, though captions don't say all: {told}")
    save_weights(encoder, TEXT_ENCODER_FILE, torch.float32, leave="encoder.embed_tokens")  # is shared.weight


if __name__ == "__main__":
    main()
