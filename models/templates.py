"""Clear cases, written by us: what no labelled set has enough of, above all neutral Chinese wire news.

Each template has {c}, an invented company, and perhaps {d} (another one), {n} (a number) and {p} (a per cent figure). The
names are invented at random, so that the model learns the event and not the company.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from importlib import resources

from core.errors import ModelError
from core.taxonomy import BY_KEY

FILLED = 0.4  # of the seeds go on with facts that say nothing

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

#: What follows a lead in wire copy and says nothing good or bad; it must not dilute what the lead said.
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
class Seed:
    """One filled template."""

    text: str
    company: str
    language: str
    sentiment: str
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """One line of seeds.tsv."""

    language: str
    sentiment: str
    topics: tuple[str, ...]
    text: str


def read_templates(lines: str | None = None) -> tuple[Template, ...]:
    """The templates of models/seeds.tsv (or of `lines`), in order. Raises ModelError on a malformed line."""
    text = resources.files("models").joinpath("templates.tsv").read_text(encoding="utf8") if lines is None else lines
    templates = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        parts = line.split("\t")
        topics = tuple(parts[2].split(",")) if len(parts) == 4 else ()
        if not topics or any(topic not in BY_KEY for topic in topics):
            message = f"models/seeds.tsv line {number}: language, sentiment, known topics and text are wanted, apart by tabs"
            raise ModelError(message)
        templates.append(Template(parts[0], parts[1], topics, parts[3]))
    return tuple(templates)


def company_name(language: str, dice: random.Random) -> str:
    """An invented company."""
    if language == "zh":
        return dice.choice(_ZH_FIRST) + dice.choice(_ZH_SECOND) + dice.choice(_ZH_KINDS)
    return dice.choice(_EN_STARTS) + dice.choice(_EN_MIDDLES) + dice.choice(_EN_ENDS) + dice.choice(_EN_KINDS)


def grow(templates: tuple[Template, ...], per_template: int, dice: random.Random) -> list[Seed]:
    """Each template filled `per_template` times, with other names and figures each time."""
    return [_fill(template, dice) for template in templates for _ in range(per_template)]


def _fill(template: Template, dice: random.Random) -> Seed:
    company, other = company_name(template.language, dice), company_name(template.language, dice)
    whole = dice.choice((dice.randint(2, 9), dice.randint(10, 99), dice.randint(100, 950)))
    number = f"{whole}{dice.choice(('', '', f'.{dice.randint(1, 9)}'))}"
    text = template.text.format(c=company, d=other, n=number, p=f"{dice.randint(3, 80)}%", q=f"{dice.randint(1, 9)}.{dice.randint(0, 9)}%")
    if dice.random() < FILLED:
        facts = dice.sample(_FILLERS[template.language], dice.randint(1, 3))
        filled = [fact.format(d=other, n=dice.randint(2, 95), y=dice.randint(50, 99)) for fact in facts]
        stop, gap = ("。", "") if template.language == "zh" else (". ", " ")
        text = text + stop + gap.join(filled)
    return Seed(text, company, template.language, template.sentiment, template.topics)
