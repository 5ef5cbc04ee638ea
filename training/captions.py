"""Captions for a clip in English and Chinese: each names some of its attributes, in words that are all true."""

import numpy as np

from training.attributes import Attributes

TEMPO_EN = {
    "slow": ("slow", "unhurried", "slow-paced"),
    "medium": ("mid-tempo", "medium-paced", "moderate"),
    "fast": ("fast", "quick", "upbeat", "fast-paced"),
}
TEMPO_ZH = {"slow": ("慢速", "缓慢"), "medium": ("中速", "不快不慢"), "fast": ("快速", "快节奏", "轻快")}
LIGHT = ("upbeat", "轻快")  # words for fast that promise good spirits too
HEAVY_MOODS = ("sad", "dark")
STYLE_EN = {
    "ambient": ("ambient",), "lo-fi": ("lo-fi", "lofi", "lo-fi hip hop"), "rock": ("rock",),
    "pop": ("pop",), "waltz": ("waltz",), "techno": ("techno",), "house": ("house",),
    "chiptune": ("chiptune", "8-bit", "retro game"), "ballad": ("ballad",), "bossa nova": ("bossa nova", "bossa"),
    "jazz": ("jazz",), "folk": ("folk",), "funk": ("funk", "funky"), "classical": ("classical",),
    "cinematic": ("cinematic", "film score"), "synthwave": ("synthwave", "retro 80s"), "reggae": ("reggae",),
    "trap": ("trap",), "lullaby": ("lullaby",), "tropical": ("tropical",),
}  # fmt: skip
STYLE_ZH = {
    "ambient": ("氛围音乐",), "lo-fi": ("低保真嘻哈", "lo-fi 音乐"), "rock": ("摇滚",), "pop": ("流行乐", "流行音乐"),
    "waltz": ("华尔兹", "圆舞曲"), "techno": ("科技舞曲", "techno 舞曲"), "house": ("浩室舞曲", "house 舞曲"),
    "chiptune": ("芯片音乐", "8位游戏音乐"), "ballad": ("抒情曲", "抒情慢歌"), "bossa nova": ("波萨诺瓦", "巴萨诺瓦"),
    "jazz": ("爵士乐", "爵士"), "folk": ("民谣",), "funk": ("放克", "放克音乐"), "classical": ("古典音乐", "古典乐曲"),
    "cinematic": ("电影配乐", "影视配乐"), "synthwave": ("合成器浪潮", "80年代复古电子乐"),
    "reggae": ("雷鬼", "雷鬼音乐"), "trap": ("陷阱音乐", "trap 音乐"), "lullaby": ("摇篮曲",),
    "tropical": ("热带风情音乐", "热带音乐"),
}  # fmt: skip
# Styles whose English name is a noun of its own: "a waltz", not "a waltz track".
NOUNS = ("waltz", "ballad", "lullaby")
INSTRUMENT_EN = {
    "piano": ("piano",), "electric piano": ("electric piano", "Rhodes"), "organ": ("organ", "Hammond organ"),
    "guitar": ("acoustic guitar", "plucked guitar", "nylon guitar"),
    "electric guitar": ("electric guitar", "distorted guitar"), "bells": ("bells", "glockenspiel", "music box"),
    "marimba": ("marimba", "mallets"), "strings": ("strings", "violins"), "pad": ("synth pad", "warm pad", "soft pad"),
    "flute": ("flute",), "clarinet": ("clarinet",), "brass": ("brass", "trumpet"),
    "chiptune": ("square wave", "8-bit synth", "pulse wave"), "synth": ("synth lead", "analog synth", "saw synth"),
    "upright bass": ("upright bass", "double bass"), "electric bass": ("bass guitar", "electric bass"),
    "synth bass": ("synth bass",), "sub bass": ("sub bass",), "808 bass": ("808 bass",),
    "chip bass": ("triangle bass",),
}  # fmt: skip
PLURALS = ("bells", "mallets", "strings", "violins", "brass")
INSTRUMENT_ZH = {
    "piano": ("钢琴",), "electric piano": ("电钢琴",), "organ": ("风琴", "管风琴"), "guitar": ("木吉他", "原声吉他"),
    "electric guitar": ("电吉他", "失真吉他"), "bells": ("钟琴", "八音盒", "钟声"), "marimba": ("马林巴", "木琴"),
    "strings": ("弦乐", "小提琴"), "pad": ("合成铺底", "柔和音垫"), "flute": ("长笛", "笛子"), "clarinet": ("单簧管",),
    "brass": ("铜管", "小号"), "chiptune": ("方波", "脉冲波"), "synth": ("合成器", "锯齿波合成器"),
    "upright bass": ("低音提琴",), "electric bass": ("电贝斯", "贝斯"), "synth bass": ("合成贝斯",),
    "sub bass": ("超低音",), "808 bass": ("808贝斯",), "chip bass": ("三角波贝斯",),
}  # fmt: skip
MOOD_EN = {
    "calm": ("calm", "peaceful", "relaxing"), "dreamy": ("dreamy", "floating"),
    "sad": ("sad", "melancholic", "sorrowful"), "tender": ("tender", "gentle", "romantic"),
    "dark": ("dark", "moody", "brooding"), "happy": ("happy", "cheerful", "joyful"), "playful": ("playful", "bouncy"),
    "epic": ("epic", "grand", "heroic"), "energetic": ("energetic", "driving", "lively"),
}  # fmt: skip
MOOD_ZH = {
    "calm": ("平静", "宁静", "放松"), "dreamy": ("梦幻", "飘渺"), "sad": ("悲伤", "忧伤"), "tender": ("温柔", "浪漫"),
    "dark": ("阴暗", "暗沉"), "happy": ("欢快", "快乐", "喜悦"), "playful": ("俏皮", "活泼"),
    "epic": ("史诗般", "宏大"), "energetic": ("充满活力", "激昂"),
}  # fmt: skip
MODE_EN = {
    "dorian": ("dorian", "Dorian mode"),
    "mixolydian": ("mixolydian", "Mixolydian mode"),
    "lydian": ("lydian", "Lydian mode"),
}
MODE_ZH = {
    "major": "大调",
    "minor": "小调",
    "dorian": "多利亚调式",
    "mixolydian": "混合利底亚调式",
    "lydian": "利底亚调式",
}
DRUMS_EN = ("with drums", "with a drum beat", "with percussion")
NO_DRUMS_EN = ("without drums", "no drums", "no percussion")
DRUMS_ZH = ("带鼓点", "有鼓", "配鼓")
NO_DRUMS_ZH = ("没有鼓", "无鼓", "不要鼓")
METRE_EN = {3: ("in 3/4", "in 3/4 time", "in three-four time"), 4: ("in 4/4", "in 4/4 time")}
METRE_ZH = {3: ("3/4拍", "四三拍", "三拍子"), 4: ("4/4拍", "四四拍")}
TRACKS_EN = ("track", "piece", "tune", "music", "instrumental")
# How often a caption names each attribute. What people type first comes most.
ODDS = {
    "lead": 0.85,
    "style": 0.6,
    "mood": 0.45,
    "tempo": 0.4,
    "key": 0.5,
    "bpm": 0.35,
    "drums": 0.45,
    "metre": 0.12,
    "others": 0.3,
}


