"""Teaches the text encoder to say the same in other words: python -m training.paraphrase --minutes 12

What the decoder hears of a caption depends on how it is put: a Chinese one moved it as far from the English one that
names the same as another key would, and guidance makes that three times as loud. Here the mean of what it hears of
several English captions becomes what it hears of each, in English or Chinese. Captions that name an occasion stay what
they are. The decoder stays as it is, too, so a step is short. Needs training.encode and a text model; leaves it in
training/out/language-model.safetensors. Begins with what is there when it is started again.
"""

import argparse
import copy
import time

import numpy as np
import torch
from torch.nn import functional as F

from training import data, decoder, nano
from training.captions import chinese, draw_subset, english
from training.encode import CODES
from training.free_text import add_noise, occasion
from training.language_model import delayed
from training.models import (
    CODEC,
    FOLDERS,
    LANGUAGE_MODEL_FILES,
    TEXT_TOKENS,
    device_and_dtype,
    load_weights,
    make_model,
    make_tokenizer,
    save_weights,
    share_of_rate,
)

CLIPS, HELD_OUT = 768, 64  # whose music asks what words say
FRAMES, PLACES = 300, 24  # of a clip that the decoder hears, and of these where it is asked what it wants to know
BATCH, TEACHERS = 16, 6  # clips of a step; English captions whose mean is right
STUDENTS = (english, english, chinese, chinese)  # that are to say so
ALL_KEYS = 0.5  # share of clips whose captions name key and tempo besides what is drawn
NOISY = 0.2  # share of students with words that mean nothing
LEARNING_RATE, WARM_UP = 5e-4, 50  # at its height, falls as a cosine over the time given; steps
CLIP_GRADIENT = 1.0


