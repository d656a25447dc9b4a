// Decrypts a package in its reader's browser.
//
// The key is the token in the address after the "#", which browsers send to nobody. What is encrypted how
// stands at the head of src/drop/vault.rs. Nothing is saved before all of a file has been authenticated,
// and what cannot be done here is refused with a reason: there is no weaker way.
"use strict";

const SEGMENT = 65536, HEADER = 40, TAG = 16, PREFIX = 33;
const FIRST = SEGMENT - HEADER - TAG, FULL = SEGMENT - TAG;
// Files up to this size are held in memory, and lie in no storage; without storage of its own a page refuses larger ones.
const MEMORY_MAX = 100e6;
// The browser takes over what is in a blob; the page itself holds no more than this.
const BLOB_BYTES = 4e6;
// A ZIP of 4 GiB or more needs what old programs cannot read: then each file is saved by itself.
const ZIP_MAX = 4e9;
// How long a decrypted copy stays after it was handed over: the browser may still be reading it.
const COPY_KEPT_MS = 10 * 60 * 1000;
const ATTEMPTS = 5;

const page = document.getElementById("package");
const state = document.getElementById("state");
const words = document.getElementById("words").dataset;
const subtle = globalThis.crypto?.subtle;

/** Why something is refused, by the name of the words that explain it. */
class Refused extends Error {
  constructor(word) {
    super(word);
    this.word = word;
  }
}

// ---- the key

/** The token in the address, or where there is none that of an earlier look at this page in this tab. */
function findToken(id) {
  if (location.hash.length > 1) return /^#([a-z2-7]{26})(?![a-z2-7])/i.exec(location.hash)?.[1].toLowerCase();
  try {
    return sessionStorage.getItem(id);
  } catch {
    return null;
  }
}

/** Keeps a token that fits, for the way back from the report and the other language. */
function keepToken(token, id) {
  history.replaceState(null, "", `#${token}`);
  for (const link of document.querySelectorAll("a[href^='?']")) link.hash = token;
  for (const form of document.forms) form.action += `#${token}`;
  try {
    sessionStorage.setItem(id, token);
  } catch { /* Storage is switched off: the address alone counts. */ }
}

/** RFC 4648 base32: 26 characters hold 16 bytes and two bits that must be zero. */
function tokenBytes(token) {
  let bits = 0n;
  for (const letter of token) bits = bits << 5n | BigInt("abcdefghijklmnopqrstuvwxyz234567".indexOf(letter));
  if (bits & 3n) throw new Refused("wrongKey");
  const hex = (bits >> 2n).toString(16).padStart(32, "0");
  return Uint8Array.from(hex.match(/../g), byte => parseInt(byte, 16));
}

/** The keys of a package, if the token is that of its record. */
async function deriveKeys(token, id) {
  const secret = await subtle.importKey("raw", tokenBytes(token), "HKDF", false, ["deriveBits", "deriveKey"]);
  const utf8 = new TextEncoder();
  const hkdf = info => ({ name: "HKDF", hash: "SHA-256", salt: utf8.encode("depollueur drop 1"), info: utf8.encode(info) });
  const record = new Uint8Array(await subtle.deriveBits(hkdf("record id"), secret, 128));
  if (toHex(record) !== id) throw new Refused("wrongKey");
  const manifest = await subtle.deriveKey(hkdf("manifest key"), secret, { name: "AES-GCM", length: 256 }, false, ["decrypt"]);
  const content = await subtle.importKey("raw", await subtle.deriveBits(hkdf("content key"), secret, 256),
    "HKDF", false, ["deriveKey"]);
  return { record, manifest, content };
}

function toHex(bytes) {
  return Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("");
}

async function open(key, parameters, sealed) {
  try {
    return new Uint8Array(await subtle.decrypt({ name: "AES-GCM", tagLength: 128, ...parameters }, key, sealed));
  } catch {
    throw new Refused("damaged");
  }
}

// ---- what is fetched

async function get(url, from, signal) {
  const headers = from ? { Range: `bytes=${from}-` } : {};
  const answer = await fetch(url, { headers, signal, cache: "no-store", credentials: "omit", redirect: "error" });
  if (answer.status === (from ? 206 : 200)) return answer;
  throw new Refused({ 404: "ended", 410: "ended", 429: "busy" }[answer.status] ?? "offline");
}

/** Names, types, sizes and digests of the files. */
async function fetchManifest(keys) {
  const sealed = new Uint8Array(await (await get(page.dataset.manifest, 0)).arrayBuffer());
  const plain = await open(keys.manifest, { iv: sealed.subarray(0, 12), additionalData: keys.record }, sealed.subarray(12));
  return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(plain));
}

