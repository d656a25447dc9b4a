//! The cryptography of a token: the record's id and the keys, and the encryption of manifests and files.
//!
//! Nothing here is invented: HKDF (RFC 5869) with SHA-256, AES-256-GCM, and for files the streaming
//! AEAD `AES256-GCM-HKDF` that Google's Tink publishes, so that a file can be decrypted with its
//! link and without this program (`tests/vault_tink.py` does it).
//!
//! # Keys
//!
//! The token is 16 bytes; in a link, 26 characters of RFC 4648 base32, lower case, no padding.
//!
//! ```text
//! record id     16 bytes = HKDF(ikm = token, salt = "depollueur drop 1", info = "record id")
//! manifest key  32 bytes = HKDF(ikm = token, salt = "depollueur drop 1", info = "manifest key")
//! content key   32 bytes = HKDF(ikm = token, salt = "depollueur drop 1", info = "content key")
//! ```
//!
//! # Manifest
//!
//! Names, media types, sizes and digests of a package's files, as JSON, sealed as a whole:
//!
//! ```text
//! 12 bytes   random nonce
//! n bytes    AES-256-GCM(manifest key, nonce, associated data = record id)
//! 16 bytes   tag
//! ```
//!
//! # Files
//!
//! Tink's `AesGcmHkdfStreaming` with SHA-256, derived keys of 32 bytes and ciphertext segments of
//! 65,536 bytes. Input key: the content key. Associated data: the number of the file in its
//! package, as 4 bytes big-endian (the `n` of the blob's name), so that two files of one package
//! cannot stand for each other.
//!
//! ```text
//! offset 0        1 byte     40, the length of this header
//! offset 1        32 bytes   random salt
//! offset 33       7 bytes    random nonce prefix
//! offset 40       segment 0: up to 65,480 bytes of ciphertext, then 16 bytes of tag
//! offset 65,536·i segment i: up to 65,520 bytes of ciphertext, then 16 bytes of tag
//!
//! file key = HKDF(ikm = content key, salt = salt, info = associated data), 32 bytes
//! segment  = AES-256-GCM(file key, nonce, no associated data)
//! nonce    = nonce prefix ‖ i as 4 bytes big-endian ‖ 1 if this is the last segment, else 0
//! ```
//!
//! Every segment but the last is full; the last may be full too, and is empty only in an empty file.
//! A cut at a segment's border fails because the last flag is in the nonce.

use std::{fmt, ops::Range};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
    rand,
};
use zeroize::Zeroizing;

use super::Token;
use crate::ledger::RecordId;

/// Size of a full segment on disk in bytes; of the first one, together with the header.
pub(super) const SEGMENT_BYTES: usize = 64 * 1024;
/// Size of the header before the first segment, in bytes.
pub(super) const HEADER_BYTES: usize = 1 + SALT_BYTES + PREFIX_BYTES;
/// Size of the tag that authenticates a segment, at its end, in bytes.
pub(super) const TAG_BYTES: usize = 16;

const SALT_BYTES: usize = 32;
const PREFIX_BYTES: usize = 7;
const KEY_BYTES: usize = 32;
const FIRST_BYTES: u64 = (SEGMENT_BYTES - HEADER_BYTES - TAG_BYTES) as u64;
const FULL_BYTES: u64 = (SEGMENT_BYTES - TAG_BYTES) as u64;
/// Maximum size of a file: the number of a segment has 4 bytes in the nonce.
const SIZE_MAX: u64 = FIRST_BYTES + u32::MAX as u64 * FULL_BYTES;

/// The error for a ciphertext that does not authenticate, or is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not authenticate")]
pub(super) struct Forged;

/// The id and the keys that are derived from a token.
pub(super) struct Vault {
    id: RecordId,
    manifest: LessSafeKey,
    content: Zeroizing<[u8; KEY_BYTES]>,
}

/// The layout of a file's segments: plain arithmetic on its size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    size: u64,
}

/// Seals the segments of one file, in order.
pub(super) struct Sealer {
    segments: Segments,
    next: Option<u32>,
}

/// Opens the segments of one file, in any order.
pub(super) struct Opener {
    segments: Segments,
    layout: Layout,
}

struct Segments {
    key: LessSafeKey,
    prefix: [u8; PREFIX_BYTES],
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl From<&Token> for RecordId {
    fn from(token: &Token) -> Self {
        Vault::new(token).id
    }
}

impl Vault {
    pub(super) fn new(token: &Token) -> Self {
        let secret = Salt::new(HKDF_SHA256, b"depollueur drop 1").extract(token.as_bytes());
        let mut id = RecordId([0; 16]);
        expand(&secret, b"record id", &mut id.0);
        let mut manifest = Zeroizing::new([0; KEY_BYTES]);
        expand(&secret, b"manifest key", &mut *manifest);
        let mut content = Zeroizing::new([0; KEY_BYTES]);
        expand(&secret, b"content key", &mut *content);
        Self {
            id,
            manifest: aes_key(&manifest),
            content,
        }
    }

