"""What the language models learn from in one step: pieces of clips, of several lengths, cut in several ways."""

from typing import NamedTuple

import numpy as np
import torch

from training import data, nano
from training.attributes import FRAME_RATE
from training.encode import CODES
from training.text_encoder import classes

# How pieces are cut from clips. Music begins with a bar, on the tonic: where a decoder has learnt that, its beats and
# its key can be settled from the first frame on. So a piece is its clip's beginning (START), or is from anywhere and
# keeps its place, as the decoder counts places (PLACE): where in a bar the music is follows from how far it has come
# and from the tempo asked for. But a user's clip begins wherever it was cut, and how it begins isn't learnt (CUT); and
# a melody begins where it is cut (MELODY).
START, PLACE, CUT, MELODY = "start", "place", "cut", "melody"
# Share of batches, seconds of the clips, seconds of them that are learnt, how these are cut. Longer pieces foretell
# themselves, and what words mean isn't found among all that: it is in pieces of a few frames, several of one caption.
LENGTHS = (
    (0.24, data.SECONDS, 0.06, PLACE),
    (0.08, data.SECONDS, 1.0, PLACE),
    (0.12, data.SECONDS, 4.0, PLACE),
    (0.12, data.SECONDS, 4.0, CUT),
    (0.36, data.SECONDS, data.SECONDS, START),
    (0.08, data.LONG_SECONDS, data.LONG_SECONDS, START),
)
# The melody model is told before its codes (235 places and the words), and short pieces would be hardly anything else.
MELODY_LENGTHS = (
    (0.15, data.SECONDS, 2.5, MELODY),
    (0.35, data.SECONDS, 5.0, START),
    (0.5, data.SECONDS, data.SECONDS, START),
)
# What is trained goes on gently, and mostly with beginnings, where there is nothing to follow but words.
FURTHER_LENGTHS = (
    (0.1, data.SECONDS, 4.0, CUT),
    (0.25, data.SECONDS, 1.5, START),
    (0.35, data.SECONDS, 5.0, START),
    (0.3, data.SECONDS, data.SECONDS, START),
)
SHORTEST, PIECES = 0.1, 4  # seconds below which several pieces have one caption
# What comes again after a bar or two is how music keeps its time. Of the longer pieces, this share is one bar or two,
# again and again: there a model finds that out, and then hears it in the others.
LOOPS, LOOPED_FROM = 0.25, 4.0  # share; seconds
CHROMA_RATE = nano.SAMPLING_RATE / nano.CHROMA["hop_length"]  # per second
TEXT_STEP = 8  # captions of a batch are at most so many tokens apart


class Batch(NamedTuple):
    """What is learnt in one step. A caption's rows follow each other: one, or PIECES where they are of the shortest."""

    codes: torch.Tensor  # (rows, codebooks, frames)
    chroma: torch.Tensor  # (rows, chroma frames)
    ids: torch.Tensor  # (captions, tokens), all about as long, since the melody model's codes begin after them
    period: torch.Tensor  # (rows, 2), frames after which the music comes again: a bar, or what is looped; and a beat
    goals: torch.Tensor  # (rows, questions, frames), what `guides.Questions` ask
    place: torch.Tensor  # (rows, 1), of the first frame, as the decoder counts places
    cut: bool  # whether they begin as a user's clip does, with what isn't learnt


