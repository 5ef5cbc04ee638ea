"""The status area as HTML: what happens now, how far it is, how it ended. Everything from outside is escaped."""

from musicgen_ui.events import Decoding, Downloading, Event, Generating, Loaded, Loading, Queued, Ready, Starting
from musicgen_ui.model_info import ModelInfo
from musicgen_ui.ui.strings import html, megabytes, say, seconds


def line(state: str, headline: str, detail: str = "") -> str:
    """A message without a bar. `state` is idle, running, done, stopped or fault; a fault is read out at once."""
    live = ' role="alert"' if state == "fault" else ""  # others are read out by the area they come into (naming.js)
    return _panel(state, headline, detail, '<div class="mg-track" aria-hidden="true"></div>', live)


def idle(language: str) -> str:
    return line("idle", say(language, "page.status.idle"))


def fault(sentence: str) -> str:
    return line("fault", sentence)


def progress(event: Event, language: str, info: ModelInfo | None) -> str:
    """What `event` says, with a bar: filled as far as is known, moving where it isn't."""
    match event:
        case Queued(ahead=0):
            return _bar(None, say(language, "page.progress.next"))
        case Queued(ahead=ahead):
            return _bar(None, say(language, "page.progress.queued", ahead=ahead))
        case Downloading(model=model, done_bytes=done, total_bytes=total):
            headline = say(language, "page.progress.downloading", model=model)
            if not total:
                return _bar(None, headline, megabytes(done), quiet=True)
            of = say(language, "page.progress.of", done=megabytes(done), total=megabytes(total))
            return _bar(done / total, headline, of, quiet=True)
        case Starting():
            return _bar(None, say(language, "page.progress.starting"))
        case Loading(model=model):
            return _bar(None, say(language, "page.progress.loading", model=model))
        case Loaded(info=loaded):
            return _bar(0.0, say(language, "page.progress.loaded", model=loaded.name))
        case Generating(done=done, total=total, seconds_per_token=pace):
            music = info.seconds(done) if info else 0.0
            headline = say(language, "page.progress.generating", music=seconds(language, music))
            parts = [say(language, "page.progress.tokens", done=done, total=total)]
            if pace:
                parts.append(say(language, "page.progress.left", time=seconds(language, (total - done) * pace)))
            return _bar(done / max(total, 1), headline, " · ".join(parts), quiet=True)
        case Decoding():
            return _bar(1.0, say(language, "page.progress.decoding"))
    return _bar(None, say(language, "page.progress.working"))


def engine_chip(event: Event | None, language: str) -> str:
    """One quiet line on the engine as a whole, for the page's head."""
    match event:
        case Ready():
            state, words = "ready", say(language, "page.engine.ready")
        case Loading(model=model):
            state, words = "busy", say(language, "page.engine.loading", model=model)
        case Downloading(model=model):
            state, words = "busy", say(language, "page.engine.downloading", model=model)
        case _:
            state, words = "busy", say(language, "page.engine.starting")
    return f'<div class="mg-chip" data-state="{state}" role="status"><i aria-hidden="true"></i>{html(words)}</div>'


def _bar(fraction: float | None, headline: str, detail: str = "", *, quiet: bool = False) -> str:
    """`quiet`: it changes several times a second, which nobody wants read out."""
    if fraction is None:
        track = f'<div class="mg-track mg-moving" role="progressbar" aria-label="{html(headline)}"><b></b></div>'
    else:
        percent = round(100 * min(max(fraction, 0.0), 1.0), 1)
        track = (
            f'<div class="mg-track" role="progressbar" aria-label="{html(headline)}" aria-valuemin="0" '
            f'aria-valuemax="100" aria-valuenow="{percent:.0f}"><b style="width:{percent}%"></b></div>'
        )
    return _panel("running", headline, detail, track, ' aria-live="off"' if quiet else "")


def _panel(state: str, headline: str, detail: str, track: str, live: str) -> str:
    return (
        f'<div class="mg-status" data-state="{state}"{live}>'
        f"<p><strong>{html(headline)}</strong><span>{html(detail)}</span></p>{track}</div>"
    )
