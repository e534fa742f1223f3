"""`make fuzz`: mutilate the text files of a data set for a while; only documented errors may come out.

python tests/data/fuzz.py --seconds 60
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from test_damage import FILES, cub, plain

from innt_lib.data.catalogue import find
from innt_lib.data.listing import Listing
from innt_lib.data.readers import read_cub, read_folder

WORDS = [
    b"", b" ", b"\n", b"\r\n", b"\0", b"nan", b"inf", b"-1", b"0", b"1e400", b"99999999999999999999",
    b"..", b"/", b"a/0.jpg", b"\xff", b"\xef\xbb\xbf", b'"', b",", b"\xd9\xa3", b"1_0", b"0x1",
    b"train/a/0.jpg", "é".encode(), b"\x1c", b"\x85",
]  # fmt: skip
pieces = st.sampled_from(WORDS) | st.binary(max_size=12)
# Where (as a share of the file), how many bytes go, what comes instead.
edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), pieces), min_size=1, max_size=6)
names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20
)


def mutilate(content: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    for where, gone, instead in changes:
        at = int(where * len(content))
        content = content[:at] + instead + content[at + gone :]
    return content


def inspect(listing: Listing) -> None:
    """What is promised of a listing."""
    classes = range(len(listing.classes))
    assert all(record.label in classes for record in listing.records)
    assert len({record.id for record in listing.records}) == len(listing.records)
    assert all(".." not in Path(record.id).parts for record in listing.records)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    end = time.monotonic() + parser.parse_args().seconds
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        birds, folder = Path(name, "birds"), Path(name, "folder")
        cub(birds)
        plain(folder)
        whole = {
            path: path.read_bytes() for path in [*(birds / f for f in FILES), folder / "boxes.csv"]
        }

        def attempt(root: Path, lines_allowed: bool = False) -> None:
            for complain in (None, lambda error: None):
                try:
                    read = read_cub if root == birds else read_folder
                    inspect(read(root) if complain is None else read(root, complain))
                    find(str(root))
                except (ValueError, FileNotFoundError) as error:
                    assert lines_allowed or "\n" not in str(error)
                    outcomes[type(error).__name__] += 1
                else:
                    outcomes["read"] += 1

        quiet = settings(
            max_examples=200, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip

        @quiet
        @given(st.sampled_from(sorted(whole)), edits)
        def text_files(path: Path, changes: list[tuple[float, int, bytes]]) -> None:
            path.write_bytes(mutilate(whole[path], changes))
            try:
                attempt(path.parent)
            finally:
                path.write_bytes(whole[path])

        @quiet
        @given(st.lists(names, max_size=4))
        def file_names(chosen: list[str]) -> None:
            made = []
            for one in chosen:
                path = folder / "train" / "a" / (one + ".jpg")
                try:
                    path.touch(exist_ok=False)
                except (OSError, ValueError):
                    continue  # the file system refuses it
                made.append(path)
            try:
                attempt(folder, lines_allowed=True)  # a file name may hold a line end
            finally:
                for path in made:
                    path.unlink()

        turn = 0
        while time.monotonic() < end:
            for work in (text_files, file_names):
                seed(turn)(work)()
            turn += 1
    print(f"{sum(outcomes.values())} attempts: {dict(outcomes)}")


if __name__ == "__main__":
    main()
