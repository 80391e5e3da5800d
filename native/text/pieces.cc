#include "text/pieces.h"

#include "text/unicode_tables.h"
#include "text/utf8.h"

namespace kexa {
namespace {

using namespace unicode;

enum Class : uint8_t { kOther, kLetter, kNumber, kMark, kSpace };

struct Classed {
  uint32_t bytes;
  Class of;
};

Classed classed_at(const uint8_t* at, const uint8_t* end) {
  if (*at < 0x80) return {1, Class(kClassBlocks[kClassIndex[0] * 128 + *at])};
  const Character next = character_at(at, end);
  if (next.code == kMalformed) return {1, kOther};
  return {next.bytes, Class(kClassBlocks[kClassIndex[next.code >> 7] * 128 + (next.code & 127)])};
}

bool is_line_end(uint8_t byte) { return byte == '\r' || byte == '\n'; }

// Matches \s*[\r\n]|\s+(?!\S)|\s+ at a space; without the first alternative if `ends_at_line` is false. If
// `kNumbersPart` is true, a number counts as the end of the text.
template <bool kNumbersPart>
const uint8_t* spaces_end(const uint8_t* at, const uint8_t* end, bool ends_at_line, Watch& watch) {
  const uint8_t *to = at, *last = at, *line = nullptr;
  while (to < end) {
    watch.tick();
    const Classed next = classed_at(to, end);
    if (kNumbersPart && next.of == kNumber) return to;
    if (next.of != kSpace) break;
    last = to;
    if (is_line_end(*to)) line = to + 1;
    to += next.bytes;
  }
  if (ends_at_line && line != nullptr) return line;
  return to == end || last == at ? to : last;
}

// Whether 're, 've or 'll follows, without its apostrophe.
bool is_long_contraction(uint8_t a, uint8_t b) {
  return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
}
bool is_short_contraction(uint8_t a) { return a == 's' || a == 't' || a == 'm' || a == 'd'; }

const uint8_t* moe_end(const uint8_t* at, const uint8_t* end, Watch& watch) {
  if (*at == '\'' && at + 1 < end) {
    const bool has_two = at + 2 < end;
    if (at[1] < 0x80) {
      const uint8_t a = at[1] | 32;
      if (is_short_contraction(a)) return at + 2;
      if (has_two && at[2] < 0x80 && is_long_contraction(a, at[2] | 32)) return at + 3;
    } else if (has_two && at[1] == 0xc5 && at[2] == 0xbf) {
      return at + 3;  // U+017F folds to s. No other such character folds to one of these letters.
    }
  }
  const Classed first = classed_at(at, end);
  if (first.of == kNumber) return at + first.bytes;
  const uint8_t* to = at;
  if (first.of != kLetter && !is_line_end(*at)) to += first.bytes;
  if (to < end && classed_at(to, end).of == kLetter) {
    // At a letter: takes it and its marks, then the next letter, with at most one U+0020 in between.
    for (;;) {
      to += classed_at(to, end).bytes;
      Classed next{0, kOther};
      while (to < end && (next = classed_at(to, end)).of == kMark) {
        watch.tick();
        to += next.bytes;
      }
      watch.tick();
      if (to >= end) return to;
      if (next.of == kLetter) continue;
      if (*to != ' ' || to + 1 >= end || classed_at(to + 1, end).of != kLetter) return to;
      ++to;
    }
  }
  to = at + (*at == ' ');
  const uint8_t* from = to;
  while (to < end) {
    watch.tick();
    const Classed next = classed_at(to, end);
    if (next.of != kOther && next.of != kMark) break;
    to += next.bytes;
  }
  if (to > from) return to < end && is_line_end(*to) ? to + 1 : to;  // a slash would be among the characters taken
  return spaces_end<false>(at, end, true, watch);
}

template <bool kNumbersPart>
const uint8_t* gpt2_end(const uint8_t* at, const uint8_t* end, Watch& watch) {
  if (*at == '\'' && at + 1 < end) {
    if (is_short_contraction(at[1])) return at + 2;
    if (at + 2 < end && is_long_contraction(at[1], at[2])) return at + 3;
  }
  const auto class_at = [&](const uint8_t* from) {
    const Classed next = classed_at(from, end);
    return next.of == kMark ? Classed{next.bytes, kOther} : next;
  };
  const uint8_t* to = at + (*at == ' ');
  if (to < end) {
    const Class first = class_at(to).of;
    if (kNumbersPart && first == kNumber) return to == at ? to + class_at(to).bytes : to;
    if (first != kSpace) {
      while (to < end) {
        watch.tick();
        const Classed next = class_at(to);
        if (next.of != first) break;
        to += next.bytes;
      }
      return to;
    }
  }
  return spaces_end<kNumbersPart>(at, end, false, watch);
}

}  // namespace

const uint8_t* piece_end(SplitPattern pattern, const uint8_t* at, const uint8_t* end, Watch& watch) {
  switch (pattern) {
    case SplitPattern::kExaoneMoe:
      return moe_end(at, end, watch);
    case SplitPattern::kGpt2:
      return gpt2_end<false>(at, end, watch);
    case SplitPattern::kExaone:
      return gpt2_end<true>(at, end, watch);
    default:
      return end;
  }
}

}  // namespace kexa
