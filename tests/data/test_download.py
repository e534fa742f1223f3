from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from innt_lib.data import download as module
from innt_lib.data.download import ARCHIVES, Archive, download, main

Publish = Callable[..., Path]


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Make an archive of the wanted folder and some more members, and publish it as cub200."""

    def make(*more: tarfile.TarInfo, md5: str | None = None, folder: str = "CUB_200_2011") -> Path:
        path = tmp_path / "CUB_200_2011.tgz"
        with tarfile.open(path, "w:gz") as tar:
            for info in (member(f"{folder}/images.txt"), member("attributes.txt"), *more):
                info.size = 5 if info.isreg() else 0
                tar.addfile(info, io.BytesIO(b"hello") if info.isreg() else None)
        found = hashlib.md5(path.read_bytes()).hexdigest()
        wanted = Archive(path.as_uri(), md5 or found, "CUB_200_2011")
        monkeypatch.setitem(module.ARCHIVES, "cub200", wanted)
        return path

    return make


def test_fetches_checks_and_unpacks(publish: Publish, tmp_path: Path) -> None:
    publish()
    folder = download("cub200", tmp_path / "data")
    assert folder == tmp_path / "data" / "CUB_200_2011"
    assert (folder / "images.txt").read_bytes() == b"hello"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["CUB_200_2011"]


def test_unpacks_an_archive_at_hand_and_keeps_it(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = publish()
    monkeypatch.setattr(module, "urlopen", lambda *_, **__: pytest.fail("used the network"))
    assert (download("cub200", tmp_path / "data", archive) / "images.txt").is_file()
    assert archive.is_file()


def test_default_is_the_data_folder(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    monkeypatch.setenv("INNT_ROOT", str(tmp_path))
    assert download("cub200") == tmp_path / "data" / "CUB_200_2011"


def test_wrong_checksum_leaves_nothing(publish: Publish, tmp_path: Path) -> None:
    publish(md5="0" * 32)
    with pytest.raises(ValueError, match=f"the published archive {'0' * 32}"):
        download("cub200", tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_truncated_archive_is_refused(publish: Publish, tmp_path: Path) -> None:
    archive = publish()
    archive.write_bytes(archive.read_bytes()[:-20])
    with pytest.raises(ValueError, match="incomplete or not the original"):
        download("cub200", tmp_path / "data", archive)


@pytest.mark.parametrize(
    "bad",
    [
        member("../escaped.txt"),
        member("CUB_200_2011/../../escaped.txt"),
        member("/tmp/innt-escaped.txt"),
        member("CUB_200_2011/link", tarfile.SYMTYPE, "images.txt"),
        member("CUB_200_2011/link", tarfile.SYMTYPE, "/etc/passwd"),
        member("CUB_200_2011/link", tarfile.LNKTYPE, "CUB_200_2011/images.txt"),
        member("CUB_200_2011/device", tarfile.CHRTYPE),
        member("CUB_200_2011/device", tarfile.BLKTYPE),
        member("CUB_200_2011/pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda info: f"{info.name}-{info.type.decode()}",
)
def test_dangerous_members_are_refused(
    bad: tarfile.TarInfo, publish: Publish, tmp_path: Path
) -> None:
    publish(bad)
    with pytest.raises(ValueError, match=r"CUB_200_2011\.tgz|archive") as caught:
        download("cub200", tmp_path / "deep" / "data")
    assert bad.name in str(caught.value)
    assert not list((tmp_path / "deep" / "data").iterdir())
    assert not list(tmp_path.rglob("escaped.txt"))
    assert not Path("/tmp/innt-escaped.txt").exists()


def test_not_an_archive_or_without_the_folder(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "page.html"
    text.write_text("not found")
    wanted = Archive(text.as_uri(), hashlib.md5(b"not found").hexdigest(), "CUB_200_2011")
    monkeypatch.setitem(module.ARCHIVES, "cub200", wanted)
    with pytest.raises(ValueError, match="cannot be unpacked"):
        download("cub200", tmp_path / "data")
    publish(folder="else")
    with pytest.raises(ValueError, match="holds no folder CUB_200_2011"):
        download("cub200", tmp_path / "data")


def test_never_overwrites(publish: Publish, tmp_path: Path) -> None:
    publish()
    (tmp_path / "data" / "CUB_200_2011").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="is there already: remove it"):
        download("cub200", tmp_path / "data")


def test_what_cannot_be_had_is_one_line(publish: Publish, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'imagenet': choose cub200 or cifar10"):
        download("imagenet", tmp_path)
    with pytest.raises(FileNotFoundError, match="no archive .*absent.tgz"):
        download("cub200", tmp_path, tmp_path / "absent.tgz")
    publish().unlink()  # the server has nothing
    with pytest.raises(SystemExit) as caught:
        main(["cub200", "--to", str(tmp_path / "data")])
    line = str(caught.value)
    assert re.fullmatch(r"cub200: file://.*tgz cannot be fetched \(.*No such file.*--archive", line)
    assert not list((tmp_path / "data").iterdir())


def test_a_lost_connection_is_one_line(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()

    def lost(*_: object, **__: object) -> None:
        raise ConnectionResetError("connection reset by peer")

    monkeypatch.setattr(module, "urlopen", lost)
    with pytest.raises(
        OSError, match=r"cannot be fetched \(connection reset by peer\); .*--archive"
    ):
        download("cub200", tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_command_line(publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = publish()
    main(["cub200", "--to", str(tmp_path / "data"), "--archive", str(archive)])
    assert capsys.readouterr().out.strip() == str(tmp_path / "data" / "CUB_200_2011")


def test_sums_are_the_published_ones() -> None:
    from torchvision.datasets import CIFAR10

    published = ARCHIVES["cifar10"]
    assert (published.url, published.md5) == (CIFAR10.url, CIFAR10.tgz_md5)
    assert published.folder == CIFAR10.base_folder
    assert ARCHIVES["cub200"].md5 == "97eceeb196236b17998738112f37df78"
