"""Does the context of a name speak for the company or for something else that has the same name?

    25 BP ─▶ basis points;  JD Vance ─▶ a person;  Central Bank of China ─▶ another body;  Visa rules ─▶ a common noun
    Visa says …, shares of Target, Gap (GAP), 农产品(000061) ─▶ the company

`Verdict` has three values, because the two kinds of ambiguous names need different proof: a common name counts unless the context
speaks against it, a weak name counts only if the context speaks for it.
"""

from __future__ import annotations

import re
from typing import Literal

Verdict = Literal["for", "against", "open"]

NEAR = 48
"""Characters before and after a name that are read."""
TITLE_CASE_SHARE = 0.7
"""Minimum share of capitalised words among the longer words of a headline in title case, in which a capital letter proves nothing."""

_LONG_WORD = re.compile(r"(?<![A-Za-z'’])[A-Za-z]{4,}")
_NEXT = re.compile(r"[ ](?:['\"“‘(])?([A-Za-z][A-Za-z&.'’]*(?:-[A-Za-z]+)*)")
_PREVIOUS = re.compile(r"([A-Za-z][A-Za-z&.'’]*(?:-[A-Za-z]+)*)[ ]$")

_AMOUNT_BEFORE = re.compile(r"(?<![\d.,])(?!(?:19|20)\d\d[ ])[\d.,]*\d[ ]?-?[ ]?$|\b(?:few|several|hundred|per)[ ]$")
_PARTICIPLE = re.compile(
    r"-(?:owned|backed|made|built|led|run|based|style|branded|like|listed|supplied|designed|funded|parent|linked|affiliated|"
    r"[A-Z0-9])"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_COMPANY_NEXT = _words(
    """
    inc corp corporation co company ltd limited plc ag se sa nv group holdings motor motors shares share stock stocks shareholders
    shareholder investors bonds ceo cfo coo chief chairman chairwoman president executive executives boss founder spokesman spokeswoman
    spokesperson board earnings revenue revenues profit profits sales results quarterly quarter q1 q2 q3 q4 guidance dividend buyback
    lawsuit layoffs jobs workers employees staff union factory factories plant plants store stores supplier suppliers customers unit
    division subsidiary brand products product chips chip iphone ipad mac watch music tv pay cloud services service store app platform
    said says say sees saw told tells reported reports posted posts announced announces plans planned unveils unveiled launches launched
    launch introduces buys bought acquires acquired sells sold cuts cut raises raised lowers lowered lifts hikes slashes beats beat
    misses missed tops topped warns warned expects expected forecasts delays delayed recalls recalled sues sued faces faced fined wins
    won loses lost hires hired fires fired names named appoints appointed agrees agreed seeks sought eyes mulls weighs considers
    explores pauses halts suspends resumes opens closes shuts expands invests signs partners teams joins adds drops dropped jumps
    jumped surges surged soars soared falls fell rises rose gains gained slides slid slips slipped slumps plunges plunged tumbles
    tumbled sinks rallies climbs climbed gets got gives gave makes made takes took pays paid offers offered asks asked urges denies
    denied defends admits rejects rejected accuses backs boosts boosted trims rolls rolled stops stopped starts started begins began
    plans is's has will would could may might to is was had and deal merger takeover bid ipo valuation
    """
)
"""Words that follow the name of a company, in titles too. Verbs and nouns that as often follow the common noun are left out."""
_WEAK_NEXT = _words("to is was has had will would could may might and service services president union store group")
"""Of _COMPANY_NEXT, those that follow a common noun just as well: they prove nothing for a weak name."""
_PERSON_NEXT = _words(
    """
    says said say told tells urges denies denied defends admits warns warned asks asked expects accuses backs agrees agreed faces seeks
    sought wins won loses lost gets got gives gave takes took makes made joins opens closes starts stops named names calls has had
    """
)
"""Verbs that persons of the same name do as well: they prove nothing for a weak name."""
_OTHER_NEXT = _words(
    """
    foundation university college institute school academy hospital church county city river island islands rainforest forest forests
    deforestation basin jungle valley lake mountain park street avenue road museum theatre theater stadium fc daily magazine prize award
    association ministry department council commission committee agency agencies administration court act bill law treaty summit war jr
    sr sports vance leverkusen munich fees fee rules rule applications application applicants applicant ban bans policy program
    programme restrictions requirements waiver waivers holders overstays processing interview interviews lottery pie pies juice cider
    orchard orchards tree trees growers harvest crop crops corn yeast soybean soybeans maize cotton rice food foods seeds wheat salmon
    analysis analyses study studies data description tag tags price prices rate rates range ranges date dates practice practices
    language languages zone area region states companies company's entities game games corporation's bone bones egg eggs fish
    election elections decision poll vote larvae larva moth moths missile missiles
    judgment judgement variant waiver pipeline community communities tribe tribes soil tribesmen
    between in year years of when
    """
)
"""Words that follow a common noun, a person, a place or another body of the same name."""
_BODY_BEFORE = re.compile(
    r"\b(?:Central|Export-Import|Exim|Development|People['’]s|Peoples|Reserve|National|Industrial|Agricultural|Commercial|Construction|"
    r"Savings|Merchants|Investment|Royal|Federal|First|State|Public|Islamic|Postal|Rural|Asian|African|European|World|Grand|New|Old|St\.?|"
    r"Saint|Mount|Lake|Fort|Port|North|South|East|West)[ ]$"
)
_TITLE_BEFORE = re.compile(
    r"\b(?:President|Senator|Sen\.|Rep\.|Mr\.?|Mrs\.?|Ms\.?|Sir|Dame|Lord|Lady|Judge|Justice|Secretary|Governor|Gov\.|Premier|"
    r"Minister|Dr\.?|Captain|"
    r"Coach|General|Gen\.|Actor|Professor)[ ]$"
)
_PERSON_AFTER = re.compile(
    r",?[ ](?:the|who|aged?|a former)[ ](?:(?:US|U\.S\.|former|late|\d+\w*)[ ])*(?:president|senator|actor|actress|premier|minister|"
    r"governor|singer|is|was|had|has)\b"
)
_PLACE_NEXT = re.compile(
    r"[ ](?:Field|Stadium|Tower|Towers|Arena|Center|Centre|Plaza|Park|Marathon|Bridge|Hall|Theatre|Theater|Building|Square|Ballpark|"
    r"Coliseum)\b"
)
"""What is named after its sponsor or owner: Citi Field, Bank of America Stadium."""
_INTELLIGENCE = re.compile(
    r"\b(?:US|U\.S\.|UK|Israeli|Russian|Ukrainian|Western|Chinese|Iranian|military|secret|human|signals|American|British)[ ]$"
)
_NOUN_BEFORE = re.compile(
    r"\b(?:the|a|an|this|that|these|those|his|her|their|its|our|my|no|any|every|each|some|work|student|tourist|travel|visitor|entry|"
    r"golden|price|wage|pay|gender|income|budget|funding|skills|inflation|output|bridging|gm|peru['’]?s|brazil['’]?s|pie|raw|big|"
    r"toffee|candied|h-1b|schengen|transit|investor|key|sales|emissions|growth|soft|hard)[ ]$",
    re.IGNORECASE,
)
_COMPANY_BEFORE = re.compile(
    r"\b(?:shares? (?:of|in)|stake in|stock of|retailer|carmaker|automaker|chipmaker|company|giant|maker|firm|parent|lender|bank|insurer|"
    r"airline|drugmaker|oil major|supermajor|conglomerate|rival|rivals|supplier|owner|competitor|employees? (?:at|of)|workers at|ceo of|"
    r"executives? (?:at|of|from)|deal with|lawsuit against|sues|sued|suing|acquire[sd]?|acquiring|buys?|bought|(?:invest(?:s|ed|or)? in)|"
    r"(?:owned|made|built|produced|backed) by|works? (?:at|for)|worked (?:at|for)|traders? at|analysts? at)[ ]$",
    re.IGNORECASE,
)
_POSSESSIVE = re.compile(r"['’]s?[ ]")

_FUNCTION = _words(
    """
    the a an and or but if as at by for from in into of on to with without over under after before since than then when where while why
    how what who which that this these those its his her their our your my is are was were be been will would can could may might must
    should not no yes why amid against between among about because during until via per both all some many most more less new why like
    unlike said says according also so yet now today once only even ex-
    """
)

_AGRICULTURE = re.compile(
    r"期货|果农|水果|冷库|产区|套袋|公斤|斤|梨|猕猴桃|香蕉|农产品|种植|红枣|采摘|批发市场|小麦|大豆|玉米|杂粮|谷子|粥|籽|雨林|流域"
)
_TECHNOLOGY = re.compile(
    r"手机|iphone|ipad|mac|库克|app|股价|美股|科技|芯片|公司|集团|发布会|新品|营收|市值|系统|供应|生态|专利|ceo|纳斯达克|道指|机型|汽车|云|ai"
)
_ZH_OTHER_AFTER = re.compile(
    r"(?:汁|树|醋|园|派|酱|干(?!脆)|农|味|粥|粒|粉|面|饭|辣|椒|种植|产量|产业|减产|丰收|现货|雨林|河|流域|文字|时期|化石|参|地区|出口|进口)"
)
_ZH_COMPOUND = re.compile(
    r"业(?!绩|务|主|态|已|将)|股(?!份|价|票|东|权|息|本|吧|民|将|今)|行业|产业|市场(?!部)|协会|学会|商会|联合会|大学|学院|研究院|界|类|间|系统|体系|"
    r"概念|板块|指数|进口|出口|需求|消费(?!金融|者)|储备|产量|票房|和化学|大道|路(?![演透由])|监管|诈骗|条例|法|家协会|工程学|区(?!域|块|间|别)|开发区|产业园"
)
_ZH_RESULTS = re.compile(
    r"[：:](?=.{0,30}(?:净利|营收|营业|业绩|预增|预减|预亏|拟|股东|公司|董事|签|中标|获|收到|回购|减持|增持|募|发行|复牌|停牌|子公司|产能|订单|投资|"
    r"终止|解除|质押|立案|诉讼|聘|辞|合同|产品|注册|批件|控股|权益|分红|派|20\d\d年|上半年|一季度|第|\d+月|销售|预计|目前|截至|旗下|累计|完成|回应|暂未|尚未))"
)
_ZH_COMPANY_AFTER = re.compile(r"(?:股份有限公司|公告|股价|早间公告|晚间公告|(?:今日|昨日|盘中|午后)?(?:触及)?(?:涨停|跌停)(?!潮)|\d+连板)")
_ZH_VENUE_AFTER = re.compile(
    r"(?:公告|文件|披露|权益|提交|递|主板|上市|挂牌|聆讯|网站|官网|消息|显示|数据|申请|规则|创业板|ipo|综合|综指|指数|成分|中国金龙|信息|通告|所有|开盘|收盘|盘|期权|期货|"
    r"\d|100|的?公告|生物|科技|股票)"
)
_ZH_VENUE_BEFORE = re.compile(r"(?:[在向于据经赴到至]|登陆|递表|通过|获|申请|回归|退出|挂牌)$")
_CHINESE_LAST = re.compile(r"[\u4e00-\u9fff]$")


def is_title_case(text: str, start: int) -> bool:
    """Whether the line of `text` around `start` is an English headline in title case or in capitals."""
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", start)
    words = _LONG_WORD.findall(text, max(first, start - 160), min(last if last >= 0 else len(text), start + 160))
    return len(words) >= 2 and sum(word[0].isupper() for word in words) >= TITLE_CASE_SHARE * len(words)


def english_context(text: str, start: int, end: int, *, title_case: bool, initials: bool, weak: bool) -> Verdict:
    """What the context says about the English name at [start, end).

    Args:
        text: folded text, in its own case.
        start, end: place of the name.
        title_case: whether its line is in title case, so that capital letters prove nothing.
        initials: whether the name is an abbreviation of up to four capitals.
        weak: whether the name is mostly something else, so that a capital letter within a sentence does not prove the company.
    """
    before, after = text[max(0, start - NEAR) : start], text[end : end + NEAR]
    if (
        (initials and _AMOUNT_BEFORE.search(before))
        or _TITLE_BEFORE.search(before)
        or _PERSON_AFTER.match(after)
        or _PLACE_NEXT.match(after)
    ):
        return "against"
    if after[:1] == "-" and not _PARTICIPLE.match(after):
        return "against"
    following, preceding = _NEXT.match(after), _PREVIOUS.search(before)
    opens = _opens(before)
    verdict = _by_next_word(following[1] if following else "", title_case=title_case, initials=initials)
    if weak:
        low = following[1].lower() if following else ""
        return _weak_context(before, verdict, low, opens=opens, title_case=title_case, possessive=_POSSESSIVE.match(after) is not None)
    if _COMPANY_BEFORE.search(before):
        return "for"
    if _BODY_BEFORE.search(before) or _INTELLIGENCE.search(before) or verdict == "against":
        return "against"
    if preceding and not title_case and _is_proper(preceding[1]) and not _opens(before[: preceding.start()]):
        return "against"
    if _NOUN_BEFORE.search(before) and verdict != "for":
        return "against"
    return "for" if verdict == "for" or _POSSESSIVE.match(after) or not (title_case or opens) else "open"


def _weak_context(before: str, next_word: Verdict, next_low: str, *, opens: bool, title_case: bool, possessive: bool) -> Verdict:
    if next_low in _PERSON_NEXT:
        next_word = "open"
    if next_word == "against" or _BODY_BEFORE.search(before) or _NOUN_BEFORE.search(before):
        return "against"
    preceding = _PREVIOUS.search(before)
    if preceding and _is_proper(preceding[1]) and not title_case:
        return "against"
    if _COMPANY_BEFORE.search(before):
        return "for"
    if opens:
        return next_word
    return "for" if not title_case and (next_word == "for" or possessive) else "open"


def _opens(before: str) -> bool:
    """Whether a sentence begins after `before`."""
    return not before.strip() or before.rstrip(" ")[-1:] in ".!?:;\n—“\"'‘|-【，。：；！？（"


def _is_proper(word: str) -> bool:
    """Whether a word before a name, within a sentence, is a part of a longer name: Harrison Ford, not At Ford or EU's Ford."""
    return word[0].isupper() and word.lower().rstrip(".") not in _FUNCTION and not word.endswith(("'s", "’s", "-")) and not word.isupper()


def _by_next_word(word: str, *, title_case: bool, initials: bool) -> Verdict:
    low = word.lower().rstrip(".'’").removesuffix("'s").removesuffix("’s")
    if not low:
        return "open"
    if low in _OTHER_NEXT:
        return "against"
    if low in _COMPANY_NEXT:
        return "open" if low in _WEAK_NEXT else "for"
    if initials and word[0].isupper() and not word.isupper():
        return "open" if title_case else "against"  # JD Vance
    return "open"


def longer_body(text: str, start: int, end: int) -> bool:
    """Whether an English name of several words is a part of a longer name: Export-Import Bank of China, Industrial Bank of Korea."""
    before, after = text[max(0, start - NEAR) : start], text[end : end + NEAR]
    if _BODY_BEFORE.search(before) or _PLACE_NEXT.match(after):
        return True
    return " of " not in text[start:end] and re.match(r" of [A-Z]", after) is not None


def chinese_context(low: str, start: int, end: int, *, word: bool) -> Verdict:
    """What the context says about the Chinese name at [start, end).

    Args:
        low: folded text in lower case.
        start, end: place of the name.
        word: whether the name is common ("苹果"), not weak ("发展").
    """
    after, before = low[end : end + 40], low[max(0, start - 24) : start]
    if word and _ZH_OTHER_AFTER.match(after):
        return "against"
    opens = _CHINESE_LAST.search(before) is None
    if opens and (_ZH_COMPANY_AFTER.match(after) or (_ZH_RESULTS.match(after) and before[-1:] not in ("、", "-", "·"))):
        return "for"
    if word and (hits := len(_AGRICULTURE.findall(before + after))) and hits >= len(_TECHNOLOGY.findall(before + after)):
        return "against"
    return "open"


_LEGAL_FORM = re.compile(r"(?:集团)?(?:股份)?有限(?:责任)?公司")
_PLACE_BEFORE = re.compile(
    r"(?:[省市州县区岛港]|中国|北京|上海|天津|重庆|深圳|广州|广东|浙江|杭州|宁波|江苏|南京|苏州|无锡|山东|青岛|四川|成都|湖北|武汉|湖南|长沙|福建|厦门|安徽|合肥|河南|郑州|"
    r"河北|江西|陕西|西安|云南|贵州|广西|海南|辽宁|大连|沈阳|吉林|长春|山西|内蒙古|新疆|甘肃|珠海|东莞|佛山|常州|烟台|香港|[与和向对由被的及或将把在是为从于到给购诉让称据告股司东方])$"
)


def is_end_of_name(low: str, start: int, end: int) -> bool:
    """Whether a Chinese name with a legal form is only the end of a longer name: 宁波群志+光电股份+有限公司."""
    if not _LEGAL_FORM.match(low, end) or not _CHINESE_LAST.search(low, max(0, start - 1), start):
        return False
    return _PLACE_BEFORE.search(low, max(0, start - 3), start) is None


def is_compound(low: str, end: int) -> bool:
    """Whether a Chinese name that ends in a generic noun continues as a longer one: 中国银行业, 中国软件产业."""
    return _ZH_COMPOUND.match(low, end) is not None


def is_venue(low: str, start: int, end: int) -> bool:
    """Whether the Chinese name of an exchange at [start, end) is only the place of a listing or a filing: 在港交所公告, 登陆纳斯达克."""
    return _ZH_VENUE_AFTER.match(low, end) is not None or _ZH_VENUE_BEFORE.search(low, max(0, start - 4), start) is not None
