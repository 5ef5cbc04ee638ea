"""The command line: one call, one batch, on the pipeline in this process.

Exit 0 with the files written; 2 with one line on stderr for anything wrong with what the user gave;
1 with one line for anything else, an interrupt included (what was made by then is written).
"""

import argparse
import errno
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from musicgen_ui import checkpoints
from musicgen_ui.audio import FORMATS, read_clips, write_audio
from musicgen_ui.download import DownloadStopped, download
from musicgen_ui.errors import AppError, InputError
from musicgen_ui.limits import Limits
from musicgen_ui.locales import sentence, shells_language
from musicgen_ui.request import ENGINES, Clip, Request, checked, checked_for_model, number
from musicgen_ui.tags import read_record, remembered
from musicgen_ui.take import Take

EXAMPLES = """\
examples:
  python -m musicgen_ui "slow piano in A minor" --seconds 8 --seed 7 --out take.wav
  python -m musicgen_ui "0:00 calm piano | 0:30 drums come in" --seconds 60 --out minute.wav
  python -m musicgen_ui --audio clip.wav --mode melody "as a string quartet" --out take.flac
  python -m musicgen_ui --unconditional --takes 2 --out take.mp3
  python -m musicgen_ui --from take.wav --seed 8 --out another.wav
  python -m musicgen_ui "house beat, 124 bpm" --loop --out beat.wav
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command line; returns the exit code."""
    language = shells_language()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="surrogateescape")  # a file's name may be no text
    debug = "--debug" in arguments
    progress = _ProgressLine(language)
    try:
        return _run(_parser().parse_args(arguments), language, progress)
    except (DownloadStopped, KeyboardInterrupt):
        return _say(sentence(language, "cli.stopped_empty"), 1)
    except AppError as fault:
        if debug:
            traceback.print_exc()
        return _say(fault.in_language(language), fault.exit_code)
    except MemoryError:
        return _say(sentence(language, "error.out_of_memory", model="?"), 1)
    except Exception as fault:
        if debug:
            raise
        return _say(f"{type(fault).__name__}: {' '.join(str(fault).split())[:300]} (--debug)", 1)
    finally:
        progress.clear()


def _run(options: argparse.Namespace, language: str, progress: "_ProgressLine") -> int:
    stop = _Interrupt()
    limits = Limits.of_this_machine()
    out = Path(options.out)
    _check_out(out)
    request = checked(_request(options, limits), limits)
    seconds = None if options.seconds is None else _seconds(options, limits)
    if options.remembered and request.clips:
        _say_of_another_clip(options.remembered, request.clips, language)
    model = request.model
    place = checkpoints.locate(model)
    if model in checkpoints.MENU:  # of others nothing is known yet; better refused now than after the download
        _for_model(request, seconds, limits)
    folder = place if isinstance(place, Path) else download(place, progress.downloading(model), stop.is_set)
    request = _for_model(request, seconds, limits)

    from musicgen_ui.memory import check_room_for, peak_bytes

    check_room_for(folder, model)
    progress.say("cli.loading", model=model)
    started = time.perf_counter()
    from musicgen_ui.pipeline import Pipeline

    pipeline = Pipeline(limits, request.engine)
    pipeline.load(model, folder, request.engine)
    load_seconds = time.perf_counter() - started
    takes = pipeline.run(request, progress, stop.is_set)
    started = time.perf_counter()
    files = _write(takes, out)
    progress.clear()
    loops, unlooped = _write_loops(takes, files, language) if options.loop else ([], "")
    save_seconds = time.perf_counter() - started
    if options.json:
        stages = {"load": load_seconds, **(takes[0].record["stages"] if takes else {}), "save": save_seconds}
        print(
            json.dumps(
                {
                    "files": [str(file) for file in files],
                    **({"loops": loops} if options.loop else {}),
                    "seconds": [round(take.seconds, 3) for take in takes],
                    "seed": takes[0].record["seed"] if takes else request.seed,
                    "model": model,
                    "engine": takes[0].record["engine"] if takes else request.engine,
                    "tokens": takes[0].record["tokens"] if takes else 0,
                    "stages": {stage: round(seconds, 3) for stage, seconds in stages.items()},
                    "peak_gb": round(peak_bytes() / 1e9, 3),
                },
                ensure_ascii=False,
            )
        )
    else:
        for name in (*files, *(loop["file"] for loop in loops if loop)):
            print(name)
    if stop.is_set():
        return _say(sentence(language, "cli.stopped" if takes else "cli.stopped_empty"), 1)
    return _say(unlooped, 1) if unlooped else 0


