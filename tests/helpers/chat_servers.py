"""Local servers that check incoming bot messages as Slack, Feishu, DingTalk and WeCom do.

Each is written from the documentation of its chat and imports nothing from stream/: signatures and limits are implemented again.

with Feishu(secret="s") as chat:
    ... chat.url ...
    chat.messages                      # the displayed lines of each accepted message
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import json
import re
import threading
import time
import unicodedata
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit

LINK = re.compile(r"\[([^\[\]]*)\]\((https?://[^\s()]+)\)")


class Rejected(Exception):
    """A message is not accepted. status, answer: of the HTTP response"""

    def __init__(self, status: int, answer: dict[str, Any] | str) -> None:
        super().__init__(answer)
        self.status, self.answer = status, answer


class Chat:
    """A chat server.

    clock: Unix seconds; responses: (status, body) of the next responses, whatever the requests; without any, requests are checked
    keyword: what every message must contain, for Feishu and DingTalk
    messages, ids, received_at: displayed lines, webhook-id and time of each accepted message; rejections: the other answers
    """

    path = "/hook"
    success: ClassVar[dict[str, Any] | str] = "ok"

    def __init__(self, secret: str = "", clock: Callable[[], float] = time.time) -> None:
        self._secret, self._clock = secret, clock
        self.keyword = ""
        self.messages: list[list[str]] = []
        self.ids: list[str] = []
        self.rejections: list[Any] = []
        self.received_at: list[float] = []
        self.responses: list[tuple[int, bytes]] = []
        self._lock = threading.Lock()
        chat = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                with chat._lock:
                    status, answer = chat._answer(self.path, {key.lower(): value for key, value in self.headers.items()}, body)
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}{self.path}"

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        if self.responses:
            return self.responses.pop(0)
        try:
            if "application/json" not in headers.get("content-type", ""):
                raise Rejected(400, "content-type")
            lines = self.parse(urlsplit(path).query, body)
            assert not any(line and unicodedata.combining(line[0]) for line in lines), "a line starts with a combining mark"
        except Rejected as rejected:
            self.rejections.append(rejected.answer)
            return rejected.status, json.dumps(rejected.answer).encode() if isinstance(rejected.answer, dict) else rejected.answer.encode()
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            self.rejections.append(repr(error))
            return 400, repr(error).encode()
        self.messages.append(lines)
        self.ids.append(headers["webhook-id"])
        self.received_at.append(self._clock())
        return 200, json.dumps(self.success).encode() if isinstance(self.success, dict) else self.success.encode()

    def parse(self, query: str, body: bytes) -> list[str]:
        """The displayed lines, headline first. Raises Rejected, or a built-in error for a malformed message."""
        raise NotImplementedError

    def over_limit(self, messages: int, seconds: float) -> bool:
        """Whether another message would exceed the rate limit."""
        return sum(self._clock() - at < seconds for at in self.received_at) >= messages

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


class Slack(Chat):
    path = "/services/T0/B0/x"

    def parse(self, query: str, body: bytes) -> list[str]:
        message = json.loads(body)
        blocks = message["blocks"]
        assert isinstance(message["text"], str)
        lines: list[str] = []
        if not 1 <= len(blocks) <= 50:
            raise Rejected(400, "invalid_blocks")
        for block in blocks:
            kind, text = block["type"], block["text"]
            max_chars = {"header": 150, "section": 3000}[kind]
            if not 1 <= len(text["text"]) <= max_chars or text["type"] not in (
                ("plain_text",) if kind == "header" else ("plain_text", "mrkdwn")
            ):
                raise Rejected(400, "invalid_blocks")
            lines += [text["text"]] if text["type"] == "plain_text" else [self._read(line) for line in text["text"].split("\n")]
        if sum(len(block["text"]["text"]) for block in blocks) > 13_000:
            raise Rejected(400, "msg_blocks_too_long")
        return lines

    @staticmethod
    def _read(line: str) -> str:
        """The line as Slack displays it. Fails for an unescaped <, > or &."""
        shown = re.sub(r"<(https?://[^<>|\s]+)\|([^<>]*)>", r"\2 \1", line)
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", shown), line
        return html.unescape(shown)


class Feishu(Chat):
    path = "/open-apis/bot/v2/hook/x"
    success: ClassVar[dict[str, Any] | str] = {"code": 0, "msg": "success", "data": {}}

    def parse(self, query: str, body: bytes) -> list[str]:
        if len(body) > 20_000:
            raise Rejected(200, {"code": 9499, "msg": "Bad Request", "data": {}})
        message = json.loads(body)
        if self._secret and not self._signed(message):
            raise Rejected(200, {"code": 19021, "msg": "sign match fail or timestamp is not within one hour from current time"})
        if self.over_limit(100, 60) or self.over_limit(5, 1):
            raise Rejected(400, {"code": 11232, "msg": "frequency limited"})
        if self.keyword not in json.dumps(message["content"], ensure_ascii=False):
            raise Rejected(200, {"code": 19024, "msg": "Key Words Not Found"})
        assert message["msg_type"] == "post"
        ((locale, post),) = message["content"]["post"].items()
        assert locale in ("zh_cn", "en_us")
        lines = [post["title"]]
        for paragraph in post["content"]:
            for element in paragraph:
                assert element["tag"] in ("text", "a")
                assert element["tag"] == "text" or element["href"].startswith(("http://", "https://"))
                lines.append(f"{element['text']} {element['href']}" if element["tag"] == "a" else element["text"])
        return lines

    def _signed(self, message: dict[str, Any]) -> bool:
        timestamp = message["timestamp"]
        key = f"{timestamp}\n{self._secret}".encode()
        right = base64.b64encode(hmac.digest(key, b"", hashlib.sha256)).decode()
        return abs(self._clock() - int(timestamp)) < 3600 and message["sign"] == right


class DingTalk(Chat):
    path = "/robot/send?access_token=t0ken"
    success: ClassVar[dict[str, Any] | str] = {"errcode": 0, "errmsg": "ok"}

    def parse(self, query: str, body: bytes) -> list[str]:
        query_args = parse_qs(query, strict_parsing=True)
        assert query_args["access_token"] == ["t0ken"]
        if self._secret and not self._signed(query_args):
            raise Rejected(200, {"errcode": 310000, "errmsg": "sign not match"})
        if len(body) > 20_000:
            raise Rejected(200, {"errcode": 460101, "errmsg": "message too long"})
        if self.over_limit(20, 60):
            raise Rejected(200, {"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"})
        message = json.loads(body)
        if self.keyword not in message["markdown"]["text"]:
            raise Rejected(200, {"errcode": 310000, "errmsg": f"keywords not in content, more: [{self.keyword}]"})
        assert message["msgtype"] == "markdown"
        assert message["markdown"]["title"]
        return [read_markdown(line) for line in message["markdown"]["text"].split("\n\n")]

    def _signed(self, query_args: dict[str, list[str]]) -> bool:
        (timestamp,), (sign,) = query_args["timestamp"], query_args["sign"]
        right = hmac.digest(self._secret.encode(), f"{timestamp}\n{self._secret}".encode(), hashlib.sha256)
        return abs(self._clock() * 1000 - int(timestamp)) < 3_600_000 and base64.b64decode(sign, validate=True) == right


class WeCom(Chat):
    path = "/cgi-bin/webhook/send?key=k3y"
    success: ClassVar[dict[str, Any] | str] = {"errcode": 0, "errmsg": "ok"}

    def parse(self, query: str, body: bytes) -> list[str]:
        if query != "key=k3y":
            raise Rejected(200, {"errcode": 93000, "errmsg": "invalid webhook url"})
        if self.over_limit(20, 60):
            raise Rejected(200, {"errcode": 45009, "errmsg": "api freq out of limit"})
        message = json.loads(body)
        assert message["msgtype"] == "markdown"
        content = message["markdown"]["content"]
        if len(content.encode()) > 4096:
            raise Rejected(200, {"errcode": 40058, "errmsg": "markdown.content exceed max length 4096. invalid Request Parameter"})
        return [read_markdown(line) for line in content.split("\n")]


def read_markdown(line: str) -> str:
    """The line as a chat displays it, a link as "text url". Fails if markup other than links remains."""
    shown = LINK.sub(r"\1 \2", re.sub(r"^(### |\*\*)|\*\*$", "", line))
    assert not re.search(r"\]\(|<[a-z@/]|\*\*|!\[", shown), line
    return shown.replace("\u200b", "").replace("［", "[").replace("］", "]")


def assert_within_limits(key: str, content: bytes) -> None:
    """Asserts that a message of the format `key` respects the size limit of its chat."""
    body = json.loads(content)
    if key == "wecom":
        assert len(body["markdown"]["content"].encode()) <= 4096
    elif key == "slack":
        assert len(body["blocks"]) <= 50
        assert all(len(block["text"]["text"]) <= (150 if block["type"] == "header" else 3000) for block in body["blocks"])
    else:
        assert len(content) <= 20_000
