// Writes native/text/unicode_tables.h: the character classes and normalisation of npm `tokenizers`, which models were
// trained with. The library's Unicode is older than Node's and differs from it in places, so the library itself is
// asked. Takes some minutes; run it when `tokenizers` has been updated and test/text/bpe finds a difference.
//
//   node tools/make-unicode-tables.mjs
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nfcNormalizer, nfdNormalizer, nfkcNormalizer, nfkdNormalizer, Tokenizer } from 'tokenizers';
import { root } from './setup.mjs';

const end = 0x110000;
const isSurrogate = (c) => c >= 0xd800 && c <= 0xdfff;
const isHangul = (c) => c >= 0xac00 && c <= 0xd7a3;
const text = String.fromCodePoint;
const points = (string) => Array.from(string, (character) => character.codePointAt(0));

/** A tokenizer of single bytes that deletes the matches of `regex`. */
function deleter(regex) {
  const characters = [];
  for (let byte = 0, next = 256; byte < 256; byte++) {
    const prints = (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
    characters.push(text(prints ? byte : next++));
  }
  const split = { type: 'Split', pattern: { Regex: regex }, behavior: 'Removed', invert: false };
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  return Tokenizer.fromString(
    JSON.stringify({
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: 'Sequence', pretokenizers: [split, byteLevel] },
      post_processor: null,
      decoder: null,
      model: { type: 'BPE', vocab: Object.fromEntries(characters.map((c, byte) => [c, byte])), merges: [] },
    }),
  );
}

async function classes() {
  const parts = [];
  for (let c = 0; c < end; c++) if (!isSurrogate(c)) parts.push(text(c));
  const all = parts.join('');
  const found = new Uint8Array(end);
  for (const [i, regex] of ['\\p{L}', '\\p{N}', '\\p{M}', '\\s'].entries()) {
    const ids = (await deleter(regex).encode(all, null, { addSpecialTokens: false })).getIds();
    const kept = new Uint8Array(end);
    for (const c of points(Buffer.from(ids).toString('utf8'))) kept[c] = 1;
    let count = 0;
    for (let c = 0; c < end; c++) {
      if (isSurrogate(c) || kept[c]) continue;
      if (found[c]) throw new Error(`U+${c.toString(16)} is of two classes`);
      found[c] = i + 1;
      count++;
    }
    console.log(`${regex}: ${count}`);
  }
  return found;
}

/** For each mark the place of its class among all combining classes, from 1. 0 is no mark. Only the order matters. */
function markOrder(nfd) {
  // U+0334 is of the lowest class, U+0315 of a high one: a mark changes places with one or the other.
  const moves = (a, b) => nfd(`q${text(a)}${text(b)}`) === nfd(`q${text(b)}`) + nfd(text(a));
  const isMark = (c) => moves(0x315, c) || moves(c, 0x334);
  const known = []; // one mark of each class, in order
  const order = new Map();
  const marks = [0x334, 0x315];
  for (let c = 0x300; c < end; c++) {
    if (isSurrogate(c) || c === 0x334 || c === 0x315 || nfd(text(c)) !== text(c)) continue;
    if (isMark(c)) marks.push(c);
  }
  const compare = (a, b) => (moves(a, b) ? 1 : moves(b, a) ? -1 : 0);
  const members = [];
  for (const mark of marks) {
    let place = 0;
    while (place < known.length && compare(known[place], mark) < 0) place++;
    if (place < known.length && compare(known[place], mark) === 0) members[place].push(mark);
    else {
      known.splice(place, 0, mark);
      members.splice(place, 0, [mark]);
    }
  }
  for (const [place, list] of members.entries()) for (const mark of list) order.set(mark, place + 1);
  console.log(`${marks.length} marks of ${known.length} combining classes`);
  if (known.length > 63) throw new Error('more combining classes than there are bits for');
  return order;
}

