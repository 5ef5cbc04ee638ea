"""Checkpoints from the hub: by huggingface_hub, which resumes what was cut off; what came is checked before it is used.

A download runs in a process of its own, because nothing but the end of one stops huggingface_hub within a file.
"""

import contextlib
import errno
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from musicgen_ui.checkpoints import HUB_FILES, cached, is_complete
from musicgen_ui.checksums import check, is_checked
from musicgen_ui.errors import AppError, InputError, MachineError
from musicgen_ui.memory import check_total

ATTEMPTS = 4
_ANSWER_SECONDS = 10
_POLL_SECONDS = 0.25
_SPARE_BYTES = 10**9  # of the disk, for what the app itself writes


class DownloadStopped(Exception):
    """The user pressed Stop; what has come stays in the cache, and the next download goes on from there."""


def download(
    hub_id: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Path:
    """The folder of `hub_id`'s checkpoint, downloaded where the cache doesn't hold it whole, and checked.

    `progress` is called with (bytes that are here, bytes in all). Raises InputError for an unknown or
    unusable repository, MachineError where the network, the disk or the memory fails or a file is damaged (which is
    removed then), DownloadStopped.
    """
    folder = cached(hub_id)
    if folder is not None:
        if not is_checked(folder) and not check(folder, hub_id, stopped):
            raise DownloadStopped
        return folder
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_fetch, args=(theirs, hub_id), name=f"download {hub_id}", daemon=True)
    process.start()
    theirs.close()
    total = 0
    try:
        while not stopped():
            if not ours.poll(_POLL_SECONDS):
                if total:
                    progress(min(_bytes_here(hub_id), total), total)
                continue
            message = ours.recv()
            if isinstance(message, AppError):
                raise message
            if isinstance(message, Path):
                progress(total, total)
                return message
            total = message
        raise DownloadStopped
    except EOFError:
        raise MachineError("error.hub_broke_off", model=hub_id) from None
    finally:
        process.kill()
        process.join()
        ours.close()


def _fetch(connection: Connection, hub_id: str) -> None:
    """The process: sends the bytes in all, then the folder or the AppError."""
    # Xet, the hub's other protocol, starts a cut file from its beginning and asks past HF_ENDPOINT.
    os.environ["HF_HUB_DISABLE_XET"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    try:
        connection.send(_fetch_files(connection, hub_id))
    except AppError as fault:
        connection.send(fault)
    except KeyboardInterrupt:
        pass  # the parent stops this download in its own way
    except Exception as fault:
        sentence = _in_one_sentence(fault, hub_id)
        if sentence is None:
            raise
        connection.send(sentence)


def _fetch_files(connection: Connection, hub_id: str) -> Path:
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.utils import filter_repo_objects

    files = HfApi().model_info(hub_id, files_metadata=True, timeout=_ANSWER_SECONDS).siblings or []
    names = list(filter_repo_objects([file.rfilename for file in files], allow_patterns=HUB_FILES))
    names = [name for name in names if "/" not in name]
    if not any(name.endswith(".safetensors") for name in names):
        raise InputError("error.checkpoint_incomplete", model=hub_id)
    total = sum(file.size or 0 for file in files if file.rfilename in names)
    check_total(total, hub_id)
    if shutil.disk_usage(_cache_folder()).free < total - _bytes_here(hub_id) + _SPARE_BYTES:
        raise MachineError("error.disk_full", name=hub_id)
    connection.send(total)
    folder = Path()
    for name in sorted(names, key=lambda name: name.endswith(".safetensors")):  # small files first
        for attempt in range(1, ATTEMPTS + 1):
            try:
                folder = Path(hf_hub_download(hub_id, name)).parent
                break
            except Exception as fault:
                if _of_wrong_size(fault) and attempt > 1:  # going on from what is here didn't help
                    _remove_partial(hub_id, name)
                if attempt == ATTEMPTS and _of_wrong_size(fault):
                    raise MachineError("error.file_damaged", model=hub_id, file=name) from fault
                if attempt == ATTEMPTS or not _worth_another_try(fault):
                    raise
                time.sleep(attempt)
    if not is_complete(folder):
        raise InputError("error.checkpoint_incomplete", model=hub_id)
    check(folder, hub_id)
    return folder


def _remove_partial(hub_id: str, name: str) -> None:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    checksum = get_hf_file_metadata(hf_hub_url(hub_id, name), timeout=_ANSWER_SECONDS).etag
    (_blobs(hub_id) / f"{checksum}.incomplete").unlink(missing_ok=True)


def _blobs(hub_id: str) -> Path:
    """The folder in which the cache keeps what came."""
    from huggingface_hub.file_download import repo_folder_name

    return _cache_folder() / repo_folder_name(repo_id=hub_id, repo_type="model") / "blobs"


def _cache_folder() -> Path:
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _bytes_here(hub_id: str) -> int:
    """What has come: finished files and the one under way, as the cache holds them."""
    total = 0
    for blob in _blobs(hub_id).glob("*"):
        with contextlib.suppress(OSError):  # just renamed
            total += blob.stat().st_size
    return total


def _worth_another_try(fault: Exception) -> bool:
    import requests
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if _of_wrong_size(fault):
        return True
    fault = _hub_answer(fault)
    if isinstance(fault, LocalEntryNotFoundError):  # hf_hub_download's word for "no network"
        return True
    if isinstance(fault, HfHubHTTPError):
        status = fault.response.status_code if fault.response is not None else 0
        return status == 429 or status >= 500
    if isinstance(fault, requests.HTTPError):  # of a hub that hf_hub_download has asked six times
        return False
    return isinstance(fault, (requests.RequestException, TimeoutError))


def _of_wrong_size(fault: Exception) -> bool:
    """Whether a file came with another size than the hub had told, or more of it is here than there is."""
    answer = getattr(fault, "response", None)
    return "Consistency check failed" in str(fault) or getattr(answer, "status_code", None) == 416


def _hub_answer(fault: Exception) -> Exception:
    """What the hub said, where hf_hub_download calls it "no network and not in the cache" (itself a HfHubHTTPError)."""
    import requests
    from huggingface_hub.errors import LocalEntryNotFoundError

    cause = fault.__cause__
    return cause if isinstance(fault, LocalEntryNotFoundError) and isinstance(cause, requests.HTTPError) else fault


def _in_one_sentence(fault: Exception, hub_id: str) -> AppError | None:
    import requests
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    fault, endpoint = _hub_answer(fault), _without_password(constants.ENDPOINT)
    if isinstance(fault, (RepositoryNotFoundError, GatedRepoError, HFValidationError)):
        return InputError("error.hub_no_model", model=hub_id)
    if isinstance(fault, OfflineModeIsEnabled):
        return MachineError("error.hub_offline", model=hub_id, endpoint=endpoint)
    if isinstance(fault, requests.HTTPError) and fault.response is not None:
        return MachineError("error.hub_answered", model=hub_id, status=fault.response.status_code)
    if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return MachineError("error.disk_full", name=hub_id)
    if isinstance(fault, PermissionError):
        return MachineError("error.cannot_write", name=hub_id, reason=fault.strerror)
    if isinstance(fault, (requests.RequestException, LocalEntryNotFoundError, TimeoutError, OSError)):
        return MachineError("error.hub_offline", model=hub_id, endpoint=endpoint)
    return None


def _without_password(address: str) -> str:
    """`address` without the user's name and password that a mirror may want."""
    before, _, host = address.rpartition("@")
    scheme = before.partition("://")[0] + "://" if "://" in before else ""
    return scheme + host
