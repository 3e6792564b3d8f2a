"""Which fixed phrases name a topic? They stand in for labels that no set has, and serve the keyword stand-in.

Written for this project. A phrase is evidence, not truth: `models.training.labels` gives it less weight than a label.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

HINTS: Mapping[str, re.Pattern[str]] = {
    key: re.compile(pattern, re.IGNORECASE)
    for key, pattern in {
        "earnings": r"净利|业绩|营收|预增|预亏|扭亏|"
        r"\b(EPS|net (profit|income|loss)|quarterly (results|profit)|Q[1-4] (results|profit|loss|net))\b",
        "ratings": r"评级|目标价|\b(price target|upgrade[sd]?|downgrade[sd]?|raises guidance|cuts (guidance|outlook))\b",
        "mergers": r"收购|并购|重组|要约|合并|\b(acquir\w+|merger|takeover|buyout)\b",
        "capital_raising": r"IPO|定增|增发|配股|招股|上市申请|挂牌上市|募资|\b(initial public offering|share sale|rights issue|QIP)\b",
        "shareholder_returns": r"分红|派息|股息|回购|\b(dividends?|buy-?backs?|repurchases?)\b",
        "management": r"辞职|离任|聘任|换届|选举.{0,8}董事|任命|新任|\b(resigns?|steps down|appoints?|appointed|new (CEO|CFO|chief))\b",
        "legal": r"立案|处罚|警示函|监管函|问询函|起诉|诉讼|罚款|违规|\b(lawsuit|sued?|sues|fined?|probe|antitrust|fraud)\b",
        "business": r"中标|签订|签署.{0,12}(协议|合同)|订单|投产|新产品|"
        r"\b(launches|unveils|wins (order|contract)|new product|partnership)\b",
        "central_banks": r"美联储|央行|降准|加息|降息|逆回购|\b(RBI|Fed|ECB|central bank|rate (hike|cut))\b",
        "credit": r"债券|违约|公司债|国债|信用债|\b(bonds?|debentures?|defaults?|notes offering|yields?)\b",
        "financials": r"银行|券商|保险公司|信托|\b(banks?|insurers?|NBFCs?|lenders?|brokerages?)\b",
        "currencies": r"汇率|人民币兑|外汇|\b(rupee|forex|dollar index|yuan|euro rises|euro falls)\b",
        "energy": r"原油|油价|天然气|煤炭|光伏|\b(crude|oil prices?|natural gas|OPEC)\b",
        "crypto": r"比特币|加密货币|虚拟货币|以太坊|\b(bitcoin|crypto\w*|ethereum|blockchain)\b",
        "real_estate": r"房地产|楼市|房企|地产|\b(real estate|realty|housing market|mortgage rates?|home sales|REIT)\b",
        "technology": r"芯片|半导体|人工智能|算力|云计算|"
        r"\b(semiconductors?|chip ?makers?|chips|artificial intelligence|AI|cloud computing|software)\b",
    }.items()
}

#: English only: Chinese has labels for these (finese).
RISK_HINTS: Mapping[str, re.Pattern[str]] = {
    key: re.compile(pattern, re.IGNORECASE)
    for key, pattern in {
        "disclosure": r"\b(misleading (statements?|disclosures?)|failed to disclose|disclosure (violations?|failures?))\b",
        "trading": r"\b(insider trading|market manipulation|spoofing|front-running|price[- ]fixing)\b",
        "accounting_fraud": r"\b(accounting (fraud|irregularit\w+|scandal|probe)|"
        r"cook\w* (the|its) books|restat\w+ (its )?(results|earnings))\b",
        "fraud": r"\b(fraud\w*|defraud\w*|embezzl\w+|scam|swindl\w+)\b",
        "pyramid_scheme": r"\b(ponzi|pyramid scheme)\b",
        "crime": r"\b(brib\w+|money[- ]launder\w+|indict\w+|criminal (charges?|probe|investigation)|arrest\w*|raid(s|ed)?)\b",
        "payout_failure": r"\b(halts? withdrawals|freez\w+ withdrawals|missed (coupon|payment)|defaults? on|fails? to (pay|repay))\b",
        "asset_freeze": r"\b(assets? (frozen|seized|freeze)|freez\w+ (the )?assets|impairment|write-?downs?|writes? down)\b",
        "earnings_decline": r"\b(net loss|profit warning|"
        r"(profit|income|earnings|sales|revenue)s? (falls?|fell|drop\w*|slump\w*|declin\w+|plung\w+|down))\b",
        "rating_change": r"\b(upgrade[sd]?|downgrade[sd]?|cut to (junk|sell|neutral|hold))\b",
        "deal_failure": r"\b((deal|merger|takeover|talks) (collapse[sd]?|fail(s|ed)?|off|terminated|scrapped)|"
        r"calls? off|scraps? (merger|deal|takeover))\b",
        "control_change": r"\b((controlling|majority|largest) (stake|shareholder)|change of control|stake (sale|sold) (in|to))\b",
        "management_loss": r"\b("
        r"(CEO|CFO|chief|chairman|president) (resigns?|quits|steps down|ousted|fired|arrested|leaves)|steps down as)\b",
        "product_safety": r"\b(recalls?|recalled|defective|contaminat\w+|safety (defect|probe)|class action)\b",
        "closure": r"\b(shuts? down|(close|closing|shut)s? (its )?(plants?|stores?|factor\w+|branches)|ceases? operations|winds? down)\b",
    }.items()
}
