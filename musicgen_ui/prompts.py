"""Building blocks of a prompt: English that MusicGen was taught, put into a sentence; and Chinese words found in it.

The blocks that have a chip on the page are words of the captions that nano was trained on (training/captions.py), and
plain enough for Meta's checkpoints. The others are there to be recognised only.
"""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Block:
    """english: what it writes. chinese: what its chip says in Chinese. also: what else means it, in either language."""

    english: str
    chinese: str
    also: tuple[str, ...] = ()
    noun: str = ""
    """of a genre, what it is a kind of: an ambient "piece"; "" where it is a noun itself, a waltz"""
    bpm: int | None = None
    counted: bool = False
    """of an instrument, whether it wants an article: with piano and *a* synth pad"""


GENRES = (
    Block("ambient", "氛围音乐", ("氛围乐", "环境音乐"), "piece"),
    Block("lo-fi hip hop", "低保真嘻哈", ("lo-fi 音乐", "lo-fi音乐", "lo-fi", "lofi", "低保真"), "track"),
    Block("pop", "流行", ("流行音乐", "流行乐", "流行歌"), "tune"),
    Block("rock", "摇滚", ("摇滚乐",), "track"),
    Block("jazz", "爵士", ("爵士乐",), "tune"),
    Block("folk", "民谣", ("民歌", "民间音乐"), "tune"),
    Block("classical", "古典", ("古典音乐", "古典乐", "古典乐曲"), "piece"),
    Block("cinematic", "电影配乐", ("影视配乐", "电影音乐", "film score", "电影感"), "piece"),
    Block("techno", "科技舞曲", ("techno 舞曲", "techno舞曲"), "track"),
    Block("synthwave", "合成器浪潮", ("复古电子",), "track"),
    Block("funk", "放克", ("放克音乐", "funky"), "track"),
    Block("bossa nova", "波萨诺瓦", ("巴萨诺瓦", "bossa"), "tune"),
    Block("waltz", "华尔兹", ("圆舞曲",)),
    Block("lullaby", "摇篮曲", ("催眠曲",)),
    Block("chiptune", "8 位游戏音乐", ("芯片音乐", "8位游戏音乐", "8位音乐", "8-bit")),
)
INSTRUMENTS = (
    Block("piano", "钢琴"),
    Block("electric piano", "电钢琴", ("rhodes",)),
    Block("acoustic guitar", "木吉他", ("吉他", "原声吉他", "民谣吉他", "古典吉他", "尼龙弦吉他", "guitar")),
    Block("electric guitar", "电吉他", ("失真吉他",)),
    Block("strings", "弦乐", ("弦乐队", "弦乐组")),
    Block("brass", "铜管", ("铜管乐",)),
    Block("flute", "长笛", ("笛子", "竹笛")),
    Block("clarinet", "单簧管", ("黑管",)),
    Block("organ", "管风琴", ("风琴",)),
    Block("marimba", "马林巴", ("木琴", "马林巴琴")),
    Block("bells", "钟琴", ("钟声", "铃声", "铃铛")),
    Block("synth pad", "合成铺底", ("柔和音垫", "音垫", "铺底"), counted=True),
    Block("analog synth", "合成器", ("电子合成器", "synth", "synths")),
    Block("bass guitar", "贝斯", ("电贝斯", "bass")),
    Block("drums", "鼓", ("鼓点", "鼓组", "架子鼓", "爵士鼓", "鼓声", "鼓声部", "打击乐")),
)
MOODS = (
    Block("calm", "平静", ("宁静", "安静", "舒缓", "平和", "恬静")),
    Block("dreamy", "梦幻", ("飘渺", "空灵", "梦境般", "如梦似幻")),
    Block("melancholic", "忧伤", ("悲伤", "伤感", "忧郁", "哀伤", "sad")),
    Block("tender", "温柔", ("柔和", "轻柔", "柔美", "gentle")),
    Block("dark", "阴暗", ("暗沉", "黑暗", "阴沉", "阴郁")),
    Block("happy", "快乐", ("欢快", "喜悦", "开心", "欢乐", "愉快", "cheerful")),
    Block("playful", "俏皮", ("活泼", "调皮", "顽皮")),
    Block("epic", "史诗般", ("史诗", "史诗感", "宏大", "恢弘", "磅礴", "大气")),
    Block("energetic", "充满活力", ("激昂", "有活力", "动感", "激烈", "热烈", "有力")),
)
TEMPI = (
    Block("slow", "慢速", ("缓慢", "慢节奏", "慢板", "慢"), bpm=66),
    Block("unhurried", "从容", ("稍慢", "中慢速", "行板"), bpm=84),
    Block("mid-tempo", "中速", ("不快不慢", "中等速度", "中板"), bpm=104),
    Block("fast", "快速", ("快节奏", "轻快", "快板", "快", "急促"), bpm=132),
)
KEYS = tuple(
    Block(f"{tonic} {mode}", f"{tonic} {'大调' if mode == 'major' else '小调'}")
    for mode, tonics in (("major", "CDFG"), ("minor", "ACDE"))
    for tonic in tonics
)

