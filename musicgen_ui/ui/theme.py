"""How the page looks: pine and brass on paper, its dark twin, fonts that come with Gradio."""

from pathlib import Path

import gradio as gr
from gradio.themes.utils import colors, fonts, sizes

STYLE = Path(__file__).with_name("style.css")
ICON = Path(__file__).with_name("icon.svg")

_PINE = colors.Color(
    name="pine",
    c50="#edf6f3",
    c100="#d3e9e2",
    c200="#abd5c9",
    c300="#7abcab",
    c400="#479d89",
    c500="#22806d",
    c600="#126857",
    c700="#0f5447",
    c800="#0e433a",
    c900="#0b3730",
    c950="#051f1b",
)
_PAPER = colors.Color(
    name="paper",
    c50="#faf9f5",
    c100="#f2f0ea",
    c200="#e3e0d7",
    c300="#cbc7bb",
    c400="#9b988d",
    c500="#716f67",
    c600="#56554f",
    c700="#3b3d39",
    c800="#262a28",
    c900="#1a1e1d",
    c950="#111514",
)
_CJK = ("PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC")

HEAD = """
<meta name="description" content="MusicGen on MindSpore: describe music, hear it.">
"""


def make_theme() -> gr.themes.Base:
    return gr.themes.Base(
        primary_hue=_PINE,
        secondary_hue=_PINE,
        neutral_hue=_PAPER,
        radius_size=sizes.radius_md,
        spacing_size=sizes.spacing_md,
        text_size=sizes.text_md,
        font=(fonts.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", *_CJK, "sans-serif"),
        font_mono=(fonts.LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"),
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_100",
        background_fill_secondary_dark="*neutral_800",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_700",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        block_shadow_dark="none",
        block_padding="0px",
        block_title_text_weight="600",
        block_title_text_size="*text_md",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        input_background_fill="white",
        input_background_fill_dark="*neutral_800",
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_400",
        input_shadow="none",
        input_shadow_focus="inset 0 0 0 1px *primary_500",
        input_shadow_focus_dark="inset 0 0 0 1px *primary_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_400",
        button_primary_background_fill_hover_dark="*primary_300",
        button_primary_text_color="white",
        button_primary_text_color_dark="*neutral_950",
        button_primary_shadow="none",
        button_primary_shadow_hover="none",
        button_secondary_background_fill="transparent",
        button_secondary_background_fill_dark="transparent",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_hover_dark="*neutral_800",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
        button_border_width="1px",
        button_large_text_weight="600",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        checkbox_background_color_selected="*primary_600",
        checkbox_background_color_selected_dark="*primary_400",
        color_accent="*primary_600",
        color_accent_soft="*primary_50",
        color_accent_soft_dark="*primary_900",
        loader_color="*primary_500",
    )
