"""Rewards the text model for music that is heard to be what was asked for: python -m training.reinforce --minutes 9

To learn codes by heart teaches what music is like rather than to do as one is told: a tempo or a key is worth a few
nats of a clip's thousand. So the model plays each caption several times, its takes are heard (`training.ear`), and what
led to those that are nearer to what was asked for becomes likelier (REINFORCE, Williams 1992, with the other takes of
the caption as its baseline: Kool et al. 2019). What is played and what learns is the guided distribution, as the app
draws from it. To go away from the model as it was costs something, so that music stays music (Stiennon et al. 2020).

Made for a GPU; what it was worth so far, training/README.md says. Captions are of combinations that are trained on. If
there are clips (training.data), some takes go on from them. Stop it at any time; started again it goes on. Leaves
training/out/language-model.safetensors.
"""

import argparse
import copy
import time
from collections import defaultdict, deque
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from training import data, decoder, nano, sampling
from training.attributes import FRAME_RATE, Attributes
from training.captions import chinese, english
from training.ear import Ear
from training.language_model import PAD, delayed, warm_start
from training.models import CODEC, LANGUAGE_MODEL_FILES, make_model, make_tokenizer, save_weights, warm_codec

SECONDS, BEGUN_SECONDS = 6, 3  # of a take; of a clip that it goes on from
CAPTIONS, TAKES = {"cuda": 64, "cpu": 16}, 8  # of a step, of each
CONTINUED_EVERY = 4  # one step of so many goes on from clips
NAMED = {"lead": 0.8, "style": 0.7, "key": 0.8, "bpm": 0.8, "drums": 0.7, "mood": 0.3}  # how often captions name these
GUIDANCE, TOP_K = 3.0, 250  # as the app draws; without words it doesn't guide
LEARNING_RATE, WARM_UP = 3e-5, 4  # steps
BETAS, CLIP_GRADIENT = (0.9, 0.99), 1.0
DISTANCE = 0.05  # what a nat per code away from the model as it was costs, in rewards
LEARNT = 0.5  # share of the takes: those that stand out, for better or worse (Xu et al. 2025)
LONGEST_REST = 64  # frames in which no code moves: clips that were learnt from have less
# What is rewarded, and how much of it is owed to each codebook: the first two tell chords and leads, the third basses
# and bass drums, the fourth strokes and breath (training/README.md).
CREDIT = {
    "bpm": (1.0, 1.0, 1.0, 1.0), "key": (1.0, 1.0, 1.0, 0.0), "lead": (1.0, 1.0, 0.3, 0.5),
    "drums": (0.2, 0.2, 1.0, 1.0), "moves": (1.0, 1.0, 1.0, 1.0),
}  # fmt: skip
ROWS = {"cuda": 64, "cpu": 16}  # takes whose gradient is found at once
TELL_STEPS = 12  # of the means that are printed
SAVE_SECONDS = 120
STATE = data.OUT / "reinforced.pt"


class Wanted(NamedTuple):
    """What takes are to be, and which of its attributes are rewarded."""

    attributes: Attributes
    text: str
    rewarded: frozenset[str]
    begun: np.ndarray | None = None  # samples to go on from


def draw_caption(rng: np.random.Generator) -> Wanted:
    """A caption in either language."""
    attributes = data.draw_clip(int(rng.integers(1 << 40)))
    named = {name for name, odds in NAMED.items() if rng.random() < odds} or {"lead"}
    text = (english, chinese)[int(rng.integers(2))](rng, attributes, named)
    return Wanted(attributes, text, frozenset(named))


def draw_clip(rng: np.random.Generator, paths) -> Wanted:
    """The beginning of a clip of the shards in `paths`, without words."""
    path = paths[int(rng.integers(len(paths)))]
    clips = np.load(path, mmap_mode="r")
    number = int(rng.integers(len(clips)))
    begun = clips[number, : BEGUN_SECONDS * nano.SAMPLING_RATE].astype(np.float32) / 32767
    attributes = data.draw_clip(data.shard_seeds(data.number_of(path))[number])
    return Wanted(attributes, "", frozenset(CREDIT), begun)


def rests(codes: torch.Tensor) -> torch.Tensor:
    """The most frames in a row in which none of codes (takes, codebooks, frames) changes, (takes,)."""
    longest = run = torch.zeros(len(codes), dtype=torch.long)
    for moves in (codes.diff(dim=2) != 0).any(1).T.cpu():
        run = torch.where(moves, 0, run + 1)
        longest = torch.maximum(longest, run)
    return longest