function normalisation() {
  const by = (normalizer) => (string) => normalizer.normalizeString(string);
  const [nfc, nfd, nfkc, nfkd] = [nfcNormalizer(), nfdNormalizer(), nfkcNormalizer(), nfkdNormalizer()].map(by);
  const order = markOrder(nfd);
  const properties = new Uint8Array(end);
  const decompositions = []; // [code point, is compatible only, code points]
  const compositions = []; // [first, second, composite]
  for (const [mark, place] of order) properties[mark] = place;
  const seconds = new Set();
  for (let c = 0x80; c < end; c++) {
    if (isSurrogate(c) || isHangul(c)) continue;
    const character = text(c);
    const canonical = nfd(character);
    const compatible = nfkd(character);
    if (canonical !== character) decompositions.push([c, 0, points(canonical)]);
    if (compatible !== canonical) decompositions.push([c, 1, points(compatible)]);
    if (nfc(character) !== character) properties[c] |= 64;
    if (nfkc(character) !== character) properties[c] |= 128;
    if (canonical === character || nfc(character) !== character) continue;
    const parts = points(canonical);
    const second = parts.at(-1);
    const first = points(nfc(text(...parts.slice(0, -1))));
    if (first.length !== 1 || nfc(text(first[0], second)) !== character)
      throw new Error(`U+${c.toString(16)} is not the composition of two characters`);
    compositions.push([first[0], second, c]);
    seconds.add(second);
  }
  // Characters that may change the one before: marks, the second parts of compositions, and Hangul's vowels and finals.
  for (const mark of order.keys()) properties[mark] |= 192;
  for (const second of seconds) properties[second] |= 192;
  for (let c = 0x1161; c <= 0x1175; c++) properties[c] |= 192;
  for (let c = 0x11a8; c <= 0x11c2; c++) properties[c] |= 192;
  compositions.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  return { properties, decompositions, compositions };
}

/** Makes two tables: the distinct blocks of 128 characters, and the index of the block of each 128 characters. */
function blocksOf(values) {
  const places = new Map();
  const index = [];
  const blocks = [];
  for (let from = 0; from < values.length; from += 128) {
    const block = values.subarray(from, from + 128);
    const key = block.join();
    if (!places.has(key)) {
      places.set(key, places.size);
      blocks.push(...block);
    }
    index.push(places.get(key));
  }
  if (places.size > 256) throw new Error(`${places.size} blocks, more than a byte can tell`);
  return { index, blocks };
}

const lines = (type, name, values) => {
  const rows = [];
  for (let i = 0; i < values.length; i += 4096) rows.push(values.slice(i, i + 4096).join());
  return `inline constexpr ${type} ${name}[${values.length}] = {\n${rows.join(',\n')}};\n`;
};

const { properties, decompositions, compositions } = normalisation();
const normal = blocksOf(properties);
const classTables = blocksOf(await classes());
// UTF-16 takes half the room of four bytes a character.
const units = [];
const places = decompositions.map(([c, isCompatible, parts]) => {
  const string = text(...parts);
  const at = units.length;
  for (let i = 0; i < string.length; i++) units.push(string.charCodeAt(i));
  if (string.length > 31 || at > 0xffff) throw new Error('a decomposition is too long for its place');
  return [((c << 6) | (isCompatible << 5) | string.length) >>> 0, at];
});
writeFileSync(
  join(root, 'native/text/unicode_tables.h'),
  `// Made by tools/make-unicode-tables.mjs. Not to be edited.
#pragma once

#include <cstdint>

// clang-format off
namespace kexa::unicode {

// 0 other, 1 \\p{L}, 2 \\p{N}, 3 \\p{M}, 4 \\s
${lines('uint8_t', 'kClassIndex', classTables.index)}${lines('uint8_t', 'kClassBlocks', classTables.blocks)}
// Bits 0 to 5: the place among combining classes, 0 for none; bit 6: may change under NFC, by itself or with what is
// before it; bit 7: the same under NFKC.
${lines('uint8_t', 'kNormalIndex', normal.index)}${lines('uint8_t', 'kNormalBlocks', normal.blocks)}
// (code point << 6 | is for NFKC only << 5 | units), ascending; where its UTF-16 units begin. Hangul is computed.
${lines(
  'uint32_t',
  'kDecompositions',
  places.map(([key]) => key),
)}${lines(
  'uint16_t',
  'kDecompositionStarts',
  places.map(([, at]) => at),
)}${lines('uint16_t', 'kDecompositionUnits', units)}
// (first, second, composite), ascending.
${lines('uint32_t', 'kCompositions', compositions.flat())}
}  // namespace kexa::unicode
`,
);
console.log(`${decompositions.length} decompositions of ${units.length} units, ${compositions.length} compositions`);