class Codes:
    """A split's codes, chroma and tokenized captions in the device's memory, by how long the clips are."""

    def __init__(self, split: str, device: torch.device, melody: bool = False, lengths=LENGTHS):
        self.split, self.device, self.seen = split, device, set()
        self.parts, self.texts = {}, {}  # by seconds: what there is by name; which captions are so many tokens long
        self.lengths = lengths
        self.before = nano.CHROMA_LENGTH if melody else 0  # places ahead of the codes
        self.refresh()

    def __len__(self) -> int:
        return sum(len(part["codes"]) for part in self.parts.values())

    def refresh(self) -> None:
        """Takes in the shards that have come."""
        for seconds in (data.SECONDS, data.LONG_SECONDS):
            new = [path for path in data.shards(self.split, CODES, seconds) if path not in self.seen]
            if not new:
                continue
            self.seen.update(new)
            shards = [np.load(path) for path in new]
            names = ("codes", "chroma", "captions")
            parts = {name: np.concatenate([shard[name] for shard in shards]) for name in names}
            seeds = [seed for path in new for seed in data.shard_seeds(data.number_of(path))]
            clips = [data.draw_clip(seed, self.split) for seed in seeds]
            parts["periods"] = np.array([(clip.bar_frames, clip.beat_frames) for clip in clips])
            parts["attributes"] = np.array([classes(clip) for clip in clips])
            known = self.parts.setdefault(seconds, {})
            for name, values in parts.items():
                part = torch.from_numpy(values).to(self.device)
                known[name] = torch.cat([known[name], part]) if name in known else part
            lengths = (known["captions"] != 0).sum(2).flatten().cpu()
            groups = -(-lengths // TEXT_STEP)
            self.texts[seconds] = [
                (TEXT_STEP * group, torch.nonzero(groups == group)[:, 0].to(self.device))
                for group in groups.unique().tolist()
            ]

    def below(self, limit: int, *shape: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Numbers from 0 to below the limit."""
        return torch.randint(limit, shape, generator=generator, device=self.device)

    def draw(self, count: int, generator: torch.Generator | None = None, seconds: float = 0.0) -> Batch:
        """A batch that is as much work as `count` clips of ten seconds: of `seconds`, whole, or else by LENGTHS.

        Without a generator nothing waits for the device.
        """
        whole, heard, kind = bool(seconds), seconds, START
        if not whole:
            known = [length for length in self.lengths if length[1] in self.parts]
            chances = torch.tensor([length[0] for length in known])
            _, seconds, heard, kind = known[int(torch.multinomial(chances, 1))]
        part = self.parts[seconds]
        frames, total = int(heard * FRAME_RATE), part["codes"].shape[2]
        pieces = PIECES if heard < SHORTEST else 1
        steps = (self.before + data.SECONDS * FRAME_RATE) / (self.before + frames + nano.CODEBOOKS - 1)
        texts = max(1, int(count * steps / pieces))
        groups = self.texts[seconds]
        chances = torch.tensor([float(len(group)) for _, group in groups], device=generator and generator.device)
        number = int(torch.multinomial(chances, 1, generator=generator))
        longest, group = groups[number]
        which = group[self.below(len(group), texts, generator=generator)]
        ids = part["captions"].flatten(0, 1)[which, :longest].long()
        rows = (which // part["captions"].shape[1]).repeat_interleave(pieces)
        bar, beat = part["periods"][rows].split(1, 1)
        start = torch.zeros_like(bar)
        if kind != START:
            start = self.below(total - frames, len(rows), 1, generator=generator)
        turn = torch.full_like(start, total)  # frames after which a row begins again: none does
        if kind == START and heard >= LOOPED_FROM and not whole:
            turn = self.looped(bar, frames, total)
        places = start + torch.arange(frames, device=self.device) % turn
        moment = torch.stack([places % beat, places % bar // beat], 1)  # how far into the beat, which beat
        attributes = part["attributes"][rows, :, None].expand(-1, -1, frames)
        codes = part["codes"][rows[:, None], :, places].transpose(1, 2)
        chroma = part["chroma"]
        moments = torch.arange(chroma.shape[1], device=self.device) / CHROMA_RATE * FRAME_RATE  # in frames
        places = ((start + moments % turn) / FRAME_RATE * CHROMA_RATE).round().long()
        chroma = chroma[rows[:, None], places % chroma.shape[1]]  # from where the codes begin
        period = torch.cat([torch.where(turn < total, turn, bar), beat], 1)
        goals = torch.cat([attributes, moment], 1)
        place = start if kind == PLACE else torch.zeros_like(start)
        return Batch(codes.long(), chroma.long(), ids, period, goals, place, kind == CUT)

    def looped(self, bar, frames: int, total: int) -> torch.Tensor:
        """After how many frames rows begin again (rows, 1): some after their first bar (rows, 1) or two.

        No other bar: a row whose only chord isn't the tonic teaches that the key of its caption means nothing.
        """
        looped = bar * (1 + self.below(2, len(bar), 1))
        chosen = (torch.rand(len(bar), 1, device=self.device) < LOOPS) & (2 * looped <= frames)
        return torch.where(chosen, looped, total)
