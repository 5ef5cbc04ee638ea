"""What the bundled checkpoints can do, measured on music that our MindNLP pipeline makes: python -m training.evaluate

Runs in the app's own environment. Prompts describe combinations of attributes that nothing was trained on. Each figure
stands beside chance (the same music held against another prompt's attributes), beside the synthesizer's own clips, and
beside those clips' round trip through the codec. What is made is kept in training/out, so a stopped run goes on.
"""

import argparse
import json
import zlib
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import soundfile

from musicgen_ui import hearing
from musicgen_ui.paths import ASSETS
from musicgen_ui.pipeline import Pipeline
from musicgen_ui.request import Clip, Request, Settings
from training import data, measures
from training.captions import chinese, english
from training.free_text import FORMS_EN, OCCASIONS
from training.oscillators import SAMPLE_RATE
from training.synthesizer import render

SECONDS, PROMPT_SECONDS = 10, 4  # of what is made; of a clip to be continued
BATCH = 8  # prompts in a call
NAMED = ("lead", "style", "key", "bpm", "drums")  # what the prompts ask for
FITTED_ON = 900  # clips of the synthesizer that the classifiers learn from
SILENT, CLIPPED = 1e-3, 1e-3  # RMS; share of samples at full scale
STUCK = 100  # frames in which no codebook moves: of 384 clips that were learnt from none rested for more than 63
COPIED = 0.5  # of all codes equal to a training clip's at the same place: a copy
TARGETS = {
    "drums as asked": 0.90, "tempo within 4 %": 0.70, "key": 0.60, "instrument": 0.70, "melody: cosine": 0.6,
    "melody: margin": 0.4, "continuation keeps key": 0.70, "continuation keeps tempo": 0.70,
}  # fmt: skip
SETS = ("synthesizer", "round trip", "text", "chinese", "unguided", "free text", "melody", "continue")


class Ears:
    """Hears what a clip is: tempo and key by librosa, instrument and drums by classifiers fitted on the synthesizer."""

    def __init__(self, folder: Path):
        path = folder / f"fitted-{FITTED_ON}.npz"
        if not path.exists():
            attributes = [data.draw_clip(seed) for seed in range(FITTED_ON)]
            clips = (render(data.compose_clip(seed))[0] for seed in range(FITTED_ON))
            features = np.stack([measures.timbre(clip) for clip in clips])
            drums = [one.has_drums for one in attributes]
            np.savez(path, features=features, leads=[one.lead for one in attributes], drums=drums)
        fitted = np.load(path)
        self.leads = measures.classifier(fitted["features"], fitted["leads"])
        self.drums = measures.classifier(fitted["features"], fitted["drums"])

    def hear(self, audio: np.ndarray) -> dict:
        """audio (samples,) → JSON values."""
        features = measures.timbre(audio)[None]
        return {
            "tempo": hearing.tempo(audio, SAMPLE_RATE)[0],
            "key": list(hearing.key(audio, SAMPLE_RATE)[:2]),
            "lead": str(self.leads.predict(features)[0]),
            "drums": bool(self.drums.predict(features)[0]),
            "rms": float(np.sqrt((audio**2).mean())),
            "clipped": float((np.abs(audio) >= 0.999).mean()),
        }


def longest_rest(codes: np.ndarray) -> int:
    """The most frames in a row in which none of codes (codebooks, frames) changes."""
    longest = run = 0
    for moves in (np.diff(codes, axis=1) != 0).any(0):
        run = 0 if moves else run + 1
        longest = max(longest, run)
    return longest