def draw_subset(rng) -> set[str]:
    """Which attributes a caption names; now and then all of them, now and then one alone."""
    chance = rng.random()
    if chance < 0.1:
        return set(ODDS)
    if chance < 0.2:
        return {("lead", "style", "mood", "lead", "style")[int(rng.integers(5))]}
    named = {name for name, odds in ODDS.items() if rng.random() < odds}
    return named if named & {"lead", "style"} else named | {"lead"}


def pick(rng, options):
    """One of them, evenly."""
    return options[int(rng.integers(len(options)))]


def tempo_words(words: dict, attributes: Attributes) -> list[str]:
    """What the tempo may be called in this mood."""
    return [word for word in words[attributes.tempo] if word not in LIGHT or attributes.mood not in HEAVY_MOODS]


def key_en(rng, attributes: Attributes) -> str:
    """The key as people write it: "E flat minor", "Eb minor", "C# minor", "D dorian"."""
    letter, accidental = attributes.tonic_name[0], attributes.tonic_name[1:]
    spelled = {"": ("",), "b": ("b", " flat", "♭"), "#": ("#", " sharp", "♯")}[accidental]
    return f"{letter}{pick(rng, spelled)} {pick(rng, MODE_EN.get(attributes.mode, (attributes.mode,)))}"