function lastSegment(size) {
  return size <= FIRST ? 0 : Math.ceil((size - FIRST) / FULL);
}

/** The segments of a file as they are stored, the header before the first one. A connection that breaks
 *  is made again where it broke. */
async function* sealedSegments(url, length, signal) {
  let at = 0, failures = 0, filled = 0, segment = new Uint8Array(SEGMENT);
  while (at < length) {
    let reader;
    try {
      reader = (await get(url, at, signal)).body.getReader();
      for (let step = await reader.read(); !step.done; step = await reader.read()) {
        failures = 0;
        let rest = step.value;
        at += rest.length;
        if (at > length) throw new Refused("damaged");
        while (rest.length) {
          const part = rest.subarray(0, SEGMENT - filled);
          segment.set(part, filled);
          filled += part.length;
          rest = rest.subarray(part.length);
          if (filled === SEGMENT) {
            yield segment;
            filled = 0;
          }
        }
      }
      if (at < length) throw new TypeError("cut short");
    } catch (error) {
      if (signal.aborted || error instanceof Refused) throw error;
      if (++failures > ATTEMPTS) throw new Refused("offline");
      await new Promise(resolve => setTimeout(resolve, 500 * failures));
    } finally {
      reader?.cancel().catch(() => {});
    }
  }
  if (filled) yield segment.subarray(0, filled);
}

/** Decrypts a file into a sink. Each segment is authenticated, with its place in the file and whether it is the last. */
async function decryptInto(file, url, keys, sink, signal, progress) {
  const last = lastSegment(file.size);
  const length = HEADER + file.size + (last + 1) * TAG;
  const nonce = new Uint8Array(12), view = new DataView(nonce.buffer);
  let key, number = 0, done = 0;
  for await (const segment of sealedSegments(url, length, signal)) {
    if (number === 0) {
      if (segment[0] !== HEADER) throw new Refused("damaged");
      const info = new Uint8Array(4);
      new DataView(info.buffer).setUint32(0, file.number);
      key = await subtle.deriveKey({ name: "HKDF", hash: "SHA-256", salt: segment.slice(1, PREFIX), info },
        keys.content, { name: "AES-GCM", length: 256 }, false, ["decrypt"]);
      nonce.set(segment.subarray(PREFIX, HEADER));
    }
    view.setUint32(7, number);
    nonce[11] = number === last ? 1 : 0;
    const plain = await open(key, { iv: nonce }, number ? segment : segment.subarray(HEADER));
    await sink.write(plain);
    done += plain.length;
    progress(done);
    number += 1;
    signal.throwIfAborted();
  }
  if (done !== file.size || number !== last + 1) throw new Refused("damaged");
}

// ---- all files in one

/** Numbers of so many bytes, little-endian. */
function fields(...pairs) {
  return Uint8Array.from(pairs.flatMap(([bytes, value]) =>
    Array.from({ length: bytes }, (_, n) => Math.floor(value / 256 ** n) % 256)));
}

/** Writes a ZIP of files as they are (PKWARE's APPNOTE, 4.3). Browsers save one file a click, not several. */
async function zipInto(entries, keys, sink, signal, progress) {
  const now = new Date(), directory = [];
  const time = now.getHours() << 11 | now.getMinutes() << 5 | now.getSeconds() >> 1;
  const date = now.getFullYear() - 1980 << 9 | now.getMonth() + 1 << 5 | now.getDate();
  let at = 0, done = 0;
  const put = async bytes => {
    await sink.write(bytes);
    at += bytes.length;
  };
  for (const { file, name, url } of entries) {
    const encoded = new TextEncoder().encode(name);
    // Version 2.0; names are UTF-8; stored.
    const common = [[2, 20], [2, 0x800], [2, 0], [2, time], [2, date], [4, file.crc32], [4, file.size], [4, file.size],
      [2, encoded.length], [2, 0]];
    directory.push(fields([4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]), encoded);
    await put(fields([4, 0x04034b50], ...common));
    await put(encoded);
    await decryptInto(file, url, keys, sink, signal, part => progress(done + part));
    at += file.size;
    done += file.size;
  }
  const start = at, count = entries.length;
  for (const bytes of directory) await put(bytes);
  await put(fields([4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, at - start], [4, start], [2, 0]));
}

// ---- where it goes

// What is in clear in the private storage, by name: it goes when the page does. Who copies it at that moment has it open.
const inClear = new Map();
addEventListener("pagehide", () => {
  for (const [name, folder] of inClear) folder.removeEntry(name).catch(() => {});
});

