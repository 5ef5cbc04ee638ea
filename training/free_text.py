"""What people write who name no instrument: occasions, places, feelings, and words that mean nothing here.

An occasion is said of a clip only where its style and mood suit, so that "happy birthday party" lands on happy party
music. Noise words are said of any clip, so that the model learns to pass over what it doesn't know.
"""

import numpy as np

from training.attributes import Attributes

OCCASIONAL = 0.22  # share of captions that name an occasion, alone or before the rest
NOISY = 0.18  # share of captions with words that mean nothing here

# occasion in English, in Chinese, the styles and the moods that suit it ("" is any)
_OCCASIONS = """
birthday party; birthday celebration | 生日派对; 生日快乐 | pop funk house tropical chiptune | happy playful energetic
party; dance party; dance floor | 派对; 舞会 | house techno funk pop tropical | happy energetic playful
night club; rave; club | 夜店; 电音节 | techno house | energetic dark
workout; gym; running; sports | 健身; 跑步; 运动 | techno rock house synthwave trap pop | energetic
wedding; love story; first dance | 婚礼; 爱情故事 | ballad waltz classical bossa_nova | tender happy dreamy
romantic dinner; candle light | 浪漫晚餐; 烛光 | bossa_nova jazz ballad | tender calm dreamy
coffee shop; cafe; coffee | 咖啡馆; 咖啡厅 | bossa_nova jazz lo-fi | calm tender happy dreamy playful
study; studying; focus; homework; reading | 学习; 专注; 看书 | lo-fi ambient | calm dreamy tender
work; office; background music | 工作; 背景音乐 | lo-fi pop bossa_nova | calm happy tender
sleep; falling asleep; bedtime; goodnight | 睡觉; 助眠; 晚安 | lullaby ambient | calm tender dreamy
baby; little child; newborn | 宝宝; 婴儿 | lullaby | calm tender dreamy
children; kids; cartoon | 儿童; 动画片 | chiptune folk pop tropical | happy playful
meditation; yoga; spa; massage | 冥想; 瑜伽; 水疗 | ambient | calm dreamy
rain; rainy day; rainy night | 下雨天; 雨夜 | lo-fi ambient ballad jazz | sad calm dreamy tender
summer; beach; vacation; holiday; sunshine | 夏天; 海滩; 度假; 阳光 | tropical reggae bossa_nova | happy playful calm
sea; ocean; waves; underwater | 大海; 海洋; 海浪 | ambient | calm dreamy
space; stars; galaxy; universe | 太空; 星空; 宇宙 | ambient synthwave cinematic | dreamy dark
forest; nature; mountains; river | 森林; 大自然; 高山; 河流 | ambient folk classical | calm dreamy tender playful happy
morning; sunrise; new day | 早晨; 日出; 清晨 | folk pop bossa_nova classical | happy calm tender
night; midnight; moonlight | 夜晚; 午夜; 月光 | lo-fi synthwave ambient jazz ballad | dreamy calm dark sad tender
sunset; evening | 日落; 傍晚; 黄昏 | lo-fi synthwave reggae | calm dreamy
city; city lights; neon; night drive | 城市; 霓虹灯; 夜间驾驶 | synthwave lo-fi | dreamy dark energetic calm
road trip; driving; highway; travel | 公路旅行; 开车; 旅行 | rock folk synthwave pop | energetic happy
film trailer; battle; victory; hero | 电影预告; 战斗; 战争; 英雄 | cinematic rock classical | epic dark energetic
adventure; journey; quest | 冒险; 旅程 | cinematic folk classical chiptune | epic playful happy
horror; scary; haunted house; ghost | 恐怖; 鬼屋; 幽灵 | cinematic ambient trap | dark
mystery; detective; secret; spy | 悬疑; 侦探; 神秘 | cinematic synthwave | dark dreamy
video game; arcade; level one; boss fight; pixel | 电子游戏; 街机; 像素游戏; 打怪 | chiptune | playful happy energetic
castle; dragon; fairy tale; magic; fantasy | 城堡; 龙; 童话; 魔法; 奇幻 | cinematic classical | epic dreamy playful
christmas; winter; snow | 圣诞节; 冬天; 下雪 | lullaby classical waltz | happy tender calm dreamy
new year; spring festival; celebration | 新年; 春节; 庆祝 | pop tropical funk classical | happy playful energetic
farewell; goodbye; loss; lonely; missing you; heartbreak | 告别; 离别; 孤独; 想念你; 失恋 | ballad lo-fi | sad
memories; nostalgia; old photographs | 回忆; 怀旧; 旧照片 | ballad waltz lo-fi synthwave folk | sad tender dreamy
church; prayer; hope | 教堂; 祈祷; 希望 | classical ballad | calm tender
circus; clown; funny; comedy | 马戏团; 小丑; 搞笑; 喜剧 | chiptune waltz funk | playful
street; hip hop; rap beat; skate | 街头; 嘻哈; 说唱伴奏; 滑板 | trap lo-fi funk | energetic dark calm
campfire; countryside; village; farm | 篝火; 乡村; 农场 | folk | happy tender playful calm sad
ballroom; dance; dancing couple | 舞厅; 跳舞; 双人舞 | waltz | happy tender dreamy playful
technology; robot; future; cyberpunk | 科技; 机器人; 未来; 赛博朋克 | techno synthwave | dark energetic dreamy
advertisement; product video; vlog | 广告; 宣传片; 视频博客 | pop house tropical funk | happy energetic playful
dinner; restaurant; hotel lobby; lounge | 餐厅; 酒店大堂 | jazz bossa_nova | calm tender happy
chill; relax; sunday; lazy afternoon | 放松一下; 慵懒的午后 | lo-fi reggae bossa_nova ambient | calm dreamy happy
fight; anger; rage; storm | 愤怒; 暴风雨 | rock trap techno cinematic | dark energetic epic
motivation; success; inspiring; win | 励志; 成功; 鼓舞人心 | cinematic pop rock | epic happy energetic
opening; theme song; title | 片头曲; 主题曲; 开场 | cinematic pop rock chiptune | epic happy energetic playful
"""
OCCASIONS = [tuple(field.strip() for field in line.split("|")) for line in _OCCASIONS.strip().splitlines()]
FORMS_EN = ("{}",) * 3 + (
    "music for {}",
    "{} music",
    "a song for {}",
    "{} song",
    "something for {}",
    "soundtrack for {}",
)
FORMS_ZH = ("{}", "{}", "{}音乐", "适合{}的音乐", "{}配乐", "{}的歌", "用于{}")
MOODS_EN = {"calm": "calm", "dreamy": "dreamy", "sad": "sad", "tender": "gentle", "dark": "dark", "happy": "happy",
            "playful": "fun", "epic": "epic", "energetic": "energetic"}  # fmt: skip
