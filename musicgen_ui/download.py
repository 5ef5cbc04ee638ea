"""Checkpoints from the hub: by huggingface_hub, which resumes what was cut off and checks what came."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from musicgen_ui.checkpoints import is_complete
from musicgen_ui.errors import AppError, InputError, MachineError

PATTERNS = ["*.json", "spiece.model", "model*.safetensors"]
ATTEMPTS = 4
_POLL_SECONDS = 0.25


class DownloadStopped(Exception):
    """The user pressed Stop; what has come stays in the cache, and the next download goes on from there."""


def downloaded(hub_id: str) -> Path | None:
    """The cached checkpoint's folder if nothing is missing from it; asks no network."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(hub_id, allow_patterns=PATTERNS, local_files_only=True))
    except Exception:  # the hub's client has a dozen ways to say "not there"
        return None
    return folder if is_complete(folder) else None


def download(
    hub_id: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Path:
    """The folder of `hub_id`'s checkpoint, downloaded where the cache doesn't hold it whole.

    `progress` is called with (bytes that are here, bytes in all). Raises InputError for an unknown or
    unusable repository, MachineError where the network or the disk fails, DownloadStopped.
    """
    folder = downloaded(hub_id)
    if folder is not None:
        return folder
    fetch = _Fetch(hub_id)
    thread = threading.Thread(target=fetch.run, name=f"download {hub_id}", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_POLL_SECONDS)
        if fetch.total_bytes:
            progress(min(fetch.bytes_here(), fetch.total_bytes), fetch.total_bytes)
        if stopped():
            fetch.stopping.set()
            raise DownloadStopped
    if fetch.fault is not None:
        raise fetch.fault
    assert fetch.folder is not None
    if not is_complete(fetch.folder):
        raise InputError("error.checkpoint_incomplete", model=hub_id)
    return fetch.folder


class _Fetch:
    """One download, run in its own thread."""

    def __init__(self, hub_id: str) -> None:
        self.hub_id = hub_id
        self.total_bytes = 0
        self.folder: Path | None = None
        self.fault: Exception | None = None
        self.stopping = threading.Event()

    def run(self) -> None:
        try:
            self._run()
        except AppError as fault:
            self.fault = fault
        except Exception as fault:
            self.fault = _in_one_sentence(fault, self.hub_id)

    def _run(self) -> None:
        from huggingface_hub import HfApi, hf_hub_download
        from huggingface_hub.utils import filter_repo_objects

        files = HfApi().model_info(self.hub_id, files_metadata=True).siblings or []
        names = list(filter_repo_objects([file.rfilename for file in files], allow_patterns=PATTERNS))
        names = [name for name in names if "/" not in name]
        if not any(name.endswith(".safetensors") for name in names):
            raise InputError("error.checkpoint_incomplete", model=self.hub_id)
        self.total_bytes = sum(file.size or 0 for file in files if file.rfilename in names)
        for name in sorted(names, key=lambda name: name.endswith(".safetensors")):  # small files first
            for attempt in range(1, ATTEMPTS + 1):
                if self.stopping.is_set():
                    return
                try:
                    self.folder = Path(hf_hub_download(self.hub_id, name)).parent
                    break
                except Exception as fault:
                    if attempt == ATTEMPTS or not _worth_another_try(fault):
                        raise
                    time.sleep(attempt)

    def bytes_here(self) -> int:
        """What has come: finished files and the one under way, as the cache holds them."""
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        blobs = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=self.hub_id, repo_type="model") / "blobs"
        sizes = []
        for blob in blobs.glob("*"):
            try:
                sizes.append(blob.stat().st_size)
            except OSError:  # just renamed
                continue
        return sum(sizes)


def _worth_another_try(fault: Exception) -> bool:
    import requests
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    fault = _hub_answer(fault)
    if isinstance(fault, LocalEntryNotFoundError):  # hf_hub_download's word for "no network"
        return True
    if isinstance(fault, HfHubHTTPError):
        status = fault.response.status_code if fault.response is not None else 0
        return status == 429 or status >= 500
    return isinstance(fault, (requests.RequestException, TimeoutError)) or "Consistency check failed" in str(fault)


def _hub_answer(fault: Exception) -> Exception:
    """What the hub said, where hf_hub_download calls it "no network and not in the cache" (itself a HfHubHTTPError)."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    cause = fault.__cause__
    return cause if isinstance(fault, LocalEntryNotFoundError) and isinstance(cause, HfHubHTTPError) else fault


def _in_one_sentence(fault: Exception, hub_id: str) -> Exception:
    import errno

    import requests
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    fault = _hub_answer(fault)
    if isinstance(fault, (RepositoryNotFoundError, GatedRepoError, HFValidationError)):
        return InputError("error.hub_no_model", model=hub_id)
    if isinstance(fault, OfflineModeIsEnabled):
        return MachineError("error.hub_offline", model=hub_id, endpoint=constants.ENDPOINT)
    if isinstance(fault, HfHubHTTPError) and fault.response is not None:
        return MachineError("error.hub_answered", model=hub_id, status=fault.response.status_code)
    if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return MachineError("error.disk_full", name=hub_id)
    if isinstance(fault, (requests.RequestException, LocalEntryNotFoundError, TimeoutError, OSError)):
        return MachineError("error.hub_offline", model=hub_id, endpoint=constants.ENDPOINT)
    return fault
