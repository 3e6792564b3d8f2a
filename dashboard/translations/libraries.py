"""The Chinese of the libraries that draw charts and tables."""

from __future__ import annotations

from typing import Any

GRID_ZH: dict[str, str] = {
    "noRowsToShow": "暂无文章",
    "loadingOoo": "加载中…",
    "filterOoo": "筛选…",
    "contains": "包含",
    "notContains": "不包含",
    "equals": "等于",
    "notEqual": "不等于",
    "startsWith": "开头为",
    "endsWith": "结尾为",
    "blank": "为空",
    "notBlank": "不为空",
    "andCondition": "且",
    "orCondition": "或",
    "applyFilter": "应用",
    "resetFilter": "重置",
    "clearFilter": "清除",
    "ariaColumnFiltered": "已筛选",
}
"""ag-grid's own words, as far as the page shows them."""

CHART_ZH: dict[str, Any] = {
    "dictionary": {
        "Autoscale": "自动缩放",
        "Reset axes": "重置",
        "Zoom": "缩放",
        "Pan": "平移",
        "Zoom in": "放大",
        "Zoom out": "缩小",
        "Double-click to zoom back out": "双击恢复",
        "Download plot as a PNG": "下载为 PNG",
        "Download plot as a png": "下载为 PNG",
        "Double-click on legend to isolate one trace": "双击图例仅显示该项",
    },
    "format": {
        "days": ["星期日", "星期一", "星期二", "星期三", "星期四", "星期五", "星期六"],
        "shortDays": ["周日", "周一", "周二", "周三", "周四", "周五", "周六"],
        "months": [f"{month}月" for month in range(1, 13)],
        "shortMonths": [f"{month}月" for month in range(1, 13)],
        "date": "%Y-%m-%d",
    },
}
"""plotly's own words, handed to each chart: nothing is loaded for them."""