    pub(super) fn id(&self) -> RecordId {
        self.id
    }

    /// Seals a manifest: nonce, ciphertext, tag.
    pub(super) fn seal_manifest(&self, plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = random();
        let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + TAG_BYTES);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .manifest
            .seal_in_place_separate_tag(nonce, Aad::from(self.id.0), &mut sealed[NONCE_LEN..])
            .expect("a manifest is shorter than 64 GiB");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Opens a manifest.
    pub(super) fn open_manifest(&self, mut sealed: Vec<u8>) -> Result<Vec<u8>, Forged> {
        let (nonce, body) = sealed.split_first_chunk_mut::<NONCE_LEN>().ok_or(Forged)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self
            .manifest
            .open_in_place(nonce, Aad::from(self.id.0), body);
        let length = opened.map_err(|_| Forged)?.len();
        sealed.copy_within(NONCE_LEN..NONCE_LEN + length, 0);
        sealed.truncate(length);
        Ok(sealed)
    }

    /// Begins the file with this number: returns its sealer, and the header that stands before segment 0.
    pub(super) fn seal_file(&self, number: u32) -> (Sealer, [u8; HEADER_BYTES]) {
        let mut header: [u8; HEADER_BYTES] = random();
        header[0] = HEADER_BYTES as u8;
        let segments = Segments::new(&self.content, number, &header);
        (
            Sealer {
                segments,
                next: Some(0),
            },
            header,
        )
    }

    /// Opens the file with this number, whose size is known from the manifest.
    pub(super) fn open_file(
        &self,
        number: u32,
        layout: Layout,
        header: &[u8; HEADER_BYTES],
    ) -> Result<Opener, Forged> {
        if usize::from(header[0]) != HEADER_BYTES {
            return Err(Forged);
        }
        Ok(Opener {
            segments: Segments::new(&self.content, number, header),
            layout,
        })
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Vault").field(&self.id).finish()
    }
}

impl Layout {
    /// Returns the layout of a file of `size` bytes; `None` beyond 2³² segments (256 TiB).
    pub(super) fn new(size: u64) -> Option<Self> {
        (size <= SIZE_MAX).then_some(Self { size })
    }

    /// Returns the length of the whole blob: header, ciphertext and tags.
    pub(super) fn sealed_bytes(self) -> u64 {
        let segments = u64::from(self.last()) + 1;
        HEADER_BYTES as u64 + self.size + segments * TAG_BYTES as u64
    }

    /// Returns the number of the last segment.
    fn last(self) -> u32 {
        self.segment_of(self.size.saturating_sub(1))
    }

    /// Returns the number of the segment that holds the byte at `offset` of the file.
    pub(super) fn segment_of(self, offset: u64) -> u32 {
        let number = match offset.checked_sub(FIRST_BYTES) {
            None => 0,
            Some(beyond) => 1 + beyond / FULL_BYTES,
        };
        u32::try_from(number).expect("a file has less than 2³² segments")
    }

    /// Returns the bytes of the file that a segment holds.
    pub(super) fn plain(self, segment: u32) -> Range<u64> {
        let border = |n: u64| {
            if n == 0 {
                0
            } else {
                FIRST_BYTES + (n - 1) * FULL_BYTES
            }
        };
        let segment = u64::from(segment);
        border(segment)..border(segment + 1).min(self.size)
    }

    /// Returns the bytes of the blob that hold a range of the file.
    pub(super) fn sealed_around(self, range: &Range<u64>) -> Range<u64> {
        let first = self.sealed(self.segment_of(range.start));
        let last = self.sealed(self.segment_of(range.end.saturating_sub(1).max(range.start)));
        first.start..last.end
    }

    /// Returns the bytes of the blob that a segment takes, tag included.
    pub(super) fn sealed(self, segment: u32) -> Range<u64> {
        let plain = self.plain(segment);
        let start = (u64::from(segment) * SEGMENT_BYTES as u64).max(HEADER_BYTES as u64);
        start..start + (plain.end - plain.start) + TAG_BYTES as u64
    }
}

impl Sealer {
    /// Encrypts the next segment in place and returns its tag. All segments but the last must be full.
    ///
    /// # Errors
    /// The file is too large for this construction (256 TiB).
    pub(super) fn seal(
        &mut self,
        segment: &mut [u8],
        last: bool,
    ) -> Result<[u8; TAG_BYTES], Forged> {
        // After the last number that fits there is none: no nonce is ever used twice.
        let number = self.next.ok_or(Forged)?;
        self.next = number.checked_add(1);
        let nonce = self.segments.nonce(number, last);
        let key = &self.segments.key;
        let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), segment);
        tag.map_err(|_| Forged)?
            .as_ref()
            .try_into()
            .map_err(|_| Forged)
    }
}

