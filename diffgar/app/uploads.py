"""Audio files that people drop on the page: kept while the app runs, each under a token that only its owner knows."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

from diffgar.search.errors import SearchError

LARGEST = 100_000_000  # bytes of a file
MOST = 20  # files; the oldest go
TOO_LARGE = f"the file is larger than {LARGEST // 1_000_000} MB, the most that is taken; cut it, or convert it to mp3"


class Uploads:
    """A folder of dropped files, which goes when the app ends."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="diffgar-", ignore_cleanup_errors=True)
        self._names: dict[str, str] = {}

    async def keep(self, name: str, chunks: AsyncIterator[bytes]) -> str:
        """Write a file and return its token. Raises SearchError for one that is too large, of which nothing is kept."""
        token, size = secrets.token_urlsafe(16), 0
        path = self._path(token)
        try:
            with path.open("wb") as file:
                async for chunk in chunks:
                    if (size := size + len(chunk)) > LARGEST:
                        raise SearchError(TOO_LARGE)
                    file.write(chunk)
        except BaseException:  # too large, or the browser has gone: nothing of it is kept
            path.unlink(missing_ok=True)
            raise
        self._names[token] = Path(name).name or "a file"
        while len(self._names) > MOST:
            self._drop(next(iter(self._names)))
        return token

    def find(self, token: str) -> tuple[Path, str]:
        """Where a dropped file lies, and its name. Raises SearchError for one that is not kept."""
        if token not in self._names:
            raise SearchError("the dropped file is not kept any more; drop it again")
        return self._path(token), self._names[token]

    def _path(self, token: str) -> Path:
        return Path(self._folder.name) / token

    def _drop(self, token: str) -> None:
        self._path(token).unlink(missing_ok=True)
        del self._names[token]
