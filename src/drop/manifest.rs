//! The manifest of a package: names, types, sizes and digests of its files, sealed.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{DropError, FileEntry, vault::Vault};
use crate::ledger::Records;

/// A file in the manifest.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ManifestFile {
    /// The number in its blob's name and in its associated data.
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) media_type: String,
    pub(super) size: u64,
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub(super) sha256: [u8; 32],
    pub(super) crc32: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) opened: bool,
    /// The address of its page, if somebody else keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) page: Option<String>,
}

impl ManifestFile {
    /// Makes the entry of a file whose contents are not known yet.
    pub(super) fn new(number: u32, name: &str, media_type: &str) -> Self {
        let (name, media_type) = (name.to_owned(), media_type.to_owned());
        Self {
            number,
            name,
            media_type,
            size: 0,
            sha256: [0; 32],
            crc32: 0,
            opened: false,
            page: None,
        }
    }
}

/// Seals the manifest of these files: a JSON array in their order.
pub(super) fn seal<'a>(vault: &Vault, files: impl Iterator<Item = &'a ManifestFile>) -> Vec<u8> {
    let files: Vec<_> = files.collect();
    vault.seal_manifest(&serde_json::to_vec(&files).expect("strings and numbers are JSON"))
}

/// Opens a manifest: returns the files in order, and the number of each one's blob.
pub(super) fn open(
    vault: &Vault,
    sealed: Vec<u8>,
    records: &dyn Records,
) -> Result<(Vec<FileEntry>, Vec<u32>), DropError> {
    let damaged = |reason: String| DropError::from(records.damaged(&reason));
    let plain = vault
        .open_manifest(sealed)
        .map_err(|e| damaged(format!("manifest of record {}: {e}", vault.id())))?;
    let files: Vec<ManifestFile> = serde_json::from_slice(&plain).map_err(|_| {
        damaged(format!(
            "manifest of record {}: it cannot be read",
            vault.id()
        ))
    })?;
    Ok(files.into_iter().map(entry).unzip())
}

fn entry(file: ManifestFile) -> (FileEntry, u32) {
    let ManifestFile {
        number,
        name,
        media_type,
        size,
        sha256,
        crc32,
        opened,
        page,
    } = file;

    (
        FileEntry {
            name,
            media_type,
            size,
            sha256,
            crc32,
            opened,
            page,
        },
        number,
    )
}

fn to_hex<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&HEXLOWER.encode(bytes))
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = HEXLOWER.decode(text.as_bytes()).map_err(D::Error::custom)?;
    bytes
        .try_into()
        .map_err(|_| D::Error::custom("a digest of another length"))
}