impl Opener {
    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// Decrypts a segment (ciphertext and tag) in place. Returns its plain text, which stands at its
    /// beginning.
    pub(super) fn open<'a>(&self, number: u32, sealed: &'a mut [u8]) -> Result<&'a [u8], Forged> {
        let nonce = self.segments.nonce(number, number == self.layout.last());
        let opened = self.segments.key.open_in_place(nonce, Aad::empty(), sealed);
        opened.map(|plain| &*plain).map_err(|_| Forged)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Opener").field(&self.layout).finish()
    }
}

impl Segments {
    fn new(content: &[u8; KEY_BYTES], number: u32, header: &[u8; HEADER_BYTES]) -> Self {
        let (salt, prefix) = header[1..].split_at(SALT_BYTES);
        let secret = Salt::new(HKDF_SHA256, salt).extract(content);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        expand(&secret, &number.to_be_bytes(), &mut *key);
        let prefix = prefix
            .try_into()
            .expect("the header ends with the nonce prefix");
        Self {
            key: aes_key(&key),
            prefix,
        }
    }

    fn nonce(&self, number: u32, last: bool) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[..PREFIX_BYTES].copy_from_slice(&self.prefix);
        nonce[PREFIX_BYTES..NONCE_LEN - 1].copy_from_slice(&number.to_be_bytes());
        nonce[NONCE_LEN - 1] = last.into();
        Nonce::assume_unique_for_key(nonce)
    }
}

fn expand(secret: &Prk, label: &[u8], out: &mut [u8]) {
    let labels = [label];
    let okm = secret
        .expand(&labels, Length(out.len()))
        .expect("the output is short");
    okm.fill(out).expect("the lengths are equal");
}