class Listener:
    """What a text model's decoder hears of words: each layer's cross-attention, at places of clips."""

    def __init__(self, model):
        self.layers, self.project = model.decoder.model.decoder.layers, model.enc_to_dec_proj
        self.decoder, self.tokenizer = model.decoder, make_tokenizer()

    def read(self, encoder, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """States (captions, tokens, width) and their mask, as `MusicgenForConditionalGeneration` has them."""
        given = self.tokenizer(captions, padding=True, truncation=True, max_length=TEXT_TOKENS, return_tensors="pt")
        ids = given.input_ids.to(self.project.weight.device)
        mask = (ids != 0).long()
        states = self.project(encoder(input_ids=ids, attention_mask=mask).last_hidden_state)
        return states * mask[..., None], mask

    @torch.no_grad()
    def questions(self, encoder, codes: torch.Tensor, captions: list[str]) -> torch.Tensor:
        """Queries (clips, layers, heads, PLACES, size) at places of codes (clips, codebooks, FRAMES), drawn anew."""
        places = torch.randperm(codes.shape[2], device=codes.device)[:PLACES]
        asked: list[torch.Tensor] = []
        hooks = [
            layer.encoder_attn.q_proj.register_forward_hook(lambda *given: asked.append(given[2][:, places]))
            for layer in self.layers
        ]
        decoder.logits(self.decoder, delayed(codes)[0], *self.read(encoder, captions))
        for hook in hooks:
            hook.remove()
        return torch.stack([decoder.split(queries, nano.HEADS) for queries in asked], 1)

    def __call__(self, encoder, questions: torch.Tensor, captions: list[str]) -> torch.Tensor:
        """What is heard (captions, layers, PLACES, width); questions (captions, layers, heads, PLACES, size)."""
        states, mask = self.read(encoder, captions)
        heard = []
        for number, layer in enumerate(self.layers):
            attention = layer.encoder_attn
            k, v = (decoder.split(part(states), nano.HEADS) for part in (attention.k_proj, attention.v_proj))
            allowed = mask[:, None, None].bool()
            some = F.scaled_dot_product_attention(questions[:, number], k, v, attn_mask=allowed)
            heard.append(attention.out_proj(decoder.joined(some)))
        return torch.stack(heard, 1)


class Clips:
    """Clips of a split: their attributes, and what the decoder asks while it hears them."""

    def __init__(self, split: str, count: int, listener: Listener, encoder):
        rng = np.random.default_rng(0)
        self.attributes, asked = [], []
        paths = data.shards(split, CODES, data.SECONDS)
        if not paths:
            raise SystemExit("there are no codes: python -m training.encode")
        codes = torch.cat([torch.from_numpy(np.load(path)["codes"][:count, :, :FRAMES]) for path in paths])[:count]
        seeds = [seed for path in paths for seed in data.shard_seeds(data.number_of(path))][:count]
        for some, numbers in zip(codes.split(BATCH), torch.tensor(seeds).split(BATCH), strict=True):
            own = [data.draw_clip(seed, split) for seed in numbers.tolist()]
            captions = [english(rng, attributes, draw_subset(rng)) for attributes in own]
            asked.append(listener.questions(encoder, some.long().to(listener.project.weight.device), captions))
            self.attributes += own
        self.questions = torch.cat(asked)

    def draw(self, rng: np.random.Generator, rows: np.ndarray, named=None):
        """Captions of clips: TEACHERS English ones each, one for each of STUDENTS; an occasion, which is to stay."""
        teachers, students, kept = [], [], []
        for row in rows:
            attributes = self.attributes[row]
            names = named or draw_subset(rng) | ({"key", "bpm"} if rng.random() < ALL_KEYS else set())
            teachers += [english(rng, attributes, names) for _ in range(TEACHERS)]
            for write in STUDENTS:
                caption = write(rng, attributes, names)
                students.append(add_noise(rng, caption) if named is None and rng.random() < NOISY else caption)
            kept.append(occasion(rng, attributes, rng.random() < 0.5))  # "" where none is known
        return teachers, students, kept


@torch.no_grad()
def mean_heard(listener: Listener, encoder, questions: torch.Tensor, teachers: list[str]) -> torch.Tensor:
    """What is heard of each clip's teachers on the average, (clips, layers, PLACES, width)."""
    heard = listener(encoder, questions.repeat_interleave(TEACHERS, 0), teachers)
    return heard.unflatten(0, (-1, TEACHERS)).mean(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12)
    minutes = parser.parse_args().minutes
    device, _ = device_and_dtype()
    torch.manual_seed(0)
    model, own = make_model(False), LANGUAGE_MODEL_FILES[False]
    known = own if own.is_file() else FOLDERS[False] / "model.safetensors"
    print(f"starts from {load_weights(model, known)} tensors of {known.relative_to(known.parents[1])}")
    model.to(device).eval().requires_grad_(False)
    encoder, teacher = model.text_encoder.requires_grad_(True), copy.deepcopy(model.text_encoder).requires_grad_(False)
    listener = Listener(model)
    train, held_out = (Clips(*some, listener, teacher) for some in (("train", CLIPS), ("held-out", HELD_OUT)))
    rows = np.arange(len(held_out.attributes))
    captions = held_out.draw(np.random.default_rng(0), rows, {"lead", "style", "key", "bpm", "drums"})
    right = mean_heard(listener, teacher, held_out.questions, captions[0])
    spread = (right - right.mean(0)).square().sum(3).mean((0, 2))  # of each layer, between clips

    def apart(heard: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """How far it is from what is right, as a share of what is between clips; (captions,)"""
        return ((heard - right).square().sum(3).mean(2) / spread).mean(1)

    def told() -> str:
        with torch.no_grad():
            heard = listener(encoder, held_out.questions.repeat_interleave(len(STUDENTS), 0), captions[1])
            each = apart(heard, right.repeat_interleave(len(STUDENTS), 0)).view(-1, len(STUDENTS)).mean(0)
        return "held out: " + ", ".join(f"{write.__name__} {x:.3f}" for write, x in zip(STUDENTS, each, strict=True))

    print(told(), flush=True)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=0.0, betas=(0.9, 0.99), weight_decay=0.0)
    rng = np.random.default_rng(1)
    began, step, total = time.perf_counter(), 0, torch.zeros(2, device=device)
    while (progress := (time.perf_counter() - began) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * share_of_rate(step, WARM_UP, progress)
        rows = rng.integers(len(train.attributes), size=BATCH)
        teachers, students, kept = train.draw(rng, rows)
        asked = train.questions[torch.from_numpy(rows).to(device)]
        goal = mean_heard(listener, teacher, asked, teachers)
        with torch.no_grad():
            as_it_was = listener(teacher, asked, kept)
        heard = listener(encoder, torch.cat([asked.repeat_interleave(len(STUDENTS), 0), asked]), students + kept)
        differ = apart(heard, torch.cat([goal.repeat_interleave(len(STUDENTS), 0), as_it_was]))
        loss = torch.stack([differ[: len(students)].mean(), differ[len(students) :].mean()])
        optimizer.zero_grad()
        loss.sum().backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), CLIP_GRADIENT)
        optimizer.step()
        step, total = step + 1, total + loss.detach()
        if step % 50 == 0:
            other, same = (total / 50).tolist()
            spent = f"{progress * minutes:5.1f} min, step {step}"
            print(f"{spent}: other words {other:.3f}, the same {same:.3f}", flush=True)
            total.zero_()
        if step % 200 == 0:
            print(told(), flush=True)
    print(told())
    save_weights(model, own, torch.float16, leave=CODEC)


if __name__ == "__main__":
    main()