def advantages(rewards: dict[str, torch.Tensor]) -> torch.Tensor:
    """How much better each take is than the others of its caption, (takes, codebooks); rewards (takes,) of each kind,
    not a number where nothing is rewarded."""
    total = 0.0
    for name, values in rewards.items():
        groups = values.view(-1, TAKES)
        ahead = (groups - groups.mean(1, keepdim=True)) * TAKES / (TAKES - 1)
        total = total + ahead.nan_to_num().flatten()[:, None] * torch.tensor(CREDIT[name])
    return total


class Lesson:
    """The model that learns, the model as it was, and the ear."""

    def __init__(self, device: torch.device):
        self.device, self.tokenizer, self.model = device, make_tokenizer(), make_model(False)
        print(f"starts from {warm_start(self.model, False)}, codec from {warm_codec(self.model.audio_encoder)}")
        self.model.to(device).eval().requires_grad_(False)
        self.before = copy.deepcopy(torch.nn.ModuleList([self.model.decoder, self.model.enc_to_dec_proj]))
        self.learnt = [*self.model.decoder.parameters(), *self.model.enc_to_dec_proj.parameters()]
        for parameter in self.learnt:
            parameter.requires_grad_(True)
        self.optimizer = torch.optim.AdamW(self.learnt, lr=0.0, betas=BETAS, weight_decay=0.0)
        self.ear, self.player = Ear(SECONDS, device), sampling.Player(self.model.audio_encoder)

    def read(self, wanted: list[Wanted]) -> tuple[torch.Tensor, torch.Tensor]:
        """What T5 makes of the texts, and their mask: (takes, tokens, text width), (takes, tokens)."""
        ids = self.tokenizer([one.text for one in wanted], padding=True, return_tensors="pt").input_ids.to(self.device)
        mask = (ids != 0).long()
        with torch.no_grad():
            states = self.model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return states.repeat_interleave(TAKES, 0), mask.repeat_interleave(TAKES, 0)

    @torch.no_grad()
    def play(self, wanted: list[Wanted], guidance: float) -> tuple[torch.Tensor, int]:
        """TAKES of each, (takes, codebooks, frames), and how many of the frames were there before."""
        begun = torch.empty(len(wanted), nano.CODEBOOKS, 0, dtype=torch.long, device=self.device)
        if wanted[0].begun is not None:
            audio = torch.from_numpy(np.stack([one.begun for one in wanted])).to(self.device)
            begun = self.model.audio_encoder.encode(audio[:, None]).audio_codes[0]
        read, mask = self.read(wanted)
        states = self.model.enc_to_dec_proj(read) * mask[..., None]
        frames = begun.shape[2] + SECONDS * FRAME_RATE
        begun = begun.repeat_interleave(TAKES, 0)
        return sampling.draw(self.model.decoder, states, mask, begun, frames, guidance, TOP_K), begun.shape[2]

    @torch.no_grad()
    def rewards(self, wanted: list[Wanted], codes: torch.Tensor, known: int) -> dict[str, torch.Tensor]:
        """Of each attribute (takes,), 0 … 1; not a number where it isn't rewarded."""
        audio = torch.cat([self.player(some) for some in codes.split(ROWS[self.device.type])])
        heard = self.ear.hear(audio[:, known * nano.SAMPLING_RATE // FRAME_RATE :])
        told = {name: torch.full((len(codes),), torch.nan) for name in CREDIT}
        told["moves"] = (rests(codes[:, :, known:]) < LONGEST_REST).float()
        for take in range(len(codes)):
            one = wanted[take // TAKES]
            for name, value in self.ear.judge(heard, take, one.attributes).items():
                if name in one.rewarded:
                    told[name][take] = value
        return told

    def log_chances(self, parts, read, mask, codes: torch.Tensor, guidance: float) -> torch.Tensor:
        """Log-probabilities (takes, steps, codebooks, codes) of what the app draws from; parts: as in `before`."""
        states, inputs = parts[1](read) * mask[..., None], delayed(codes)[0]
        if guidance != 1:
            states, mask = torch.cat([states, torch.zeros_like(states)]), mask.repeat(2, 1)
            inputs = inputs.repeat(2, 1, 1)
        logits = decoder.logits(parts[0], inputs, states, mask).unflatten(0, (-1, len(codes)))
        return F.log_softmax(sampling.guided(logits, guidance), -1)

    def learn(self, wanted, codes: torch.Tensor, known: int, guidance: float, ahead: torch.Tensor) -> float:
        """Gradients of one step; returns how far away the model has gone, in nats per code. ahead: `advantages`."""
        ahead = ahead.to(self.device)
        learnt = codes.clone()
        learnt[:, :, :known] = PAD
        targets = delayed(learnt)[1].transpose(1, 2)  # (takes, steps, codebooks)
        standing_out = ahead.square().sum(1).topk(int(LEARNT * len(codes))).indices
        count = (targets[standing_out] != PAD).sum()
        chosen = standing_out[torch.randperm(len(standing_out))].split(ROWS[self.device.type])
        read, mask = self.read(wanted)
        own = torch.nn.ModuleList([self.model.decoder, self.model.enc_to_dec_proj])
        for number, rows in enumerate(chosen):
            given = read[rows], mask[rows], codes[rows], guidance
            chances, known_to_be = self.log_chances(own, *given), targets[rows] != PAD
            drawn = chances.gather(-1, targets[rows].where(known_to_be, 0)[..., None])[..., 0]
            loss = -(drawn * known_to_be * ahead[rows, None]).sum() / count
            if number == 0:  # some say enough of how far away it is
                with torch.no_grad():
                    old = self.log_chances(self.before, *given)
                away = ((chances.exp() * (chances - old)).sum(-1) * known_to_be).sum() / known_to_be.sum()
                loss = loss + DISTANCE * away
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.learnt, CLIP_GRADIENT)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(away.detach())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9, help="in all, with what earlier calls have used")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_float32_matmul_precision("high")
    lesson, paths = Lesson(device), data.shards("train", seconds=data.SECONDS)
    step, spent = 0, 0.0
    if STATE.is_file():
        state = torch.load(STATE, map_location=device)
        lesson.model.load_state_dict(state["model"], strict=False)
        lesson.before.load_state_dict(state["before"])
        lesson.optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["spent"]
        print(f"going on from step {step}, after {spent / 60:.1f} minutes")
    rng = np.random.default_rng(step)
    torch.manual_seed(step)

    def save() -> None:
        own = {name: value for name, value in lesson.model.state_dict().items() if not name.startswith(CODEC)}
        state = {"model": own, "before": lesson.before.state_dict(), "step": step, "spent": spent}
        state["optimizer"] = lesson.optimizer.state_dict()
        torch.save(state, STATE.with_suffix(".part"))
        STATE.with_suffix(".part").rename(STATE)
        save_weights(lesson.model, LANGUAGE_MODEL_FILES[False], torch.float16, leave=CODEC)

    saved = time.perf_counter()
    recent = defaultdict(lambda: deque(maxlen=TELL_STEPS))
    try:
        while spent < 60 * options.minutes:
            began = time.perf_counter()
            kind = "continued" if paths and step % CONTINUED_EVERY == CONTINUED_EVERY - 1 else "captions"
            guidance = GUIDANCE if kind == "captions" else 1.0
            draws = range(CAPTIONS[device.type])
            wanted = [draw_caption(rng) if kind == "captions" else draw_clip(rng, paths) for _ in draws]
            codes, known = lesson.play(wanted, guidance)
            played = time.perf_counter()
            rewards = lesson.rewards(wanted, codes, known)
            heard = time.perf_counter()
            falls = min(1.0, 3 * (1 - spent / (60 * options.minutes)))  # over the last third
            for group in lesson.optimizer.param_groups:
                group["lr"] = LEARNING_RATE * min(1, (step + 1) / WARM_UP) * max(0.1, falls)
            away = lesson.learn(wanted, codes, known, guidance, advantages(rewards))
            done = time.perf_counter()
            step, spent = step + 1, spent + done - began
            recent[kind].append([float(values.nanmean()) for values in rewards.values()])
            means = (f"{name} {mean:.3f}" for name, mean in zip(rewards, np.nanmean(recent[kind], 0), strict=True))
            print(
                f"{spent / 60:5.1f} min, step {step}, {kind}: {', '.join(means)}; "
                f"{away:.4f} nats away; {played - began:.1f} + {heard - played:.1f} + {done - heard:.1f} s",
                flush=True,
            )
            if done - saved > SAVE_SECONDS:
                save()
                saved = done
    except KeyboardInterrupt:
        print("stopped; the same call goes on from here")
    save()


if __name__ == "__main__":
    main()
