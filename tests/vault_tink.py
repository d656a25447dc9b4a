#!/usr/bin/env python3
"""Reads a drop with its link and without depollueur: keys by HMAC, files and manifest by Tink.

It is what `src/drop/vault.rs` documents, written a second time from that text.

    python3 -m venv venv && venv/bin/pip install tink
    DEPOLLUEUR_SAMPLE=$(mktemp -d) && export DEPOLLUEUR_SAMPLE
    cargo test --lib a_sample_for_an_independent_reader
    venv/bin/python tests/vault_tink.py "$DEPOLLUEUR_SAMPLE"
"""

import base64
import hashlib
import hmac
import io
import json
import pathlib
import sqlite3
import sys
import zlib

import tink
from tink import aead, cleartext_keyset_handle, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, aes_gcm_pb2, common_pb2, tink_pb2

TYPE = "type.googleapis.com/google.crypto.tink."


def hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 with SHA-256."""
    key = hmac.new(salt, secret, hashlib.sha256).digest()
    block, out = b"", b""
    while len(out) < length:
        counter = bytes([len(out) // 32 + 1])
        block = hmac.new(key, block + info + counter, hashlib.sha256).digest()
        out += block
    return out[:length]


def derive(token: str, label: bytes, length: int) -> bytes:
    secret = base64.b32decode(token.upper() + "======")
    return hkdf(secret, b"depollueur drop 1", label, length)


def keyset(type_name: str, key) -> tink.KeysetHandle:
    """A keyset of one key, whose ciphertexts have no prefix of Tink's."""
    data = tink_pb2.KeyData(
        type_url=TYPE + type_name,
        value=key.SerializeToString(),
        key_material_type=tink_pb2.KeyData.SYMMETRIC,
    )
    one = tink_pb2.Keyset.Key(
        key_data=data,
        status=tink_pb2.ENABLED,
        key_id=1,
        output_prefix_type=tink_pb2.RAW,
    )
    return cleartext_keyset_handle.from_keyset(tink_pb2.Keyset(primary_key_id=1, key=[one]))


def file_reader(token: str) -> streaming_aead.StreamingAead:
    params = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
        ciphertext_segment_size=65536, derived_key_size=32, hkdf_hash_type=common_pb2.SHA256
    )
    key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(
        version=0, params=params, key_value=derive(token, b"content key", 32)
    )
    return keyset("AesGcmHkdfStreamingKey", key).primitive(streaming_aead.StreamingAead)


def decrypt(reader: streaming_aead.StreamingAead, sealed: bytes, number: int) -> bytes:
    with reader.new_decrypting_stream(io.BytesIO(sealed), number.to_bytes(4, "big")) as stream:
        return stream.read()


def manifest(directory: pathlib.Path, token: str, record: bytes) -> list:
    key = aes_gcm_pb2.AesGcmKey(version=0, key_value=derive(token, b"manifest key", 32))
    opener = keyset("AesGcmKey", key).primitive(aead.Aead)
    with sqlite3.connect(directory / "drop.sqlite3") as database:
        query = "SELECT manifest FROM package WHERE id = ?"
        ((sealed,),) = database.execute(query, (record,)).fetchall()
    return json.loads(opener.decrypt(sealed, record))


def is_refused(reader: streaming_aead.StreamingAead, sealed: bytes, number: int) -> bool:
    try:
        decrypt(reader, sealed, number)
    except (tink.TinkError, OSError):
        return True
    return False


def check(sample: pathlib.Path) -> int:
    token = (sample / "token").read_text()
    record = derive(token, b"record id", 16)
    shard = sample / "drop" / "blobs" / record[:1].hex()
    reader = file_reader(token)
    files = manifest(sample / "drop", token, record)
    for index, file in enumerate(files):
        sealed = (shard / f"{record.hex()}-{file['number']}").read_bytes()
        plain = decrypt(reader, sealed, file["number"])
        assert plain == (sample / f"plain-{index}").read_bytes(), index
        assert len(plain) == file["size"], index
        assert hashlib.sha256(plain).hexdigest() == file["sha256"], index
        assert zlib.crc32(plain) == file["crc32"], index
        assert is_refused(reader, sealed, file["number"] + 1), index
        assert is_refused(reader, sealed[:-1] + bytes([sealed[-1] ^ 1]), file["number"]), index
        print(f"file {index}: {len(plain)} bytes, {file['name']!r}, {file['sha256']}")
    return len(files)


def main() -> None:
    aead.register()
    streaming_aead.register()
    count = check(pathlib.Path(sys.argv[1]))
    assert count > 0
    print(f"{count} files read by Tink, equal to what was deposited")


if __name__ == "__main__":
    main()
