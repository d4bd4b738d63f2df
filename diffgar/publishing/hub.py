"""A model's folder to a model hub and back, through the hub's own client."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diffgar.checkpoints import CheckpointError

FILES = ("config.json", "model.safetensors", "phrases.json", "README.md")


class HubError(CheckpointError):
    """A hub that cannot be asked, or that refuses. The message has the remedy."""


def download(repo: str, revision: str | None = None, token: str | bool | None = None) -> Path:
    """The folder of a published model, from the hub or, where that cannot be reached, from its cache here.

    revision: a branch, a tag or a commit. token: a hub token, None for that of `hf auth login`. Raises HubError.
    """
    from huggingface_hub import snapshot_download

    with refusals(repo, "could not be downloaded"):
        return Path(snapshot_download(repo, revision=revision, token=token, allow_patterns=list(FILES)))


def upload(folder: Path, repo: str, private: bool | None = None, token: str | bool | None = None) -> str:
    """Put a model's folder into a repository of the hub, which is made where there is none; returns its URL.

    private: whether a new repository is private; None for its owner's default. Raises HubError.
    """
    from huggingface_hub import HfApi

    with refusals(repo, "could not be uploaded"):
        api = HfApi(token=token)
        made = api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=made.repo_id,
            folder_path=folder,
            allow_patterns=list(FILES),
            commit_message="A model of GD-Retriever",
        )
    return str(made)


@contextmanager
def refusals(repo: str, what: str) -> Iterator[None]:
    """Raises HubError, one sentence with the remedy, for whatever the hub's client raises."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except HFValidationError as error:
        raise HubError(f"{repo!r} is no name of a hub's model: write owner/model") from error
    except (OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
        raise HubError(f"{repo} {what}, and is not in the hub's cache here; {why_absent(error)}") from error
    except GatedRepoError as error:
        raise HubError(
            f"{repo} {what}: the hub gives it to those alone who have asked its owner; ask there, then hf auth login"
        ) from error
    except RevisionNotFoundError as error:
        raise HubError(f"{repo} {what}: it has no such revision; name a branch, a tag or a commit of it") from error
    except RepositoryNotFoundError as error:
        raise HubError(
            f"{repo} {what}: no such folder here, and the hub has no such model, or a private one, which needs "
            "hf auth login"
        ) from error
    except HfHubHTTPError as error:
        raise HubError(f"{repo} {what}: {answer_of(error.response.status_code)}") from error
    except OSError as error:  # of the network, whichever library the hub's client is built on, or of the disk
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise HubError(
            f"{repo} {what} ({reason}); see that there is a network and room on the disk, then again"
        ) from error


def why_absent(error: Exception) -> str:
    """Why the hub was not asked, or did not answer, and the way out."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set: unset it"
    if isinstance(error.__cause__, HfHubHTTPError):
        return answer_of(error.__cause__.response.status_code)
    return "the hub cannot be reached: try again with a network"


def answer_of(status: int) -> str:
    """What an HTTP status of the hub means to a person."""
    remedy = "log in with hf auth login as one who may do that" if status in (401, 403) else "try again later"
    return f"the hub answered with status {status}; {remedy}"
