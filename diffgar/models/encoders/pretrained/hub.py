"""The files of a model hub's models: which there are is asked once, only those that are needed are downloaded.

Where the hub cannot be asked, what its cache holds serves; no request is made twice in vain.
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
    """Whether a hub can have a model of this name, such as google/flan-t5-base.

    Not a path that is longer or starts elsewhere, not the name of a weights file, and nothing in the folder for weights
    (`GDR_WEIGHTS`, as config/paths/default.yaml says): what is missing there is asked of nobody.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

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
    """A model of the hub, by name.

    names: of its files; None where that is not known. failure: why the hub could not be asked, empty where it could.
    """

    repo: str
    names: frozenset[str] | None = None
    failure: str = ""

    def fetch(self, name: str) -> Path | None:
        """A file by its name, from the hub or its cache; None if there is none. WeightsError if it breaks off."""
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
    """Ask the hub, once, which files a model has."""
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
    """What to take instead, where a folder is the hub's cache of a whole model; empty where it is not."""
    snapshots = sorted(str(path) for path in folder.glob("snapshots/*"))
    return f"It is the hub's cache of a model: take the snapshot in it, {' or '.join(snapshots)}" if snapshots else ""


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