_MORE_GENRES = (
    Block("house", "浩室舞曲", ("house 舞曲", "house舞曲", "浩室"), "track"),
    Block("reggae", "雷鬼", ("雷鬼音乐", "雷鬼乐"), "tune"),
    Block("trap", "陷阱音乐", ("trap 音乐", "trap音乐"), "track"),
    Block("ballad", "抒情曲", ("抒情慢歌", "抒情歌")),
    Block("tropical", "热带音乐", ("热带风情音乐", "热带风情", "热带"), "tune"),
    Block("hip hop", "嘻哈", ("说唱", "hip-hop"), "track"),
    Block("electronic", "电子音乐", ("电子乐", "电音", "电子", "edm"), "track"),
    Block("disco", "迪斯科", (), "track"),
    Block("blues", "蓝调", ("布鲁斯",), "tune"),
    Block("country", "乡村音乐", ("乡村",), "tune"),
    Block("metal", "重金属", ("金属乐",), "track"),
    Block("Latin", "拉丁", ("拉丁音乐", "拉丁舞曲"), "tune"),
    Block("orchestral", "管弦乐", ("交响乐", "交响", "管弦", "交响曲"), "piece"),
    Block("traditional Chinese", "中国风", ("国风", "古风", "中国传统音乐", "民乐"), "piece"),
    Block("march", "进行曲"),
    Block("tango", "探戈"),
    Block("nocturne", "夜曲"),
)
_MORE_INSTRUMENTS = (
    Block("violin", "小提琴"),
    Block("cello", "大提琴"),
    Block("double bass", "低音提琴", ("倍大提琴",)),
    Block("trumpet", "小号"),
    Block("saxophone", "萨克斯", ("萨克斯风", "萨克斯管")),
    Block("harp", "竖琴"),
    Block("accordion", "手风琴"),
    Block("harmonica", "口琴"),
    Block("ukulele", "尤克里里"),
    Block("music box", "八音盒", ("音乐盒",), counted=True),
    Block("synth bass", "合成贝斯"),
    Block("808 bass", "808贝斯", ("808 贝斯",)),
    Block("erhu", "二胡"),
    Block("guzheng", "古筝"),
    Block("pipa", "琵琶"),
)
_MORE_MOODS = (
    Block("relaxing", "放松", ("轻松", "悠闲", "惬意", "慵懒")),
    Block("romantic", "浪漫"),
    Block("warm", "温暖", ("温馨",)),
    Block("nostalgic", "怀旧"),
    Block("hopeful", "充满希望", ("希望",)),
    Block("inspiring", "鼓舞人心", ("鼓舞", "励志")),
    Block("mysterious", "神秘"),
    Block("tense", "紧张"),
    Block("lyrical", "抒情"),
    Block("cute", "可爱"),
)
_MORE = (
    Block("solo", "独奏"),
    Block("in 3/4 time", "3/4拍", ("四三拍", "三拍子")),
    Block("in 4/4 time", "4/4拍", ("四四拍", "四拍子")),
    Block("80s", "80年代", ("八十年代",)),
    Block("background music", "背景音乐"),
)