def _request(options: argparse.Namespace, limits: Limits) -> Request:
    """What the options ask for; of what they don't name, what the file of --from remembers."""
    before = Request(model=checkpoints.DEFAULT)
    if options.remembered:
        before = remembered(read_record(options.remembered))
        if before.mode in ("continue", "melody") and not options.audio:
            raise InputError("error.record_needs_clip", name=Path(options.remembered).name)
        if options.seconds is not None:
            before = replace(before, settings=replace(before.settings, max_new_tokens=None))
        if options.prompt:
            before = replace(before, section_frames=())
    mode = _mode(options, before)
    if mode == "unconditional" and options.prompt:
        raise InputError("error.prompt_unused")
    if mode != "unconditional" and options.unconditional:
        raise InputError("cli.unconditional_mode", mode=mode)
    settings = {
        "max_new_tokens": options.max_new_tokens,
        "guidance_scale": options.guidance,
        "do_sample": False if options.greedy else None,
        "temperature": options.temperature,
        "top_k": options.top_k,
        "top_p": options.top_p,
    }
    given = {name: value for name, value in settings.items() if value is not None}
    return replace(
        before,
        mode=mode,
        prompts=tuple(options.prompt) or before.prompts,
        clips=read_clips(options.audio, limits),
        model=checkpoints.for_mode(options.model or before.model, mode),
        engine=options.engine or before.engine,
        settings=replace(before.settings, **given),
        seed=before.seed if options.seed is None else options.seed,
        takes=options.takes,
        without_drums=options.without_drums or (before.without_drums and mode == "melody"),
    )


def _say_of_another_clip(remembered: str, clips: Sequence[Clip], language: str) -> None:
    """A line on stderr where the take in the file `remembered` was made from none of the clips."""
    if read_record(remembered).get("clip_digest") not in (None, *(clip.digest for clip in clips)):
        name = Path(remembered).name
        print(sentence(language, "cli.other_clip", clip=clips[0].name, name=name), file=sys.stderr)


def _check_out(out: Path) -> None:
    """Better known before the music is made: whether it can be saved at `out`."""
    if out.suffix.lower().lstrip(".") not in FORMATS:
        raise InputError("error.out_format", suffix=out.suffix or out.name, formats=", ".join(FORMATS))
    if not out.parent.is_dir():
        raise InputError("error.out_folder", folder=str(out.parent))
    if out.is_dir():
        raise InputError("error.out_is_folder", name=str(out))
    if not os.access(out.parent, os.W_OK):
        raise InputError("error.cannot_write", name=out.name, reason=os.strerror(errno.EACCES))


def _mode(options: argparse.Namespace, before: Request) -> str:
    if options.mode is not None:
        return options.mode
    if options.unconditional:
        return "unconditional"
    if options.remembered and not options.audio:
        return before.mode
    if not options.audio:
        return "text"
    if before.mode in ("continue", "melody"):
        return before.mode
    model = options.model or before.model
    return "melody" if model in checkpoints.MENU and checkpoints.MENU[model].melody else "continue"


def _seconds(options: argparse.Namespace, limits: Limits) -> float:
    if options.max_new_tokens is not None:
        raise InputError("cli.seconds_or_tokens")
    seconds = number("seconds", options.seconds, float)
    if seconds is None or not 0.1 <= seconds <= limits.piece_seconds:
        high = round(limits.piece_seconds)
        raise InputError("error.range", name="seconds", low=0.1, high=high, value=options.seconds)
    return float(seconds)


def _for_model(request: Request, seconds: float | None, limits: Limits) -> Request:
    """The request, of that length where one is asked for, checked against what is known of its model."""
    info = checkpoints.info(request.model)
    if seconds is not None:
        request = replace(request, settings=replace(request.settings, max_new_tokens=info.tokens(seconds)))
    return checked_for_model(request, info, limits)


def _write(takes: Sequence[Take], out: Path) -> list[Path]:
    """One take at `out`; several at out-1, out-2 …"""
    files = [out] if len(takes) == 1 else [out.with_stem(f"{out.stem}-{n}") for n in range(1, len(takes) + 1)]
    for take, file in zip(takes, files, strict=True):
        write_audio(file, take.samples, take.sampling_rate, take.record)
    return files


