"""Get the published data sets: `python -m innt_lib.data.download cub200` (or `cifar10`).

The archive is checked against its published MD5 sum and unpacked into a temporary folder that is
renamed at the end: a data set is there whole or not at all.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from innt_lib.system.paths import data_dir
from innt_lib.system.progress import progress


@dataclass(frozen=True)
class Archive:
    """A published archive: its address, its MD5 sum and the folder in it that is wanted."""

    url: str
    md5: str
    folder: str


ARCHIVES = {
    "cub200": Archive(
        "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
        "97eceeb196236b17998738112f37df78",
        "CUB_200_2011",
    ),
    "cifar10": Archive(
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "c58f30108f718f92721af3b95e74349a",
        "cifar-10-batches-py",
    ),
}


def download(dataset: str, to: Path | None = None, archive: Path | None = None) -> Path:
    """Fetch, check and unpack a data set; return its folder.

    Args:
        dataset: "cub200" or "cifar10".
        to: where its folder goes; None for the data folder.
        archive: the published archive, if it is here already; it is kept.

    Raises:
        ValueError: an unknown data set; an archive that differs from the published one, or that
            holds a link, a device, or a path outside itself. Nothing is left behind.
        FileExistsError: the data set is there already.
        FileNotFoundError: no such archive file.
        OSError: the network or the disk failed.
    """
    if dataset not in ARCHIVES:
        raise ValueError(f"cannot download {dataset!r}: choose {' or '.join(ARCHIVES)}")
    wanted = ARCHIVES[dataset]
    to = data_dir() if to is None else to
    goal = to / wanted.folder
    if goal.exists():
        raise FileExistsError(f"{goal} is there already: remove it to get it again")
    if archive is not None and not archive.is_file():
        raise FileNotFoundError(f"no archive {archive}")
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=to) as name:
        temporary = Path(name)
        if archive is None:
            archive = temporary / "archive"
            try:
                _fetch(wanted.url, archive)
            except (URLError, HTTPException, ConnectionError, TimeoutError) as error:
                raise OSError(
                    f"{wanted.url} cannot be fetched ({getattr(error, 'reason', error)}); fetch it "
                    "where there is internet, and name the file with --archive"
                ) from None
        _check_sum(archive, wanted.md5)
        _unpack(archive, temporary / "unpacked")
        unpacked = temporary / "unpacked" / wanted.folder
        if not unpacked.is_dir():
            raise ValueError(f"{archive} holds no folder {wanted.folder}")
        unpacked.rename(goal)
    return goal


def _fetch(url: str, path: Path) -> None:
    request = Request(url, headers={"User-Agent": "innt_lib"})  # some servers refuse Python's own
    with urlopen(request, timeout=60) as answer, open(path, "wb") as file:
        total = int(answer.headers.get("Content-Length") or 0) or None
        with progress(desc=f"fetching {url}", total=total, unit="B", unit_scale=True) as bar:
            while block := answer.read(1 << 20):
                file.write(block)
                bar.update(len(block))


def _check_sum(path: Path, md5: str) -> None:
    with open(path, "rb") as file:
        # a published sum against damage, not a protection
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        raise ValueError(
            f"{path} has MD5 sum {found}, the published archive {md5}: it is incomplete or not "
            "the original"
        )


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            members = progress(tar, desc=f"unpacking {archive.name}", unit="file")
            tar.extractall(folder, members=members, filter=_plain)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(f"{archive} cannot be unpacked: {error}") from error


def _plain(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Let pass what a data set consists of: files and folders that stay below `folder`."""
    if not (member.isreg() or member.isdir()):
        raise tarfile.FilterError(f"{member.name} is a link or a device; only files are unpacked")
    if member.name.startswith(("/", "\\")):
        raise tarfile.AbsolutePathError(member)
    return tarfile.data_filter(member, folder)


def main(arguments: list[str] | None = None) -> None:
    """The command line; ends with status 1 and one line if something is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m innt_lib.data.download", description="Get a published data set."
    )
    parser.add_argument("dataset", choices=list(ARCHIVES))
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="default: the data folder")
    parser.add_argument(
        "--archive", type=Path, metavar="FILE", help="unpack this archive instead of fetching it"
    )
    chosen = parser.parse_args(arguments)
    try:
        print(download(chosen.dataset, chosen.to, chosen.archive))
    except (OSError, ValueError) as error:
        sys.exit(f"{chosen.dataset}: {error}")


if __name__ == "__main__":
    main()
