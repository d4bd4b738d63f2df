"""The files of a model on the hub: their list is requested once, and only files that are needed are downloaded.

If the hub does not answer, the files in its cache are used; no request is made twice in vain.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from diffgar.models.encoders.pretrained.tensor_files import WeightsError

FILE_SUFFIXES = (  # of weights: such a name is a file's, never a hub's
    ".pt",
    ".pth",
    ".ckpt",
    ".tar",
    ".bin",
    ".safetensors",
    ".keras",
    ".h5",
    ".onnx",
    ".npz",
    ".pkl",
    ".zip",
    ".gz",
)
TIMEOUT = 10  # seconds for the hub to answer which files there are


def is_hub_name(name: str) -> bool:
    """Whether the hub can have a model of this name, such as google/flan-t5-base.

    It cannot for other paths, for the name of a weights file, and for anything in the folder of weights (`GDR_WEIGHTS`,
    see config/paths/default.yaml): the hub is not asked for what is missing there.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, but not re-exported

    configured = Path(os.environ.get("GDR_WEIGHTS", "weights")).expanduser()
    path = Path(name)
    if path.suffix.lower() in FILE_SUFFIXES or configured in (path, path.parent):
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return not name.startswith("~")


@dataclass
class HubModel:
    """A model on the hub.

    names: its files' names; None if the hub has no list. failure: why the hub could not be asked; empty if it was.
    """

    repo: str
    names: frozenset[str] | None = None
    failure: str = ""

    def fetch(self, name: str) -> Path | None:
        """The local path of a file from the hub or its cache; None if there is none.

        Raises WeightsError for a download that fails.
        """
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        if self.failure:
            cached = try_to_load_from_cache(self.repo, name)
            return Path(cached) if isinstance(cached, str) else None
        if self.names is not None and name not in self.names:
            return None
        try:
            return Path(hf_hub_download(self.repo, name))
        except Exception as error:  # of whichever network library the hub's client is built on
            if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
                return None
            raise WeightsError(
                f"{name} of {self.repo} could not be downloaded ({_first_line(error)}). Run it again: files that are "
                "complete are kept"
            ) from error


def open_model(repo: str) -> HubModel:
    """The model of this name, with the list of its files, which the hub is asked for once."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        info = HfApi().model_info(repo, revision="main", timeout=TIMEOUT)
        return HubModel(repo, frozenset(file.rfilename for file in info.siblings or ()))
    except OfflineModeIsEnabled:
        failure = "the hub was not asked, for HF_HUB_OFFLINE is set (unset it to download), and its cache here lacks it"
    except GatedRepoError:
        failure = f"the hub gives {repo} to those alone who have asked its owner and logged in with hf auth login"
    except RepositoryNotFoundError:
        failure = f"the hub has no model {repo}, or a private one, which needs hf auth login"
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status == 404:  # a mirror that serves files but no lists of them
            return HubModel(repo)
        login = "; hf auth login may help" if status in (401, 403) else ""
        failure = f"the hub answered with status {status}{login}, and its cache here lacks it"
    except Exception as error:  # of whichever network library the hub's client is built on
        failure = f"the hub could not be reached ({_first_line(error)}), and its cache here lacks it"
    return HubModel(repo, failure=failure)


def cached_model(folder: Path) -> str:
    """Advice which folder to use instead, if this one is the hub's cache of a model; else empty."""
    snapshots = sorted(str(path) for path in folder.glob("snapshots/*"))
    return f"It is the hub's cache of a model: take the snapshot in it, {' or '.join(snapshots)}" if snapshots else ""


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