MOODS_ZH = {"calm": "平静的", "dreamy": "梦幻的", "sad": "悲伤的", "tender": "温柔的", "dark": "黑暗的",
            "happy": "快乐的", "playful": "有趣的", "epic": "史诗般的", "energetic": "动感的"}  # fmt: skip
_NOISE_EN = """
please make generate create write compose a me my the nice beautiful amazing cool great best really very high quality
studio hd clean sound audio loop sample instrumental background original new short long about with some and
style vibe feeling mood atmosphere world one two hello thanks day people story dog cat red blue green golden
water fire heart soul eyes time life window garden phone king queen book bird tree
"""
_NOISE_ZH = """
请 帮我 生成 制作 写 一段 一首 好听的 美妙的 高品质 原创 纯音乐 非常 很棒的 音效 感觉 风格 氛围 的 小猫 小狗 红色 蓝色
火焰 心灵 故事 时间 生活 窗户 花园 国王 大树 世界 谢谢 你好
"""
NOISE_EN, NOISE_ZH = _NOISE_EN.split(), _NOISE_ZH.split()
LETTERS = "aaaabcddeeeeefghiiijklmnnooopqrrsstttuuvwxyz"


def suiting(attributes: Attributes) -> list[tuple[str, ...]]:
    """The rows of OCCASIONS that may be said of a clip."""
    style = attributes.style.replace(" ", "_")
    return [row for row in OCCASIONS if style in row[2].split() and attributes.mood in row[3].split()]


def occasion(rng, attributes: Attributes, chinese: bool) -> str:
    """An occasion for which the clip would do, in a phrase; "" where none is known."""
    rows = suiting(attributes)
    if not rows:
        return ""
    words = rows[int(rng.integers(len(rows)))][1 if chinese else 0].split("; ")
    words = words[int(rng.integers(len(words)))]
    forms = FORMS_ZH if chinese else FORMS_EN
    mood = (MOODS_ZH if chinese else MOODS_EN)[attributes.mood]
    if rng.random() < 0.3:
        words = mood + ("" if chinese else " ") + words
    return forms[int(rng.integers(len(forms)))].format(words)


def noise(rng, chinese: bool) -> str:
    """A word that says nothing of the music: a common one, or one that doesn't exist."""
    if not chinese and rng.random() < 0.3:
        return "".join(LETTERS[int(i)] for i in rng.integers(len(LETTERS), size=int(rng.integers(3, 9))))
    words = NOISE_ZH if chinese else NOISE_EN
    return words[int(rng.integers(len(words)))]


def is_chinese(text: str) -> bool:
    """Whether any Chinese character is in it."""
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


def vary(rng: np.random.Generator, attributes: Attributes, caption: str) -> str:
    """The caption, or an occasion in its place or before it, or with noise words in it."""
    chinese = is_chinese(caption)
    chance = rng.random()
    if chance < OCCASIONAL:
        phrase = occasion(rng, attributes, chinese)
        if phrase:
            caption = phrase if rng.random() < 0.6 else phrase + ("，" if chinese else ", ") + caption
    return add_noise(rng, caption) if rng.random() < NOISY else caption


def add_noise(rng, caption: str) -> str:
    """The caption with words that mean nothing, before or behind it: a name in the middle stays whole."""
    chinese = is_chinese(caption)
    words = list(caption) if chinese else caption.split(" ")
    for _ in range(int(rng.integers(1, 4))):
        at = (0, len(words))[int(rng.integers(2))]
        words.insert(at, noise(rng, chinese))
    return ("" if chinese else " ").join(words)
