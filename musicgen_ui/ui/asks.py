"""An `Ask`: a request as the page holds it, its clips still being files. It can be made again."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from musicgen_ui.audio import read_clips
from musicgen_ui.checkpoints import for_mode
from musicgen_ui.limits import Limits
from musicgen_ui.request import Request, Settings

Changes = Mapping[str, Mapping[str, object]]
"""this session's changes to generation configs: model → parameter → value"""


@dataclass(frozen=True)
class Ask:
    mode: str
    prompts: tuple[str, ...] = ()
    clip_paths: tuple[str, ...] = ()
    model: str = "nano"
    engine: str = "auto"
    settings: Settings = field(default_factory=Settings)
    seed: int | None = None
    takes: int = 1
    padded_seconds: float = 0.0
    padded_tokens: int = 0
    without_drums: bool = False
    section_frames: tuple[int, ...] = ()
    generation_config: Mapping[str, object] = field(default_factory=dict)

    @property
    def conditions(self) -> int:
        """How many different things are asked for; each gives `takes` takes."""
        return max(len(self.prompts), len(self.clip_paths), 1)

    @property
    def rows(self) -> int:
        return self.conditions * max(1, int(self.takes or 1))

    def request(self, limits: Limits) -> Request:
        """With the clips read. Raises InputError for what is wrong with one of them."""
        return Request(
            mode=self.mode,
            prompts=self.prompts,
            clips=read_clips(self.clip_paths, limits),
            model=for_mode(self.model, self.mode),
            engine=self.engine,
            settings=self.settings,
            seed=self.seed,
            takes=self.takes,
            padded_seconds=self.padded_seconds,
            padded_tokens=self.padded_tokens,
            without_drums=self.without_drums,
            section_frames=self.section_frames,
            generation_config=self.generation_config,
        )

    def alone(self, row: int) -> "Ask":
        """What made row `row` of the batch, asked for by itself, once."""
        condition = row // max(1, self.takes)
        return replace(
            self,
            prompts=_one(self.prompts, condition),
            clip_paths=_one(self.clip_paths, condition),
            takes=1,
        )

    def within(self, batch: "Ask | None") -> "Ask":
        """The same, padded and cut into windows as in `batch`, if this is what was asked for there."""
        if batch is None or self.rows > 1:
            return self
        if (self.mode, self.prompts, self.seed) != (batch.mode, batch.prompts, batch.seed):
            return self
        return replace(
            self,
            padded_seconds=batch.padded_seconds,
            padded_tokens=batch.padded_tokens,
            section_frames=batch.section_frames,
        )


def prompt_lines(text: str | None) -> tuple[str, ...]:
    """One prompt per line; empty lines don't count."""
    return tuple(line.strip() for line in (text or "").splitlines() if line.strip())


def clip_lines(text: str | None) -> tuple[str, ...]:
    """One description per line; an empty line before others leaves its clip without one."""
    lines = [line.strip() for line in (text or "").splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return tuple(lines)


def _one(values: tuple[str, ...], position: int) -> tuple[str, ...]:
    if len(values) <= 1:
        return values
    return values[position : position + 1]