class Evaluation:
    """Makes and hears the sets of clips; each entry is kept as soon as it is there."""

    def __init__(self, assets: Path, prompts: int, engine: str):
        self.pipeline, self.engine = Pipeline(), engine
        self.folders = {"nano": assets / "musicgen-nano", "nano-melody": assets / "musicgen-nano-melody"}
        mark = zlib.crc32(b"".join((f / "model.safetensors").read_bytes() for f in self.folders.values()))
        self.out = data.OUT / "evaluation" / f"{mark:08x}-{engine}"
        self.out.mkdir(parents=True, exist_ok=True)
        self.ears = Ears(data.OUT)
        self.seeds = list(range(prompts))
        self.attributes = [data.draw_clip(seed, "held-out") for seed in self.seeds]

    def clip(self, i: int) -> np.ndarray:
        """The synthesizer's own clip of held-out seed i, (samples,)."""
        return render(data.compose_clip(i, "held-out", SECONDS))[0]

    def melody(self, i: int) -> np.ndarray:
        """The lead of that clip alone."""
        score = data.compose_clip(i, "held-out", SECONDS)
        return render(type(score)(**{**vars(score), "notes": data.lead_notes(score), "hits": ()}))[0]

    def prompt(self, i: int, write: Callable = english, named: Collection[str] = NAMED) -> str:
        """What is asked for of held-out seed i."""
        return write(np.random.default_rng(i), self.attributes[i], set(named))

    def in_another_key(self, i: int) -> int:
        """The next seed whose tonic is another than i's."""
        following = self.seeds[i + 1 :] + self.seeds[:i]
        return next((j for j in following if self.attributes[j].tonic != self.attributes[i].tonic), i)

    def run(self, model: str, mode: str, prompts, clips=(), seed: int = 0, tokens: int | None = None, **settings):
        """Takes of one call."""
        info = self.pipeline.load(model, self.folders[model]).info
        tokens = tokens or info.tokens(SECONDS)
        request = Request(
            mode=mode,
            prompts=tuple(prompts),
            clips=tuple(Clip(clip[None], SAMPLE_RATE) for clip in clips),
            model=model,
            engine=self.engine,
            seed=seed,
            settings=Settings(max_new_tokens=tokens, **settings),
        )
        return self.pipeline.run(request)

    def make(self, name: str, numbers: list[int]) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """One batch of a set: audio (samples,) and codes (codebooks, frames) of each number."""
        if name == "synthesizer":
            return [(self.clip(i), None) for i in numbers]
        if name == "round trip":  # what a continuation begins with is the clip through the codec
            takes = [self.run("nano", "continue", [""], [self.clip(i)], tokens=4)[0] for i in numbers]
        elif name in ("text", "unguided"):
            guidance = {"guidance_scale": 1.0} if name == "unguided" else {}
            takes = self.run("nano", "text", [self.prompt(i) for i in numbers], seed=numbers[0], **guidance)
        elif name == "chinese":
            takes = self.run("nano", "text", [self.prompt(i, chinese) for i in numbers], seed=numbers[0])
        elif name == "free text":
            rows = [OCCASIONS[i % len(OCCASIONS)][0].split("; ")[0] for i in numbers]
            prompts = [FORMS_EN[i % len(FORMS_EN)].format(row) for i, row in zip(numbers, rows, strict=True)]
            takes = self.run("nano", "text", prompts, seed=numbers[0])
        elif name == "melody":
            prompts = [self.prompt(i, named={"lead", "style", "drums"}) for i in numbers]
            clips = [self.melody(i) for i in numbers]
            takes = self.run("nano-melody", "melody", prompts, clips, seed=numbers[0])
        else:
            clips = [self.clip(i)[: PROMPT_SECONDS * SAMPLE_RATE] for i in numbers]
            tokens = (SECONDS - PROMPT_SECONDS) * 50 + 3
            takes = self.run("nano", "continue", [""], clips, seed=numbers[0], tokens=tokens)
        samples = SECONDS * SAMPLE_RATE
        start = PROMPT_SECONDS * SAMPLE_RATE if name == "continue" else 0
        return [(take.samples[0, start:samples], take.codes) for take in takes]

    def heard(self, name: str) -> dict[int, dict]:
        """What was heard of every clip of a set; makes those that are not there yet."""
        path = self.out / f"{name.replace(' ', '-')}.json"
        known = {int(i): entry for i, entry in json.loads(path.read_text()).items()} if path.exists() else {}
        missing = [i for i in self.seeds if i not in known]
        for start in range(0, len(missing), BATCH):
            numbers = missing[start : start + BATCH]
            for i, (audio, codes) in zip(numbers, self.make(name, numbers), strict=True):
                soundfile.write(self.out / f"{name.replace(' ', '-')}-{i:03d}.flac", audio, SAMPLE_RATE)
                known[i] = self.ears.hear(audio)
                if name == "round trip":
                    known[i]["apart"] = measures.mel_distance(self.clip(i)[: len(audio)], audio)
                if codes is not None:
                    known[i] |= {"rest": longest_rest(codes), "copied": self.nearest(codes)}
                if name == "melody":
                    own = hearing.chroma_cosine(self.melody(i), audio, SAMPLE_RATE)
                    other = hearing.chroma_cosine(self.melody(self.in_another_key(i)), audio, SAMPLE_RATE)
                    known[i] |= {"cosine": own, "margin": own - other}
            path.write_text(json.dumps(known))
            print(f"{name}: {len(known)} of {len(self.seeds)}", flush=True)
        return {i: known[i] for i in self.seeds}

    def nearest(self, codes: np.ndarray) -> float | None:
        """The largest share of codes (codebooks, frames) that equal a training clip's at the same place."""
        if not hasattr(self, "training_codes"):
            paths = data.shards("train", data.OUT / "codes", data.SECONDS)[:40]
            self.training_codes = np.concatenate([np.load(path)["codes"] for path in paths]) if paths else None
        if self.training_codes is None:
            return None
        frames = min(codes.shape[1], self.training_codes.shape[2])
        return float((self.training_codes[..., :frames] == codes[:, :frames]).mean((1, 2)).max())

    def right(self, heard: dict[int, dict], shift: int = 0) -> dict[str, float]:
        """Shares of clips that are as asked for; with a shift, as another prompt asks for: that is chance."""
        hits: dict[str, list[bool]] = {"drums as asked": [], "tempo within 4 %": [], "key": [], "instrument": []}
        for i, entry in heard.items():
            asked = self.attributes[(i + shift) % len(self.attributes)]
            hits["drums as asked"].append(entry["drums"] == asked.has_drums)
            hits["instrument"].append(entry["lead"] == asked.lead)
            if asked.has_drums:
                hits["tempo within 4 %"].append(hearing.is_tempo(entry["tempo"], asked.bpm))
            if asked.mode in hearing.PROFILES:
                hits["key"].append(tuple(entry["key"]) == (asked.tonic, asked.mode))
        return {name: float(np.mean(values)) if values else float("nan") for name, values in hits.items()}


