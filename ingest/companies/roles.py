"""The role of a company where a text names it: the subject of the news, a speaker about others, or a comparison.

    中金：上调宁德时代目标价 / Goldman raises its target on Netflix ─▶ the broker is a speaker
    比亚迪销量超过特斯拉 / faster than Nvidia's                      ─▶ the second company is a comparison

Only banks, brokers, rating agencies and news publishers are speakers: another company that says something says it about itself.
"""

from __future__ import annotations

import re
from typing import Final

from core.records import Role

SUBJECT: Final[Role] = "subject"
SPEAKER: Final[Role] = "speaker"
COMPARISON: Final[Role] = "comparison"

BEFORE, AFTER = 40, 90
"""Characters that are read before and after a name."""

_SPEAKING_NAME = re.compile(
    r"证券|银行|投行|投资|资本|国际金融|中金|期货|信托|评级|穆迪|标普|惠誉|路透|彭博|时报|新华网|人民网|东方财富|同花顺|"
    r"\b(?:bank|bancorp|securities|capital|financial|markets|ratings|moody's|s&p global|fitch|reuters|bloomberg|times|news corp|sachs|"
    r"stanley|group plc|citi\w*|jefferies|barclays|ubs|hsbc|nomura|mizuho|macquarie|evercore|stifel|raymond james|oppenheimer|piper|"
    r"cowen|bernstein|blackrock|pimco|berenberg|jpmorgan|investments?)\b",
    re.IGNORECASE,
)

_ZH_OWN = (
    r"(?:净利|营收|业绩(?!预|会)|净亏|每股收益|裁员|员工|罚款|被罚|处罚|立案|诉讼|股东大会|董事|行长|(?<!逆)回购|派息|分红|股息|增资|定增|可转债|发行|获批|中标|"
    r"本行|该行将|分行|网点|子公司|控股|减持股份|质押|合并|重组|停牌|复牌|挂牌)"
)
_ZH_UNIT = (
    r"(?:的|[AHah]股|港股|美股|集团|公司|证券|国际|研究|研究所|研究部|研究院|全球|亚洲|中国|首席|高级|资深|分析师|经济学家"
    r"|策略师|团队|策略|宏观|固收|股票|外汇|商品|最新|发布|发表|报告|研报|近日|日前|今日|\s|等(?:机构|投行|券商|多家)?)*"
)
_ZH_VIEW = (
    r"(?:看好|看淡|看空|看多|唱好|唱淡|唱多|唱空|警告|提醒|认为|预计|预测|预期|预料|估计|料|指出|称|表示|建议|点评|点名|推荐|重申|首予|首次覆盖|首评|予|"
    r"给予|判断|分析|指|相信|发研报|研报|报告|力荐|力挺|上看|喊|呼吁|提示|下修|上修|列为|列入)"
)
_ZH_RATE = r"(?:维持|上调|下调|调高|调低|调升|调降|升|降|提高|削|大削|微升|微降)"
_ZH_RATES_OBJECT = r"(?:将|把|对|予|给)[^，。；！？\n]{1,24}(?:评级|目标价|目标股价|盈利预测|投资评级)"
_ZH_RATED = r"(?:评级|目标价|盈利预测|盈测|预测|预期|增持|减持|买入|卖出|中性|跑赢|跑输|持有|沽售|优于大市|推荐|估值)"
_ZH_SOURCE = re.compile(r"(?:据|援引|引述|引用|来自|源于)(?:外媒|媒体|消息|报道|海外|投行|券商|[ “「《]){0,3}$")
_ZH_SPEAKS = re.compile(rf"[）)]?{_ZH_UNIT}(?:{_ZH_VIEW}|{_ZH_RATES_OBJECT}|{_ZH_RATE}(?=[^，。；！？\n]{{0,24}}{_ZH_RATED}))")
_ZH_COLON = re.compile(rf"[）)]?{_ZH_UNIT}[：:](?!拟|[^，。；\n]{{0,14}}{_ZH_OWN})")
_ZH_PERSON = re.compile(rf"{_ZH_UNIT}(?:(?<=分析师)|(?<=经济学家)|(?<=策略师)|(?<=研报)|研究员|交易员|资管|研究报告)")
_ZH_OWN_NEWS = re.compile(rf"[^。；！？\n]{{0,20}}{_ZH_OWN}")
_ZH_REPORT = re.compile(r"(?:社|网|新闻|通讯社)?(?:报道|消息|援引|获悉|独家)")