def key_zh(rng, attributes: Attributes) -> str:
    """The key in Chinese, the accidental before the letter: "降E小调"."""
    letter, accidental = attributes.tonic_name[0], attributes.tonic_name[1:]
    space = pick(rng, ("", " ")) if not accidental else ""
    return {"": "", "b": "降", "#": "升"}[accidental] + letter + space + MODE_ZH[attributes.mode]


def article(words: str) -> str:
    """The words behind "a" or "an"."""
    return ("an " if words[0].lower() in "aeiou8" else "a ") + words


def english(rng, attributes: Attributes, named: set[str]) -> str:
    """One English caption that names what is asked for, or less where there is nothing to say."""
    adjectives = []
    if "tempo" in named:
        adjectives.append(pick(rng, tempo_words(TEMPO_EN, attributes)))
    if "mood" in named:
        adjectives.append(pick(rng, MOOD_EN[attributes.mood]))
    if rng.random() < 0.5:
        adjectives.reverse()
    style = pick(rng, STYLE_EN[attributes.style]) if "style" in named else ""
    lead = pick(rng, INSTRUMENT_EN[attributes.lead]) if "lead" in named else ""
    tails = []
    if "key" in named:
        tails.append(f"in {key_en(rng, attributes)}" if rng.random() < 0.85 else f"key of {key_en(rng, attributes)}")
    if "bpm" in named:
        tails.append(pick(rng, ("at {} bpm", "{} bpm", "{} BPM", "at {} beats per minute")).format(attributes.bpm))
    if "metre" in named:
        tails.append(pick(rng, METRE_EN[attributes.metre]))
    others = companions(attributes) if "others" in named else []
    if others:
        tails.append("with " + " and ".join(pick(rng, INSTRUMENT_EN[name]) for name in others))
    if "drums" in named:
        tails.append(pick(rng, DRUMS_EN if attributes.has_drums else NO_DRUMS_EN))
    if "others" in named and attributes.solo and lead:
        adjectives.append("solo")
    rng.shuffle(tails)

    if rng.random() < 0.18:  # a list of tags
        tags = [
            tag
            for tag in (style, lead, *adjectives, *(tail.removeprefix("in ").removeprefix("at ") for tail in tails))
            if tag
        ]
        rng.shuffle(tags)
        return ", ".join(tags)
    noun = style if attributes.style in NOUNS and style else f"{style} {pick(rng, TRACKS_EN)}".strip()
    bare = noun.endswith(("music", "8-bit", "funky"))
    described = " ".join([*adjectives, noun])
    if lead and style:
        the_lead = lead if lead in PLURALS or rng.random() < 0.5 else article(lead)
        forms = ("{} with " + the_lead, "{} played on " + lead, "{} featuring " + lead, "{}, " + lead + " melody")
        joined = rng.choice([*(form.format(described) for form in forms), " ".join([*adjectives, style, lead])])
    elif lead:
        plain = " ".join([*adjectives, lead])
        joined = rng.choice(
            [plain, plain, f"{plain} melody", f"{plain} tune", " ".join([*adjectives, f"tune played on {lead}"])]
        )
    else:
        joined = described
    head = str(joined)
    start = rng.random()
    if start < 0.3 and not bare and head.startswith(described) and lead not in PLURALS:
        head = article(head)
    elif start < 0.36:
        head = "play " + head
    separator = pick(rng, (" ", " ", ", "))
    apart = ("no ", "key of ", *"0123456789")  # these don't follow without a comma
    text = head + "".join((", " if tail.startswith(apart) else separator) + tail for tail in tails)
    return text[0].upper() + text[1:] if rng.random() < 0.3 else text