fn aes_key(key: &[u8; KEY_BYTES]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("a key of 32 bytes"))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::RecordIdError;

    const FIRST: usize = FIRST_BYTES as usize;
    const FULL: usize = FULL_BYTES as usize;

    fn seal(vault: &Vault, number: u32, plain: &[u8]) -> Vec<u8> {
        let (mut sealer, header) = vault.seal_file(number);
        let mut sealed = header.to_vec();
        let layout = Layout::new(plain.len() as u64).unwrap();
        for segment in 0..=layout.last() {
            let range = layout.plain(segment);
            let mut bytes = plain[range.start as usize..range.end as usize].to_vec();
            let tag = sealer.seal(&mut bytes, segment == layout.last()).unwrap();
            assert_eq!(sealed.len() as u64, layout.sealed(segment).start);
            sealed.extend_from_slice(&bytes);
            sealed.extend_from_slice(&tag);
            assert_eq!(sealed.len() as u64, layout.sealed(segment).end);
        }
        assert_eq!(sealed.len() as u64, layout.sealed_bytes());
        sealed
    }

    fn open(vault: &Vault, number: u32, size: usize, sealed: &[u8]) -> Result<Vec<u8>, Forged> {
        let layout = Layout::new(size as u64).unwrap();
        let header = sealed.first_chunk().ok_or(Forged)?;
        let opener = vault.open_file(number, layout, header)?;
        let mut plain = Vec::new();
        for segment in 0..=layout.last() {
            let range = layout.sealed(segment);
            let range = range.start as usize..range.end as usize;
            let mut bytes = sealed.get(range).ok_or(Forged)?.to_vec();
            plain.extend_from_slice(opener.open(segment, &mut bytes)?);
        }
        Ok(plain)
    }

    fn pattern(size: usize) -> Vec<u8> {
        (0..size)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect()
    }

    fn vault() -> Vault {
        Vault::new(&Token::random())
    }

    /// Sizes around the borders of the first three segments.
    fn size() -> impl Strategy<Value = usize> {
        let borders = [0, FIRST, FIRST + FULL, FIRST + 2 * FULL];
        let near = (prop::sample::select(borders.to_vec()), 0..40_usize)
            .prop_map(|(border, more)| (border + more).saturating_sub(20));
        prop_oneof![near, 0..250_000_usize]
    }

    #[test]
    fn the_layout_is_as_published() {
        let layout = |size| Layout::new(size).unwrap();
        assert_eq!(layout(0).sealed_bytes(), 56);
        assert_eq!(layout(FIRST_BYTES).sealed_bytes(), 65_536);
        assert_eq!(layout(FIRST_BYTES + 1).sealed_bytes(), 65_536 + 17);
        assert_eq!(layout(FIRST_BYTES + FULL_BYTES).sealed_bytes(), 131_072);
        assert_eq!(layout(0).plain(0), 0..0);
        assert_eq!(layout(200_000).plain(1), 65_480..131_000);
        assert_eq!(layout(200_000).sealed(1), 65_536..131_072);
        assert_eq!(layout(SIZE_MAX).last(), u32::MAX);
        assert!(Layout::new(SIZE_MAX + 1).is_none());
    }

    #[test]
    fn the_same_token_gives_the_same_id_and_another_another() {
        let token = Token::random();
        assert_eq!(Vault::new(&token).id(), Vault::new(&token).id());
        assert_ne!(vault().id(), vault().id());
        let id = vault().id();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("zz".parse::<RecordId>(), Err(RecordIdError));
        assert_eq!(id.to_string()[2..].parse::<RecordId>(), Err(RecordIdError));
    }

    #[test]
    fn keys_are_derived_as_documented() {
        // HMAC-SHA-256 by Python's standard library, token 00 01 … 0f.
        let token: Token = "aaaqeayeaudaocajbifqydiob4".parse().unwrap();
        let vault = Vault::new(&token);
        assert_eq!(vault.id().to_string(), "cf40a3e2a97e6fa921b80405ae4147c8");
        assert_eq!(
            HEXLOWER.encode(&*vault.content),
            "3cb2581aa9e08497fc8f684a0bf1ef7ddf84629f706997643c4b33b8c878bac2"
        );
    }

    #[test]
    fn swapped_or_cut_segments_are_refused() {
        let vault = vault();
        let size = FIRST + 3 * FULL;
        let sealed = seal(&vault, 0, &pattern(size));
        let mut swapped = sealed.clone();
        swapped[65_536..3 * 65_536].rotate_left(65_536);
        assert_eq!(open(&vault, 0, size, &swapped), Err(Forged));
        // As if the file had ended at each border.
        for segments in 1..4 {
            let size = FIRST + (segments - 1) * FULL;
            let cut = &sealed[..segments * 65_536];
            assert_eq!(open(&vault, 0, size, cut), Err(Forged), "{segments}");
        }
    }

    #[test]
    fn a_manifest_is_bound_to_its_token_and_whole() {
        let vault = vault();
        let sealed = vault.seal_manifest(b"[names]");
        assert_eq!(vault.open_manifest(sealed.clone()).unwrap(), b"[names]");
        assert_eq!(self::vault().open_manifest(sealed.clone()), Err(Forged));
        for length in 0..sealed.len() {
            assert_eq!(vault.open_manifest(sealed[..length].to_vec()), Err(Forged));
        }
        for place in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[place] ^= 0x80;
            assert_eq!(vault.open_manifest(flipped), Err(Forged), "{place}");
        }
        assert_ne!(vault.seal_manifest(b"[names]"), sealed);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_sealed_is_opened(size in size(), number in any::<u32>()) {
            let vault = vault();
            let plain = pattern(size);
            let sealed = seal(&vault, number, &plain);
            prop_assert!(open(&vault, number, size, &sealed).unwrap() == plain);
            prop_assert_eq!(open(&vault, number.wrapping_add(1), size, &sealed), Err(Forged));
            prop_assert_eq!(open(&self::vault(), number, size, &sealed), Err(Forged));
        }

        #[test]
        fn any_flipped_bit_is_refused(size in size(), place in any::<prop::sample::Index>(), bit in 0..8) {
            let vault = vault();
            let mut sealed = seal(&vault, 0, &pattern(size));
            let place = place.index(sealed.len());
            sealed[place] ^= 1_u8 << bit;
            prop_assert_eq!(open(&vault, 0, size, &sealed), Err(Forged));
        }

        #[test]
        fn any_flipped_bit_of_a_header_is_refused(place in 0..HEADER_BYTES, bit in 0..8) {
            let vault = vault();
            let mut sealed = seal(&vault, 0, &pattern(100));
            sealed[place] ^= 1_u8 << bit;
            prop_assert_eq!(open(&vault, 0, 100, &sealed), Err(Forged));
        }

        #[test]
        fn a_file_of_another_size_is_refused(size in size(), other in size()) {
            prop_assume!(size != other);
            let vault = vault();
            let sealed = seal(&vault, 0, &pattern(size));
            prop_assert!(open(&vault, 0, other, &sealed).is_err());
        }

        #[test]
        fn segments_hold_every_byte_once(size in 1..10_000_000_u64, at in any::<prop::sample::Index>()) {
            let layout = Layout::new(size).unwrap();
            let offset = at.index(size as usize) as u64;
            prop_assert!(layout.plain(layout.segment_of(offset)).contains(&offset));
            prop_assert_eq!(layout.plain(layout.last()).end, size);
        }
    }
}