/** This page's corner of the browser's private storage, without what pages left that had no time to; null where there is none. */
const storage = (async () => {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("unlocked", { create: true });
  if (!FileSystemFileHandle.prototype.createWritable) return null;
  for await (const [name, handle] of folder.entries()) {
    // A page holds the lock of its name until it is left.
    await navigator.locks.request(name.split(".")[0], { ifAvailable: true }, async lock => {
      const age = Date.now() - (await handle.getFile()).lastModified;
      if (lock && age > COPY_KEPT_MS) await folder.removeEntry(name);
    }).catch(() => {});
  }
  const name = crypto.randomUUID();
  navigator.locks.request(name, () => new Promise(() => {}));
  let count = 0;
  return { folder, fresh: () => `${name}.${++count}` };
})().catch(() => null);

/** Somewhere to write a file of this size: bytes become visible when all are there. */
async function openSink(size) {
  const disk = size > MEMORY_MAX && await storage;
  if (!disk) return memorySink(size);
  const name = disk.fresh();
  inClear.set(name, disk.folder);
  const handle = await disk.folder.getFileHandle(name, { create: true });
  const writable = await handle.createWritable();
  const remove = () => disk.folder.removeEntry(name).then(() => inClear.delete(name), () => {});
  const roomy = work => work.catch(error => {
    throw error.name === "QuotaExceededError" ? new Refused("noRoom") : error;
  });
  return {
    write: bytes => roomy(writable.write(bytes)),
    finish: async () => {
      await roomy(writable.close());
      return handle.getFile();
    },
    abandon: () => writable.abort().catch(() => {}).then(remove),
    remove,
  };
}

function memorySink(size) {
  if (size > MEMORY_MAX) throw new Refused("tooLarge");
  const blobs = [];
  let parts = [], bytesHeld = 0;
  const put = () => {
    blobs.push(new Blob(parts));
    parts = [];
    bytesHeld = 0;
  };
  return {
    write: bytes => {
      parts.push(bytes);
      bytesHeld += bytes.length;
      if (bytesHeld >= BLOB_BYTES) put();
    },
    finish: () => {
      put();
      return new Blob(blobs);
    },
    abandon: () => { blobs.length = parts.length = 0; },
    remove: () => {},
  };
}

/** Gives a file to the reader. Its type is such that no browser shows it in place of saving it. */
function handOver(blob, name, remove) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob.slice(0, blob.size, "application/octet-stream"));
  link.download = name;
  link.click();
  setTimeout(() => {
    URL.revokeObjectURL(link.href);
    remove();
  }, COPY_KEPT_MS);
}

// ---- names: the rules of crates/mailsplice/src/names.rs

const INVISIBLE = new RegExp("[\\p{Cc}\\p{Cf}\\p{Noncharacter_Code_Point}\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f"
  + "\\u2065\\u3164\\uffa0\\ufff0-\\ufff8\\u{e0000}-\\u{e0fff}]", "gu");
const DEVICE = /^(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9¹²³])$/i;

function clean(name) {
  const visible = name.replace(/[\p{White_Space}\u2800]/gu, " ").replace(INVISIBLE, "").normalize("NFC");
  return visible.replace(/^[ /\\]+|[ /\\]+$/g, "").split(/[/\\]/).pop().split(" ").filter(Boolean).join(" ");
}

function displayName(name) {
  const chars = Array.from(clean(name));
  if (chars.every(char => char === ".")) return "attachment";
  if (chars.length <= 120) return chars.join("");
  return `${chars.slice(0, 79).join("").trimEnd()}…${chars.slice(-40).join("").trimStart()}`;
}