def chinese(rng, attributes: Attributes, named: set[str]) -> str:
    """One Chinese caption that names what is asked for, or less where there is nothing to say."""
    adjectives = []
    if "tempo" in named:
        adjectives.append(pick(rng, tempo_words(TEMPO_ZH, attributes)))
    if "mood" in named:
        adjectives.append(pick(rng, MOOD_ZH[attributes.mood]))
    rng.shuffle(adjectives)
    style = pick(rng, STYLE_ZH[attributes.style]) if "style" in named else ""
    lead = pick(rng, INSTRUMENT_ZH[attributes.lead]) if "lead" in named else ""
    key = key_zh(rng, attributes) if "key" in named else ""
    tails = []
    if "bpm" in named:
        tails.append(pick(rng, ("每分钟{}拍", "{} bpm", "{}BPM", "速度{}")).format(attributes.bpm))
    if "metre" in named:
        tails.append(pick(rng, METRE_ZH[attributes.metre]))
    others = companions(attributes) if "others" in named else []
    if others:
        tails.append(pick(rng, ("配", "加上", "伴有")) + "和".join(pick(rng, INSTRUMENT_ZH[name]) for name in others))
    if "drums" in named:
        tails.append(pick(rng, DRUMS_ZH if attributes.has_drums else NO_DRUMS_ZH))
    rng.shuffle(tails)

    if rng.random() < 0.2:
        tags = [tag for tag in (style, lead, key, *adjectives, *tails) if tag]
        rng.shuffle(tags)
        return "，".join(tags)
    solo = "独奏" if lead and attributes.solo and "others" in named else ""
    if style and lead and rng.random() < 0.5:
        body = qualified(rng, key, adjectives, style)
        head = body + pick(rng, (f"，{lead}{solo or '演奏'}", f"，用{lead}演奏", f"，以{lead}为主"))
    else:
        tune = lead + (solo or pick(rng, ("", "曲", "旋律"))) if lead else ""
        noun = qualified(rng, key, adjectives, style or tune or "音乐") + (f"，{tune}" if style and tune else "")
        head = pick(rng, ("一段", "一首", "来一段", "")) + noun
    return head + "".join("，" + tail for tail in tails)


def qualified(rng, key: str, adjectives: list[str], noun: str) -> str:
    """A Chinese noun behind its key and adjectives, with no more 的 than a reader likes."""
    if key and len(adjectives) == 1 and rng.random() < 0.5:
        return f"{key}的{adjectives[0]}{noun}"
    colour = "、".join(adjectives) + "的" if adjectives else ""
    if key and rng.random() < 0.3:
        return f"{key}，{colour}{noun}"
    return colour + (key + (pick(rng, ("", "的")) if not colour else "") if key else "") + noun


def companions(attributes: Attributes) -> list[str]:
    """The instruments beside the lead that are worth a word."""
    return [name for name in (attributes.chords, attributes.bass) if name and name != attributes.lead]


def write_captions(attributes: Attributes, rng: np.random.Generator, count: int) -> list[str]:
    """`count` different captions, English and Chinese in turn, each naming its own subset of the attributes."""
    captions: list[str] = []
    while len(captions) < count:
        write = (english, chinese)[len(captions) % 2]
        text = write(rng, attributes, draw_subset(rng))
        if text not in captions or rng.random() < 0.05:  # a clip with little to say may repeat itself
            captions.append(text)
    return captions
