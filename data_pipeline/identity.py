"""Replaces what names a patient by a keyed hash, which tells patients apart and leads back to nobody.

The key is made once and stays in the user's cache folder. Without it a hash cannot be found by trying all numbers that
a hospital gives out.
"""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from data_pipeline.manifest import DataError

CACHE = "~/.cache/xray-search"  # of a user, by default
HASHED = "p-"  # begins the hash of a patient whom a file or a table states
_KEY_FILE = "patient.key"
_KEY_BYTES = 32
_DIGITS = 16  # 64 bits: of a million patients, two are alike once in 37 million sets


def is_hashed(group: str) -> bool:
    """Whether a group such as "pool/p-0123456789abcdef" is a patient whom a file or a table states."""
    return group.partition("/")[2].startswith(HASHED)


@dataclass(frozen=True)
class Pseudonyms:
    """Hashes patients with the key of a cache folder, which is made when the first patient needs it.

    Attributes:
        cache_dir: The user's cache folder.
    """

    cache_dir: Path

    def patient(self, identifier: str) -> str:
        """The hash of an identifier such as a PatientID, the same for the same one: "p-" and 16 hexadecimal digits.

        Raises:
            DataError: The key can neither be read nor made, or the file does not hold one.
        """
        digest = hmac.new(self._key, identifier.strip().encode(), hashlib.sha256).hexdigest()
        return f"{HASHED}{digest[:_DIGITS]}"

    def conceal(self, path: str, identifiers: Iterable[str]) -> str:
        """The path with each identifier that stands in it as a word, in any case, replaced by its hash.

        Raises:
            DataError: As `patient`.
        """
        for identifier in sorted({each.strip() for each in identifiers if each.strip()}, key=len, reverse=True):
            word = rf"(?<![^\W_]){re.escape(identifier)}(?![^\W_])"
            if re.search(word, path, flags=re.IGNORECASE):
                path = re.sub(word, self.patient(identifier), path, flags=re.IGNORECASE)
        return path

    @cached_property
    def _key(self) -> bytes:
        file = self.cache_dir / _KEY_FILE
        try:
            if not file.exists():
                _make_key(file)
            key = file.read_bytes()
        except OSError as error:
            raise DataError(
                f"The key that hides patients' identities must be readable. Received: {file} ({error.strerror}). "
                "Allow it, or choose another folder with data.cache=FOLDER."
            ) from error
        if len(key) != _KEY_BYTES:
            raise DataError(
                f"The key that hides patients' identities has {_KEY_BYTES} bytes. Received: {file} with {len(key)}. "
                "Restore the file, or delete it: runs that began with it then cannot be resumed."
            )
        return key


def _make_key(file: Path) -> None:
    """Write a new key as a whole; a process that does the same at this moment may win."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}-{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(_KEY_BYTES))
        try:
            os.link(unfinished, file)
        except FileExistsError:
            return
    finally:
        unfinished.unlink()