PALETTES = {
    "ambient": (("synth pad", "piano", "bells", "electric piano", "strings", "flute"), "calm dreamy dark", "slow"),
    "lo-fi hip hop": (("electric piano", "piano", "acoustic guitar", "drums"), "calm dreamy tender", "unhurried"),
    "pop": (("piano", "analog synth", "acoustic guitar", "drums"), "happy tender energetic playful", "mid-tempo fast"),
    "rock": (("electric guitar", "organ", "bass guitar", "drums"), "energetic happy dark epic", "mid-tempo fast"),
    "jazz": (("piano", "brass", "clarinet", "drums"), "playful calm happy tender", "mid-tempo fast"),
    "folk": (("acoustic guitar", "flute", "clarinet", "strings"), "happy tender playful", "unhurried mid-tempo"),
    "classical": (("piano", "strings", "flute", "clarinet"), "tender happy playful melancholic epic", "slow mid-tempo"),
    "cinematic": (("strings", "brass", "piano", "bells"), "epic dark dreamy melancholic", "slow unhurried mid-tempo"),
    "techno": (("analog synth", "organ", "drums"), "energetic dark", "fast"),
    "synthwave": (("analog synth", "electric piano", "drums"), "dreamy dark energetic", "unhurried mid-tempo"),
    "funk": (("electric piano", "organ", "brass", "bass guitar", "drums"), "energetic playful happy", "mid-tempo"),
    "bossa nova": (("acoustic guitar", "flute", "piano", "clarinet"), "calm tender happy dreamy", "fast"),
    "waltz": (("piano", "strings", "clarinet", "flute"), "happy tender melancholic playful dreamy", "mid-tempo fast"),
    "lullaby": (("bells", "piano", "acoustic guitar", "flute", "marimba"), "calm tender dreamy", "slow unhurried"),
    "chiptune": (("analog synth", "drums"), "playful happy energetic", "fast"),
}
"""what goes well together: genre → instruments, moods, tempi; the palettes of training/attributes.py, shorter"""
_MINOR, _MAJOR = ("melancholic", "dark"), ("happy", "playful")  # other moods go with any key

_CHINESE = re.compile(r"[\u3400-\u9fff]")
_KEY = re.compile(r"([升降]?)([A-G])[ ]?([#♯b♭]?)[ ]?(大调|小调)", re.IGNORECASE)
_BPM = re.compile(
    r"(?:每分钟|速度|节奏)?\s*(?<![\d./])(\d{2,3})\s*(?:bpm|beats per minute|拍(?:/分钟|每分钟)?)", re.IGNORECASE
)
_NOT = re.compile(r"(?:不|无|别|没|非|没有|不要|不带|不用|不是|不太|别用|\bno|\bwithout)\s*$", re.IGNORECASE)
_FOUND = "\x00"  # stands where something was recognised
# What may stand at either end of words that are not known without meaning anything for the music.
_FILLERS = (
    *("我想要", "我想听", "我要", "想要", "请", "帮我", "来", "给我", "写", "做", "生成", "听起来", "像"),
    *("一首", "一段", "一支", "一个", "一曲", "首", "段", "支", "一点", "一些", "有点", "有些", "非常", "比较", "很"),
    *("带有", "带着", "带", "伴有", "伴着", "伴随", "伴奏", "配上", "配", "加上", "加入", "加", "有", "用", "以"),
    *("为主", "为", "和", "与", "及", "跟", "还", "又", "而", "并", "在", "里", "中", "上", "的", "地", "得", "是"),
    *("音乐", "乐曲", "歌曲", "曲子", "曲", "歌", "旋律", "演奏", "主奏", "合奏"),
    *("风格", "风", "感觉", "氛围", "感", "情绪", "节奏", "节拍", "速度", "般", "调子", "般的"),
)  # fmt: skip


