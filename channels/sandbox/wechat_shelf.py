"""What of the sandbox's WeChat outlives a restart, and how: pictures, drafts, jobs, articles, mass sends.

Tokens and quotas begin anew, but for the submissions of the day, which the jobs tell. A job that was
running is worked off anew, as WeChat's own would be.
"""

from __future__ import annotations

from typing import Any

from channels.sandbox.shelf import Shelf, packed, unpacked
from channels.sandbox.wechat_books import Account, Article, Draft, Job, Message, Picture, china_day

SUBMIT = "freepublish/submit"


class Keeper:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self.accounts: dict[str, Account] = {}
        self.pictures: dict[str, tuple[Account, Picture]] = {}
        self.public: dict[str, tuple[Account, Article]] = {}
        self._restore()

    def account(self, name: str) -> Account:
        return self.accounts.setdefault(name, Account(name))

    def picture(self, account: Account, picture: Picture) -> None:
        ref = _ref(picture.url)
        self.pictures[ref] = (account, picture)
        self._shelf.put("picture", ref, {**vars(picture), "content": packed(picture.content), "account": account.name})

    def material(self, account: Account, media_id: str) -> None:
        """It was added, or deleted."""
        if media_id in account.materials:
            picture = _ref(account.materials[media_id].url)
            self._shelf.put("material", media_id, {"account": account.name, "picture": picture})
        else:
            self._shelf.drop("material", media_id)

    def draft(self, account: Account, media_id: str) -> None:
        """It was added, changed, or deleted."""
        draft = account.drafts.get(media_id)
        if draft is None:
            self._shelf.drop("draft", media_id)
        else:
            self._shelf.put("draft", media_id, {**vars(draft), "account": account.name})

    def job(self, account: Account, ref: str) -> None:
        """It was submitted, or ended; its draft may have been consumed."""
        job = account.jobs[ref]
        if job.article_id:
            self.article(account, job.article_id)
        self._shelf.put("job", f"{account.name} {ref}", {**vars(job), "account": account.name, "ref": ref})
        self.draft(account, job.media_id)

    def article(self, account: Account, article_id: str) -> None:
        """It became public, or was removed."""
        article = account.articles[article_id]
        self.public[_page(article.url)] = (account, article)
        self._shelf.put("article", article_id, {**_kept(article), "account": account.name})

    def message(self, account: Account, ref: str) -> None:
        """It was submitted, or ended, or its article was removed; its draft may have been consumed."""
        message = account.messages[ref]
        if message.article.at:
            self.public[_page(message.article.url)] = (account, message.article)
        value = {**vars(message), "article": _kept(message.article), "account": account.name}
        self._shelf.put("message", ref + account.name, {**value, "ref": ref})
        self.draft(account, message.media_id)

    def _restore(self) -> None:
        for ref, kept in self._shelf.all("picture").items():
            account = self.account(kept.pop("account"))
            self.pictures[ref] = (account, Picture(**{**kept, "content": unpacked(kept["content"])}))
        for ref, kept in self._shelf.all("material").items():
            self.account(kept["account"]).materials[ref] = self.pictures[kept["picture"]][1]
        for ref, kept in self._shelf.all("draft").items():
            account = self.account(kept.pop("account"))
            account.drafts[ref] = Draft(**kept)
        for ref, kept in self._shelf.all("article").items():
            account = self.account(kept.pop("account"))
            article = Article(**{**kept, "gone": set(kept["gone"])})
            article.recorded.set()
            account.articles[ref] = article
            self.public[_page(article.url)] = (account, article)
        self._restore_messages()
        for kept in self._shelf.all("job").values():
            account, ref = self.account(kept.pop("account")), kept.pop("ref")
            account.jobs[ref] = job = Job(**kept)
            if not job.at:
                continue  # in the console
            day = ("day", SUBMIT, china_day(job.at))
            account.used[day] = account.used.get(day, 0) + 1

    def _restore_messages(self) -> None:
        """Those of one draft share its article."""
        shared: dict[str, Article] = {}
        for kept in self._shelf.all("message").values():
            account, ref, given = self.account(kept["account"]), kept["ref"], kept["article"]
            article = shared.setdefault(given["url"], Article(**{**given, "gone": set(given["gone"])}))
            if article.at:
                article.recorded.set()
                self.public[_page(article.url)] = (account, article)
            fields = {name: value for name, value in kept.items() if name not in ("account", "ref")}
            account.messages[ref] = Message(**{**fields, "article": article})


def _kept(article: Article) -> dict[str, Any]:
    kept = {name: value for name, value in vars(article).items() if name != "recorded"}
    return {**kept, "gone": sorted(article.gone)}


def _ref(url: str) -> str:
    return url.split("/")[-2]


def _page(url: str) -> str:
    return url.rsplit("/", 1)[1]
