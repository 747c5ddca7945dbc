"""What one would write by hand: a Celery task per outlet, `requests.post` in it, a `group` over them.

Celery's defaults throughout; nothing is stored, nothing is checked afterwards, no call is repeated.
Run by the benchmark:  NAIVE_BROKER=redis://… NAIVE_READY=FILE celery -A tests.benchmarks.naive worker …
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import requests
from celery import Celery
from celery.signals import worker_ready

app = Celery("naive", broker=os.environ.get("NAIVE_BROKER", "memory://"))
app.conf.task_ignore_result = True

TIMEOUT = 30


@worker_ready.connect  # type: ignore[untyped-decorator]
def tell(**_: object) -> None:
    """So that the benchmark knows when to begin."""
    Path(os.environ["NAIVE_READY"]).touch()


@app.task  # type: ignore[untyped-decorator]
def post(address: str, token: str, text: str) -> None:
    """One call: a text to a Mastodon account."""
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.post(f"{address}/api/v1/statuses", json={"status": text}, headers=headers, timeout=TIMEOUT)
    answer.raise_for_status()


@app.task  # type: ignore[untyped-decorator]
def article(address: str, token: str, cover: str, title: str) -> None:
    """Two calls: draft and publish, with a cover that is there already."""
    _publish(address, token, cover, title, "<p>text</p>")


@app.task  # type: ignore[untyped-decorator]
def illustrated(address: str, token: str, picture: str, title: str) -> None:
    """Four calls: two uploads, draft, publish."""
    cover = _upload(address, token, "material/add_material?type=image&", picture)["media_id"]
    shown = _upload(address, token, "media/uploadimg?", picture)["url"]
    _publish(address, token, cover, title, f'<p>text</p><p><img src="{shown}"></p>')


def _upload(address: str, token: str, path: str, picture: str) -> dict[str, Any]:
    with Path(picture).open("rb") as file:
        files = {"media": ("picture.png", file, "image/png")}
        answer = requests.post(f"{address}/cgi-bin/{path}access_token={token}", files=files, timeout=TIMEOUT)
    return _good(answer)


def _publish(address: str, token: str, cover: str, title: str, content: str) -> None:
    draft = {"title": title, "content": content, "thumb_media_id": cover}
    made = _call(address, token, "draft/add", {"articles": [draft]})
    _call(address, token, "freepublish/submit", {"media_id": made["media_id"]})


def _call(address: str, token: str, path: str, given: dict[str, Any]) -> dict[str, Any]:
    return _good(requests.post(f"{address}/cgi-bin/{path}?access_token={token}", json=given, timeout=TIMEOUT))


def _good(answer: requests.Response) -> dict[str, Any]:
    answer.raise_for_status()
    told: dict[str, Any] = answer.json()
    if told.get("errcode"):
        raise RuntimeError(f"refused: {told}")
    return told
