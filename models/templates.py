"""Headline templates written for this project: clear cases that labelled sets lack, above all neutral Chinese agency news.

Each template has {c}, an invented company, and may have {d} (another one), {n} (a number) and {p} (a percentage). Names are random, so
that the model learns the event and not the company.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from importlib import resources

from core.errors import ModelError
from core.taxonomy import BY_KEY

FILLER_SHARE = 0.4  # share of filled templates that continue with neutral facts

_EN_STARTS = (
    "Al",
    "Bar",
    "Cor",
    "Dex",
    "El",
    "Fen",
    "Gran",
    "Hal",
    "Ing",
    "Jor",
    "Kel",
    "Lum",
    "Mar",
    "Nor",
    "Or",
    "Pel",
    "Quin",
    "Ros",
    "Sil",
    "Tor",
    "Ul",
    "Ver",
    "Wes",
    "Yar",
    "Zen",
)
_EN_MIDDLES = ("a", "e", "i", "o", "u", "an", "er", "is", "ta", "vi", "mo", "ri", "de", "lo", "")
_EN_ENDS = (
    "dan",
    "tek",
    "via",
    "nor",
    "mont",
    "field",
    "ton",
    "ware",
    "cor",
    "lis",
    "gen",
    "max",
    "bridge",
    "stone",
    "vale",
    "wick",
    "ford",
    "ra",
    "phan",
)
_EN_KINDS = (
    "",
    "",
    " Inc",
    " Group",
    " Holdings",
    " Corp",
    " Bank",
    " Energy",
    " Motors",
    " Pharma",
    " Technologies",
    " Properties",
    " plc",
)
_ZH_FIRST = "华金天海中东恒瑞泰安嘉鼎永新博云宏远星晨凯融科正景盛江北南龙"
_ZH_SECOND = "兴达信源辰川润丰泽禾泓岳图诺科航维德茂翔锐灵铭朗沃能"
_ZH_KINDS = ("股份", "集团", "科技", "控股", "地产", "银行", "医药", "能源", "证券", "电子", "汽车", "新材", "重工", "软件", "食品")

#: Neutral sentences as they follow a lead in agency copy; they must not change the predicted sentiment of the lead.
_FILLERS = {
    "en": (
        "The company was established in 19{y} and is run from {d}'s former offices.",
        "It employs around {n}0 people in several countries.",
        "A spokesman said more details would follow on Monday.",
        "Trading volume was {n} million shares.",
        "The statement was published after the close.",
        "{d} is one of its main competitors.",
        "The next report is due in spring.",
        "Analysts at {d} follow the company.",
        "The agency first reported the news.",
    ),
    "zh": (
        "公司成立于19{y}年，总部设在某市。",
        "公司现有员工约{n}0人。",
        "公司表示，更多细节将于下周一公布。",
        "截至发稿，成交额{n}亿元。",
        "上述公告于收盘后发布。",
        "{d}是其主要同业之一。",
        "公开资料显示，公司主营业务分布在多个省份。",
        "下一次定期报告将于明年春季披露。",
    ),
}


@dataclass(frozen=True, slots=True)
class FilledTemplate:
    """A headline made from a template."""

    text: str
    company: str
    language: str
    sentiment: str
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """One line of templates.tsv."""

    language: str
    sentiment: str
    topics: tuple[str, ...]
    text: str


def read_templates(lines: str | None = None) -> tuple[Template, ...]:
    """The templates of models/templates.tsv, or of `lines`, in order. Raises ModelError for a malformed line."""
    text = resources.files("models").joinpath("templates.tsv").read_text(encoding="utf8") if lines is None else lines
    templates = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        parts = line.split("\t")
        topics = tuple(parts[2].split(",")) if len(parts) == 4 else ()
        if not topics or any(topic not in BY_KEY for topic in topics):
            message = f"models/templates.tsv line {number}: expected language, sentiment, known topics and text, separated by tabs"
            raise ModelError(message)
        templates.append(Template(parts[0], parts[1], topics, parts[3]))
    return tuple(templates)


def company_name(language: str, rng: random.Random) -> str:
    """A random invented company name in a language."""
    if language == "zh":
        return rng.choice(_ZH_FIRST) + rng.choice(_ZH_SECOND) + rng.choice(_ZH_KINDS)
    return rng.choice(_EN_STARTS) + rng.choice(_EN_MIDDLES) + rng.choice(_EN_ENDS) + rng.choice(_EN_KINDS)


def fill_templates(templates: tuple[Template, ...], per_template: int, rng: random.Random) -> list[FilledTemplate]:
    """Fill each template `per_template` times, with different names and figures each time."""
    return [_fill(template, rng) for template in templates for _ in range(per_template)]


def _fill(template: Template, rng: random.Random) -> FilledTemplate:
    company, other = company_name(template.language, rng), company_name(template.language, rng)
    whole = rng.choice((rng.randint(2, 9), rng.randint(10, 99), rng.randint(100, 950)))
    number = f"{whole}{rng.choice(('', '', f'.{rng.randint(1, 9)}'))}"
    text = template.text.format(c=company, d=other, n=number, p=f"{rng.randint(3, 80)}%", q=f"{rng.randint(1, 9)}.{rng.randint(0, 9)}%")
    if rng.random() < FILLER_SHARE:
        facts = rng.sample(_FILLERS[template.language], rng.randint(1, 3))
        filled = [fact.format(d=other, n=rng.randint(2, 95), y=rng.randint(50, 99)) for fact in facts]
        stop, gap = ("。", "") if template.language == "zh" else (". ", " ")
        text = text + stop + gap.join(filled)
    return FilledTemplate(text, company, template.language, template.sentiment, template.topics)