_ZH_COMPARED = re.compile(
    r"(?:超越|超过|赶超|反超|媲美|比肩|对标|堪比|不及|落后于|领先于?|相比|相较于?|较之|不如|好于|优于|强于|弱于|逊于|低于|高于|类似于?|如同|效仿|"
    r"(?<![对占同环之相此])比|竞争对手|老对手|宿敌|不像|区别于|有别于)(?:如|是|的|包括|[“「])?$"
)
_ZH_COMPARED_END = frozenset("越超过美肩标比及后先较之如好优强弱逊低高似同仿手敌像于是的括“「")
"""Last characters of what _ZH_COMPARED finds."""

_EN_OWN = re.compile(
    r"\b(?:its|own|jobs?|staff|employees|layoffs|dividends?|buybacks?|prime rate|profits?|revenues?|net income|quarter(?:ly)?|"
    r"bonus(?:es)?|ceo|"
    r"chief executive|branches|fined?|settle(?:s|d|ment)?|lawsuit|probe|investigat\w+|shares (?:fell|rose|jump|drop|slip|gain)\w*|"
    r"unit|deposits|returns)\b"
)
_EN_RATED = re.compile(
    r"\b(?:price (?:target|objective)s?|economic (?:outlook|forecasts?|growth)|(?:gdp|growth|inflation|gold|oil|rate|"
    r"recession) (?:forecasts?|outlook|calls?)|target|pt|ratings?|rated|estimates?|coverage|top picks?|conviction|upgrade[ds]?|"
    r"downgrade[ds]?|"
    r"(?:to|at|from|with|as|a|an?) ['\"“‘]?(?:strong[ -])?(?:buy|sell|hold|neutral|overweight|underweight|outperform|underperform|"
    r"equal[- ]?weight|"
    r"market[- ]perform|sector[- ]perform|in[- ]?line|add|reduce|accumulate|peer perform))\b"
)
_EN_ANALYSTS = re.compile(
    r"(?:['’]s?)?[ ](?:research[ ])?(?:analysts?|economists?|strategists?|research(?:ers)?|note|survey|forecasters|traders?)\b"
)
_EN_CITED = re.compile(
    r"\b(?:according to|(?:says|said|warns|estimates|predicts|forecasts|per|via|cites?|citing|told)|(?:analysts?|economists?|"
    r"strategists?) (?:at|from|with|of)|"
    r"(?:note|report|research|data|poll|survey) (?:from|by)|(?:upgraded?|downgraded?|initiated|cut|raised|rated|lowered|lifted|"
    r"reiterated)\b.{0,24} (?:at|by))"
    r"[ ](?:the[ ])?$"
)
_EN_RATES = re.compile(r"(?:['’]s [A-Z]\w+)?[ ](?:has[ ]|have[ ])?(?:upgrade[sd]?|downgrade[sd]?)\b")
_EN_ACTS = re.compile(
    r"[ ](?:has[ ]|have[ ]|also[ ])?(?:cuts?|raise[sd]?|lift(?:s|ed)?|lower(?:s|ed)?|hike[sd]?|slashe[sd]|trim(?:s|med)?|boost(?:s|"
    r"ed)?|bump(?:s|ed)?|ups|sets?|keeps?|"
    r"kept|removes?d?|adds?|added|names?d?|likes|favou?rs|prefers|recommends?|initiate[sd]?|starts?|started|resume[sd]?|assume[sd]?|"
    r"maintain(?:s|ed)?|"
    r"reiterate[sd]?|reaffirm(?:s|ed)?|affirm(?:s|ed)?|assign(?:s|ed)?|rates|puts?|stays?|turns?|moves?|double[- ]upgrades?|sees|"
    r"gives?|makes?|calls?)\b"
)
_EN_STATES = re.compile(
    r"(?:[ ](?:has[ ]|also[ ])?(?:says?|said|sees|expects?|expected|forecasts?|predicts?|predicted|warn(?:s|ed)?|thinks|believes|"
    r"estimates?|recommends?|reckons|"
    r"argues|notes|flags|remains (?:bullish|bearish)|is (?:bullish|bearish|neutral|cautious|overweight|underweight)|turns (?:bullish|"
    r"bearish)))(?=[\s,.]|$)"
)
_EN_COMPARED = re.compile(
    r"\b(?:than|versus|vs\.?|unlike|similar to|compared (?:with|to)|(?:rivals?|competitors?) (?:such as|like|including|to)|to rival|"
    r"like (?:its |their )?rivals?|"
    r"peers?(?: such as| like| including)|surpass(?:es|ed|ing)?|overt(?:akes?|ook|aking)|outpac(?:es|ed|ing)|outperform(?:s|ed|ing)?|"
    r"ahead of|"
    r"alternatives? to|challengers? to|threat to|answer to|the (?:next|new)|catch(?:es|ing)? up (?:with|to))[ ](?:the[ ])?$",
    re.IGNORECASE,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EN_COMPARED_END = _words(
    """
    than versus vs vs. unlike to with rival rivals as like including peers peer surpass surpasses surpassed
    surpassing overtake overtakes overtook overtaking outpaces outpaced outpacing outperform outperforms outperformed outperforming of
    next new the
    """
)
"""Last words of what _EN_COMPARED finds."""
_COMPARED_AFTER = re.compile(
    r"(?:相比|相较|相媲美|一样|那样|模式|等(?:竞争)?对手|之后第|式的?(?:创新|模式|崛起)|的(?:竞争|老)?对手|"
    r"(?:-(?:like|style|killer)|(?:['’]s)?[ ](?:rivals?|competitors?|challengers?|killer|alternatives?))\b)"
)


def may_speak(names: str, sector: str) -> bool:
    """Whether a company with these names and sector publishes views on others: a bank, a broker, an agency, a newspaper."""
    return sector == "banks" or _SPEAKING_NAME.search(names) is not None


def role_at(low: str, start: int, end: int, *, speaks: bool) -> Role:
    """The role of a company at [start, end) of a text.

    Args:
        low: folded text in lower case.
        start, end: place of its name.
        speaks: whether it is of a kind that speaks about others.
    """
    before = low[max(0, start - BEFORE) : start]
    if speaks:
        after = low[end : end + AFTER]
        chinese = "\u4e00" <= low[end - 1] <= "\u9fff" or "\u4e00" <= after[:1] <= "\u9fff" or after[:1] == "："
        if _speaks_chinese(before, after) if chinese else _speaks_english(before, after):
            return SPEAKER
    if before[-1:] in _ZH_COMPARED_END and _ZH_COMPARED.search(before):
        return COMPARISON
    if before[-1:] == " " and before[:-1].rpartition(" ")[2] in _EN_COMPARED_END and _EN_COMPARED.search(before):
        return COMPARISON
    return COMPARISON if _COMPARED_AFTER.match(low, end) else SUBJECT


def _speaks_chinese(before: str, after: str) -> bool:
    if _ZH_PERSON.match(after) or _ZH_COLON.match(after):
        return True
    if _ZH_SOURCE.search(before):
        return _ZH_REPORT.match(after) is not None or not _ZH_OWN_NEWS.match(after)
    spoken = _ZH_SPEAKS.match(after)
    if spoken is None:
        return False
    rest = after[spoken.end() :]
    return _ZH_OWN_NEWS.match(rest) is None or re.search(_ZH_RATED, rest[:40]) is not None


def _speaks_english(before: str, after: str) -> bool:
    clause = re.split(r"[.;\n]\s|[.;\n]$", after, maxsplit=1)[0]
    if _EN_ANALYSTS.match(after) or _EN_RATES.match(after):
        return True
    if _EN_CITED.search(before) or (after[:1] in (":", "：") and _EN_RATED.search(clause)):
        return True
    if (
        _EN_ACTS.match(after)
        and _EN_RATED.search(clause)
        and not re.search(r"\b(?:capital|profit(?:ability)?|cost|growth|climate|rote|return)s? targets?\b", clause)
    ):
        return True
    return _EN_STATES.match(after) is not None and _EN_OWN.search(clause) is None