def table(rows: list[tuple]) -> str:
    """measure, target, chance, synthesizer, round trip, made → Markdown; the last column is the share of the clips'."""

    def cell(value) -> str:
        return value if isinstance(value, str) else "" if value is None or np.isnan(value) else f"{value:.2f}"

    lines = ["| measure | target | chance | synthesizer | round trip | made | share |", "|---|---|---|---|---|---|---|"]
    for name, chance, synthesizer, round_trip, made in rows:
        share = made / synthesizer if isinstance(made, float) and synthesizer else None
        cells = (TARGETS.get(name.split(",")[0]), chance, synthesizer, round_trip, made, share)
        lines.append(f"| {name} | " + " | ".join(cell(value) for value in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--assets", type=Path, default=ASSETS, help="where the checkpoints' folders are")
    parser.add_argument("--engine", choices=("auto", "graph", "int8"), default="auto")
    parser.add_argument("--only", nargs="+", choices=SETS, default=SETS)
    options = parser.parse_args()
    evaluation = Evaluation(options.assets, options.prompts, options.engine)
    heard = {name: evaluation.heard(name) for name in SETS if name in options.only}
    nothing = dict.fromkeys(TARGETS)
    right = {name: evaluation.right(entries) for name, entries in heard.items()}
    own, through = right.get("synthesizer", nothing), right.get("round trip", nothing)
    rows: list[tuple] = []
    for name in ("text", "chinese", "unguided"):
        if name in heard:
            shifts = [evaluation.right(heard[name], shift) for shift in range(1, options.prompts, 7)]
            chance = {m: float(np.nanmean([s[m] for s in shifts])) for m in right[name]} if shifts else nothing
            rows += [(f"{m}, {name}", chance[m], own[m], through[m], right[name][m]) for m in right[name]]
    if "melody" in heard:
        pairs = [(evaluation.melody(i), evaluation.clip(i)) for i in evaluation.seeds[:40]]
        ideal = [hearing.chroma_cosine(melody, clip, SAMPLE_RATE) for melody, clip in pairs]
        for m, best in (("cosine", float(np.mean(ideal))), ("margin", None)):
            made = float(np.mean([entry[m] for entry in heard["melody"].values()]))
            rows.append((f"melody: {m}", 0.0, best, None, made))
    if "continue" in heard:
        kept = evaluation.right(heard["continue"])
        rows.append(("continuation keeps key", None, own["key"], through["key"], kept["key"]))
        tempo = "tempo within 4 %"
        rows.append(("continuation keeps tempo", None, own[tempo], through[tempo], kept[tempo]))
    text = (
        f"{options.prompts} held-out prompts a line, {SECONDS} s each, engine `{options.engine}`.\n\n{table(rows)}\n\n"
    )
    if "round trip" in heard:
        apart = np.mean([entry["apart"] for entry in heard["round trip"].values()])
        clips = [evaluation.clip(i) for i in evaluation.seeds[:24]]
        others = []
        for kind in ("mp3", "opus"):
            distance = np.mean([measures.mel_distance(clip, measures.compressed(clip, kind)) for clip in clips])
            others.append(f"{kind} at 24 kbit/s {distance:.2f}")
        text += f"Codec: mel distance of the round trip {apart:.2f} dB; {', '.join(others)} dB.\n"
    made = [entry for name in heard if name not in ("synthesizer", "round trip") for entry in heard[name].values()]
    if made:
        text += (
            f"Of {len(made)} clips made: silent {sum(e['rms'] < SILENT for e in made)}, "
            f"clipped {sum(e['clipped'] > CLIPPED for e in made)}, stuck {sum(e['rest'] >= STUCK for e in made)}, "
            f"copies of a training clip {sum((e['copied'] or 0) > COPIED for e in made)} "
            f"(nearest: {max((e['copied'] or 0) for e in made):.2f} of its codes).\n"
        )
        one, two = (evaluation.run("nano", "text", [evaluation.prompt(0)], seed=seed)[0].codes for seed in (1, 2))
        text += f"Two seeds agree in {np.mean(one == two):.2f} of their codes.\n"
    print(text)
    (data.OUT / "evaluation.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
