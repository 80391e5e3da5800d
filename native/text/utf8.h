// UTF-8, one character at a time.
#pragma once

#include <cstdint>
#include <string>

namespace kexa {

struct Character {
  uint32_t code;
  uint32_t bytes;
};

// The code of a byte that begins no well-formed character.
constexpr uint32_t kMalformed = ~0u;

// The character at `at`, which is before the text's `end`.
inline Character character_at(const uint8_t* at, const uint8_t* end) {
  const uint32_t first = *at;
  const auto follows = [&](int i) { return (at[i] & 0xc0) == 0x80; };
  if (first < 0x80) return {first, 1};
  if (first < 0xe0) {
    if (first >= 0xc2 && end - at >= 2 && follows(1)) return {(first & 31) << 6 | (at[1] & 63u), 2};
  } else if (first < 0xf0) {
    if (end - at >= 3 && follows(1) && follows(2)) {
      const uint32_t code = (first & 15) << 12 | (at[1] & 63u) << 6 | (at[2] & 63u);
      if (code >= 0x800 && (code < 0xd800 || code > 0xdfff)) return {code, 3};
    }
  } else if (first < 0xf5 && end - at >= 4 && follows(1) && follows(2) && follows(3)) {
    const uint32_t code = (first & 7) << 18 | (at[1] & 63u) << 12 | (at[2] & 63u) << 6 | (at[3] & 63u);
    if (code >= 0x10000 && code < 0x110000) return {code, 4};
  }
  return {kMalformed, 1};
}

inline void append_character(std::string& to, uint32_t code) {
  if (code < 0x80) {
    to += char(code);
  } else if (code < 0x800) {
    to += char(0xc0 | code >> 6);
    to += char(0x80 | (code & 63));
  } else if (code < 0x10000) {
    to += char(0xe0 | code >> 12);
    to += char(0x80 | (code >> 6 & 63));
    to += char(0x80 | (code & 63));
  } else {
    to += char(0xf0 | code >> 18);
    to += char(0x80 | (code >> 12 & 63));
    to += char(0x80 | (code >> 6 & 63));
    to += char(0x80 | (code & 63));
  }
}

}  // namespace kexa