function fileName(name) {
  let safe = clean(name).replace(/[<>:"|?*]/g, "_").replace(/^[. -]+/, "").replace(/[. ]+$/, "") || "attachment";
  if (DEVICE.test(safe.split(".")[0].trimEnd())) safe = `_${safe}`;
  const bytes = text => new TextEncoder().encode(text).length;
  const dot = safe.lastIndexOf(".");
  const extension = dot > 0 && bytes(safe.slice(dot + 1)) <= 32 ? safe.slice(dot) : "";
  const stem = Array.from(safe.slice(0, safe.length - extension.length));
  if (bytes(stem.join("")) <= 200 - extension.length) return safe;
  while (bytes(stem.join("")) > 200 - bytes(extension)) stem.pop();
  return stem.join("").replace(/[. ]+$/, "") + extension;
}

/** Names that differ in more than their case: `a.pdf`, `a (2).pdf`. */
function uniqueNames(names) {
  const taken = new Set();
  return names.map(name => {
    let free = name;
    for (let n = 2; taken.has(free.toLowerCase()); n += 1) free = name.replace(/(\.[^.]*)?$/, ` (${n})$1`);
    taken.add(free.toLowerCase());
    return free;
  });
}

// ---- the page

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
  element.hidden = !text;
}

function explain(error) {
  if (error.name === "AbortError") return words.cancelled;
  if (!(error instanceof Refused)) console.error(error);
  return words[error.word] ?? words.failed;
}

/** Lets what `fill` writes be saved under a name by the buttons of a box, with progress up to a size. */
function offer(box, size, name, fill) {
  const [save, cancel, bar, step] = [".save", ".cancel", "progress", ".step"].map(part => box.querySelector(part));
  bar.setAttribute("aria-label", displayName(name));
  // A name that is its own button stays where it is.
  const busy = save.closest(".name") ? "disabled" : "hidden";
  save.onclick = async () => {
    const control = new AbortController();
    cancel.onclick = () => control.abort();
    save[busy] = true;
    bar.hidden = cancel.hidden = false;
    cancel.focus();
    const progress = done => {
      bar.value = size ? done / size : 1;
      // Said in tenths: a screen reader reads each change.
      say(step, words.progress.replace("{percent}", Math.floor(bar.value * 10) * 10));
    };
    progress(0);
    running += 1;
    let sink;
    try {
      sink = await openSink(size);
      await fill(sink, control.signal, progress);
      handOver(await sink.finish(), name, sink.remove);
      say(step, words.saved);
    } catch (error) {
      await sink?.abandon();
      say(step, explain(error));
    }
    running -= 1;
    const refocus = document.activeElement === cancel;
    save[busy] = false;
    if (refocus) save.focus();
    bar.hidden = cancel.hidden = true;
  };
}

/** Names fit to be shown: those that look alike are told apart as their files are. */
function displayNames(files, names) {
  const shown = files.map(file => displayName(file.name)), counts = new Map();
  for (const name of shown) counts.set(name, (counts.get(name) ?? 0) + 1);
  return shown.map((name, n) => counts.get(name) === 1 ? name : displayName(names[n]));
}

/** Shows a file in its row, and its fingerprint there or in the list of all. */
function fillRow(row, print, file, name) {
  const extension = /.\.([a-z0-9]+)$/i.exec(name)?.[1].toLowerCase() ?? "";
  for (const place of [row, print]) {
    for (const element of place?.querySelectorAll("bdi") ?? []) element.textContent = name;
    for (const element of place?.querySelectorAll("code") ?? []) element.textContent = file.sha256;
  }
  row.querySelector(".letters").textContent = extension.length <= 4 ? extension.toUpperCase() : "";
  if (page.dataset.programs.split(" ").includes(extension)) {
    row.querySelector(".icon").classList.add("program");
    row.querySelector(".caution").hidden = false;
  }
}

let running = 0;
addEventListener("beforeunload", event => { if (running) event.preventDefault(); });
addEventListener("hashchange", () => location.reload());

async function start() {
  say(state, words.working);
  if (!globalThis.isSecureContext) throw new Refused("insecure");
  if (!subtle || !globalThis.ReadableStream || !AbortSignal.prototype.throwIfAborted) throw new Refused("old");
  const token = findToken(page.dataset.id);
  if (!token) throw new Refused("noKey");
  const keys = await deriveKeys(token, page.dataset.id);
  keepToken(token, page.dataset.id);
  const files = await fetchManifest(keys);
  const rows = [...page.querySelectorAll(".files > li")], prints = page.querySelectorAll(".prints li");
  // Of many files a page shows some: these are before them, and so many there are.
  const before = Number(page.dataset.before ?? 0), count = Number(page.dataset.count ?? rows.length);
  const shown = files.slice(before, before + rows.length);
  const agree = files.length === count && rows.length === shown.length
    && rows.every((row, n) => Number(row.dataset.bytes) === shown[n].size);
  if (!agree) throw new Refused("damaged");
  const names = uniqueNames(files.map(file => fileName(file.name))), displayed = displayNames(files, names);
  rows.forEach((row, n) => {
    const file = shown[n];
    fillRow(row, prints[n], file, displayed[before + n]);
    offer(row, file.size, names[before + n], (...into) => decryptInto(file, row.dataset.href, keys, ...into));
  });
  const all = page.querySelector(".all"), total = files.reduce((sum, file) => sum + file.size, 0);
  if (total > ZIP_MAX) all?.remove();
  else if (all) {
    const url = n => page.dataset.manifest.replace(/manifest$/, n + 1);
    const entries = files.map((file, n) => ({ file, name: names[n], url: url(n) }));
    offer(all, total, all.dataset.name, (...into) => zipInto(entries, keys, ...into));
  }
  for (const element of page.querySelectorAll(".locked")) element.hidden = false;
  say(state, "");
}

start().catch(error => say(state, explain(error)));