@dataclass(frozen=True)
class Chosen:
    """What a sentence shall name, by the blocks' English."""

    genres: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    moods: tuple[str, ...] = ()
    tempo: str = ""
    bpm: int | None = None
    key: str = ""
    more: tuple[str, ...] = ()
    """goes behind, between commas, as it is"""


@dataclass(frozen=True)
class InEnglish:
    """What could be made of a prompt with Chinese in it."""

    prompt: str
    """the whole of it, its Chinese lines in English as far as they were understood"""
    lines: tuple[str, ...]
    """the English of those lines alone; none where nothing was understood"""
    unknown: tuple[str, ...]
    """the words that were not"""


def is_chinese(prompt: str) -> bool:
    return bool(_CHINESE.search(prompt))


def compose(chosen: Chosen) -> str:
    """"A slow, dreamy ambient piece with piano and strings, 66 bpm, in D minor"; "" for nothing chosen."""  # fmt: skip
    if chosen == Chosen():
        return ""
    kinds = {block.english: block for block in (*GENRES, *_MORE_GENRES)}
    adjectives = ", ".join(word for word in (chosen.tempo, *chosen.moods) if word)
    noun = kinds[chosen.genres[-1]].noun if chosen.genres else "piece"
    head = _with_article(" ".join(filter(None, (adjectives, *chosen.genres, noun))))
    head = head[0].upper() + head[1:]
    if chosen.instruments:
        head += " with " + _listed(_instrument(name) for name in chosen.instruments)
    tails = [f"{chosen.bpm} bpm" if chosen.bpm else "", f"in {chosen.key}" if chosen.key else "", *chosen.more]
    tails = [tail for tail in tails if tail]
    if not chosen.instruments and tails and tails[0].startswith("in "):
        head += f" {tails.pop(0)}"
    return ", ".join([head, *tails])


def roll(draw: random.Random) -> Chosen:
    """A combination that goes together; with a key now and then."""
    genre = draw.choice(list(PALETTES))
    instruments, moods, tempi = PALETTES[genre]
    mood, tempo = draw.choice(moods.split()), draw.choice(tempi.split())
    modes = [mode for mode, other in (("major", _MINOR), ("minor", _MAJOR)) if mood not in other]
    keys = [key.english for key in KEYS if key.english.endswith(tuple(modes))]
    tuned = [name for name in instruments if name != "drums"]
    picked = draw.sample(tuned, min(len(tuned), draw.choice((1, 2, 2))))
    drums = ["drums"] if "drums" in instruments and draw.random() < 0.6 else []
    return Chosen(
        genres=(genre,),
        instruments=(*picked, *drums),
        moods=(mood,),
        tempo=tempo,
        bpm=bpm_of(tempo),
        key=draw.choice(keys) if draw.random() < 0.3 else "",
    )


def bpm_of(tempo: str) -> int | None:
    """Beats per minute that a tempo's chip stands for."""
    return next((block.bpm for block in TEMPI if block.english == tempo), None)


def in_english(prompt: str) -> InEnglish:
    """Every line with Chinese in it, in English, as far as its words are known; other lines stay."""
    whole: list[str] = []
    lines: list[str] = []
    unknown: list[str] = []
    for line in prompt.splitlines():
        if is_chinese(line):
            chosen, rest = recognise(line)
            unknown += rest
            if english := compose(chosen):
                lines.append(english)
                line = english
        whole.append(line)
    return InEnglish("\n".join(whole), tuple(lines), tuple(dict.fromkeys(unknown)))