def _write_loops(
    takes: Sequence[Take], files: Sequence[Path], language: str
) -> tuple[list[dict[str, object] | None], str]:
    """Beside each of the takes' files NAME-loop.wav: its name, bars, beats and bpm, told on stderr as well.

    None for a take without a loop; the sentences why are the second value.
    """
    from musicgen_ui.loops import find_loop

    loops: list[dict[str, object] | None] = []
    faults = []
    for take, file in zip(takes, files, strict=True):
        try:
            looped, loop = find_loop(take.samples, take.sampling_rate, file.name)
        except InputError as fault:
            loops.append(None)
            faults.append(fault.in_language(language))
            continue
        path = file.with_name(f"{file.stem}-loop.wav")
        write_audio(path, looped, take.sampling_rate, {**take.record, "loop": loop.facts})
        loops.append({"file": str(path), **loop.facts})
        print(f"{path}: {loop.told(language)}", file=sys.stderr)
    return loops, " ".join(faults)


def _say(text: str, exit_code: int) -> int:
    print(text, file=sys.stderr)
    return exit_code


class _Interrupt:
    """Ctrl+C once: stop and keep what was made. Twice: as ever."""

    def __init__(self) -> None:
        self._pressed = False
        signal.signal(signal.SIGINT, self._press)

    def _press(self, number: int, frame: object) -> None:
        self._pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def is_set(self) -> bool:
        return self._pressed


class _ProgressLine:
    """One line on a terminal's stderr, written over and over; nothing where stderr is no terminal."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._shown = sys.stderr.isatty()
        self._started = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage == "codec":
            self.say("cli.decoding")
        elif done == 0:
            self._started = time.perf_counter()
        else:
            left = (time.perf_counter() - self._started) / done * (total - done)
            self.say("cli.progress", done=done, total=total, seconds=round(left))

    def downloading(self, model: str):
        def progress(done: int, total: int) -> None:
            self.say("cli.downloading", model=model, done=done >> 20, total=total >> 20)

        return progress

    def say(self, key: str, **params: object) -> None:
        if self._shown:
            print(f"\r\x1b[K{sentence(self._language, key, **params)}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError("cli.usage", problem=message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m musicgen_ui",
        description="Music from a description or a clip, by MusicGen on MindNLP and MindSpore.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "prompt",
        nargs="*",
        help="what the music should be, with times if it changes on the way; several prompts make one batch",
    )
    add("--unconditional", action="store_true", help="music without any description")
    add("--audio", action="append", default=[], metavar="FILE", help="a clip to continue or to follow; may be repeated")
    add("--mode", choices=("text", "continue", "melody"), help="what to do with the clip (default: what the model can)")
    add("--without-drums", action="store_true", help="melody: leave drums and other hits out of the clip first")
    add(
        "--model",
        metavar="NAME|PATH",
        help=f"{', '.join(checkpoints.MENU)}, a folder, or a hub id (default: {checkpoints.DEFAULT})",
    )
    add("--engine", metavar="|".join(ENGINES), help="what runs the decoder (default: auto)")
    add("--from", dest="remembered", metavar="FILE", help="as the take in this file was made; other options go before")
    add("--seconds", metavar="S", help="how much new music, up to 300 (default: as the model's generation config says)")
    add("--max-new-tokens", metavar="N", help="the same in decoding steps")
    add("--guidance", metavar="G", help="guidance_scale: how closely to keep to the description (config: mostly 3)")
    add("--greedy", action="store_true", help="take the likeliest token at each step instead of sampling")
    add("--temperature", metavar="T", help="sampling: above 1 bolder, below 1 safer")
    add("--top-k", metavar="K", help="sampling: among the K likeliest tokens (0: all)")
    add("--top-p", metavar="P", help="sampling: among the likeliest tokens that make up P")
    add("--seed", metavar="N", help="the same call with the same seed gives the same samples")
    add("--takes", default=1, metavar="N", help="how many takes of each prompt; take i is drawn with seed + i - 1")
    add(
        "--out",
        default="musicgen_out_audio.wav",
        metavar="FILE",
        help=f"where to save; the suffix picks {', '.join(FORMATS)}",
    )
    add("--loop", action="store_true", help="also write NAME-loop.wav: whole bars that play on without a seam")
    add("--json", action="store_true", help="print one JSON object about what was made")
    add("--debug", action="store_true", help="show the traceback of a fault")
    return parser