def recognise(line: str) -> tuple[Chosen, tuple[str, ...]]:
    """The blocks that a line names, and the Chinese words in it that are not known.

    What was denied ("不要鼓") counts as not known. Other English in the line goes behind, as it is.
    """
    chosen = Chosen()

    def take_key(found: re.Match) -> str:
        nonlocal chosen
        before, letter, after, mode = found.groups()
        sign = {"升": " sharp", "#": " sharp", "♯": " sharp", "降": " flat", "b": " flat", "♭": " flat"}
        raised = sign.get((before or after).lower(), "")
        chosen = replace(chosen, key=f"{letter.upper()}{raised} {'major' if mode == '大调' else 'minor'}")
        return _FOUND

    def take_bpm(found: re.Match) -> str:
        nonlocal chosen
        chosen = replace(chosen, bpm=int(found[1]))
        return _FOUND

    line = _BPM.sub(take_bpm, _KEY.sub(take_key, line.replace("\x00", " ")))
    named: list[tuple[int, str, str]] = []
    for word, kind, english in _GLOSSARY:
        for found in reversed(list(_pattern(word).finditer(line))):
            if _NOT.search(line[: found.start()]):
                continue
            named.append((found.start(), kind, english))
            line = line[: found.start()] + _FOUND * len(found[0]) + line[found.end() :]
    fields: dict[str, list[str]] = {"genres": [], "instruments": [], "moods": [], "tempo": [], "more": []}
    for _, kind, english in sorted(named):
        if english not in fields[kind]:
            fields[kind].append(english)
    parts = [part for part in re.split(r"[\x00\s,.;:!?，。；：！？、·“”\"'（）()]+", _spaced(line)) if part]
    unknown = [bare for part in parts if is_chinese(part) and (bare := _stripped(part))]
    words = " ".join(part for part in re.split(r"[^\x20-\x7e]+", _spaced(line)) if re.search(r"[A-Za-z]", part))
    own = " ".join(words.strip(" ,.;:").split())
    chosen = replace(
        chosen,
        genres=tuple(fields["genres"]),
        instruments=tuple(fields["instruments"]),
        moods=tuple(fields["moods"]),
        tempo=next(iter(fields["tempo"]), ""),
        more=(*fields["more"], *([own] if own else [])),
    )
    return chosen, tuple(unknown)


def _glossary() -> list[tuple[str, str, str]]:
    """(word, field of `Chosen`, English) of every word that is known, the longest first: 电钢琴 before 钢琴."""
    kinds = {
        "genres": (*GENRES, *_MORE_GENRES),
        "instruments": (*INSTRUMENTS, *_MORE_INSTRUMENTS),
        "moods": (*MOODS, *_MORE_MOODS),
        "tempo": TEMPI,
        "more": _MORE,
    }
    words = [
        (word, kind, block.english)
        for kind, blocks in kinds.items()
        for block in blocks
        for word in {block.english, block.chinese, block.chinese.replace(" ", ""), *block.also}
    ]
    return sorted(words, key=lambda entry: (-len(entry[0]), entry))


def _pattern(word: str) -> re.Pattern:
    """Finds it in any case; English only as a whole word."""
    return re.compile(rf"(?<![a-z]){re.escape(word)}(?![a-z])" if word.isascii() else re.escape(word), re.IGNORECASE)


def _spaced(line: str) -> str:
    return line.replace("的", " 的 ")


def _stripped(words: str) -> str:
    """Without the fillers at both ends."""
    before = None
    while before != words:
        before = words
        for filler in _FILLERS:
            words = words.removeprefix(filler).removesuffix(filler)
    return words if is_chinese(words) else ""


def _with_article(words: str) -> str:
    return ("an " if words[0].lower() in "aeiou" else "a ") + words


def _instrument(name: str) -> str:
    counted = any(block.counted for block in (*INSTRUMENTS, *_MORE_INSTRUMENTS) if block.english == name)
    return _with_article(name) if counted else name


def _listed(words: Iterable[str]) -> str:
    """"piano"; "piano and flute"; "piano, flute and drums"."""  # fmt: skip
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


_GLOSSARY = _glossary()
