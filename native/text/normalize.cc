#include "text/normalize.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "text/unicode_tables.h"
#include "text/utf8.h"

namespace kexa {
namespace {

using namespace unicode;

constexpr uint8_t kPlaceBits = 63;
// Characters below U+0300 have no properties, and most texts hold no others.
constexpr uint8_t kFirstLeadByte = 0xcc;  // the lead byte of U+0300

constexpr uint32_t kFirstSyllable = 0xac00, kFirstLead = 0x1100, kFirstVowel = 0x1161, kBeforeFinals = 0x11a7;
constexpr uint32_t kLeads = 19, kVowels = 21, kFinals = 28, kSyllables = kLeads * kVowels * kFinals;

uint8_t properties_of(uint32_t code) {
  if (code >= 0x110000) return 0;
  return kNormalBlocks[kNormalIndex[code >> 7] * 128 + (code & 127)];
}

void append_decomposed(uint32_t code, bool is_compatible, std::vector<uint32_t>& to) {
  if (code - kFirstSyllable < kSyllables) {
    const uint32_t syllable = code - kFirstSyllable;
    to.push_back(kFirstLead + syllable / (kVowels * kFinals));
    to.push_back(kFirstVowel + syllable % (kVowels * kFinals) / kFinals);
    if (syllable % kFinals != 0) to.push_back(kBeforeFinals + syllable % kFinals);
    return;
  }
  const auto* begin = std::begin(kDecompositions);
  const auto* end = std::end(kDecompositions);
  const auto* found = std::lower_bound(begin, end, code << 6);
  if (found != end && *found >> 6 == code) {
    // The canonical entry comes first for a character that has both.
    if (is_compatible && found + 1 != end && found[1] >> 6 == code) ++found;
    if (is_compatible || (*found & 32) == 0) {
      const uint16_t* unit = kDecompositionUnits + kDecompositionStarts[found - begin];
      const uint16_t* last = unit + (*found & 31);
      while (unit < last) {
        uint32_t part = *unit++;
        if ((part & 0xfc00) == 0xd800) part = 0x10000 + ((part & 0x3ff) << 10) + (*unit++ & 0x3ff);
        to.push_back(part);
      }
      return;
    }
  }
  to.push_back(code);
}

// The character that the two compose to. 0 if they do not compose.
uint32_t composed(uint32_t first, uint32_t second) {
  if (first - kFirstLead < kLeads && second - kFirstVowel < kVowels)
    return kFirstSyllable + ((first - kFirstLead) * kVowels + second - kFirstVowel) * kFinals;
  if (first - kFirstSyllable < kSyllables && (first - kFirstSyllable) % kFinals == 0 &&
      second - kBeforeFinals - 1 < kFinals - 1)
    return first + second - kBeforeFinals;
  size_t low = 0, high = std::size(kCompositions) / 3;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    const uint32_t* at = kCompositions + middle * 3;
    if (at[0] == first && at[1] == second) return at[2];
    if (at[0] < first || (at[0] == first && at[1] < second))
      low = middle + 1;
    else
      high = middle;
  }
  return 0;
}

class Normalizer {
 public:
  Normalizer(NormalForm form, Watch& watch) : is_compatible_(form == NormalForm::kNfkc), watch_(watch) {}

  bool is_quick(uint32_t code) const { return (properties_of(code) & (is_compatible_ ? 128 : 64)) == 0; }

  // Appends the normal form of a whole sequence, which no character before or after it can change.
  void append(const uint8_t* from, const uint8_t* to, std::string& out) {
    parts_.clear();
    parts_.reserve(size_t(to - from) / 2);  // a mark has at least two bytes
    while (from < to) {
      watch_.tick();
      const Character next = character_at(from, to);
      if (next.code == kMalformed)
        parts_.push_back(kMalformed - 255 + *from);  // a malformed byte stays as it is
      else
        append_decomposed(next.code, is_compatible_, parts_);
      from += next.bytes;
    }
    order_marks();
    compose();
    for (const uint32_t part : parts_) {
      watch_.tick();
      if (part > kMalformed - 256)
        out += char(part - (kMalformed - 255));
      else
        append_character(out, part);
    }
  }

 private:
  static uint8_t place_of(uint32_t code) { return properties_of(code) & kPlaceBits; }

  // Sorts each run of marks by class and keeps the order within a class. A counting sort, because a run may be long.
  void order_marks() {
    for (size_t i = 0; i < parts_.size();) {
      watch_.tick();
      if (place_of(parts_[i]) == 0) {
        ++i;
        continue;
      }
      size_t end = i;
      size_t starts[kPlaceBits + 2] = {};
      bool is_ordered = true;
      for (uint8_t last = 0; end < parts_.size(); ++end) {
        watch_.tick();
        const uint8_t place = place_of(parts_[end]);
        if (place == 0) break;
        is_ordered = is_ordered && place >= last;
        last = place;
        ++starts[place + 1];
      }
      if (!is_ordered) {
        for (int place = 1; place <= kPlaceBits; ++place) starts[place + 1] += starts[place];
        // Copies one by one, so that a long run ticks the watch too.
        marks_.resize(end - i);
        for (size_t k = i; k < end; ++k) {
          watch_.tick();
          marks_[starts[place_of(parts_[k])]++] = parts_[k];
        }
        for (size_t k = i; k < end; ++k) {
          watch_.tick();
          parts_[k] = marks_[k - i];
        }
      }
      i = end;
    }
  }

  void compose() {
    constexpr size_t kNowhere = ~size_t{0};
    size_t starter = kNowhere, kept = 0;
    uint8_t last = 0;  // the class of the previous mark, if that mark stayed after its starter
    for (size_t i = 0; i < parts_.size(); ++i) {
      watch_.tick();
      const uint32_t part = parts_[i];
      const uint8_t place = place_of(part);
      // A mark of the same class in between, or any mark before a starter, keeps this character from reaching the
      // starter.
      if (starter != kNowhere && (kept == starter + 1 || (last < place && last != 0))) {
        if (const uint32_t whole = composed(parts_[starter], part); whole != 0) {
          parts_[starter] = whole;
          continue;
        }
      }
      if (place == 0) starter = kept;
      last = place;
      parts_[kept++] = part;
    }
    parts_.resize(kept);
  }

  bool is_compatible_;
  Watch& watch_;
  std::vector<uint32_t> parts_, marks_;
};

}  // namespace

std::string_view normalize(std::string_view text, NormalForm form, std::string& buffer, std::span<uint32_t> marks,
                           Watch& watch) {
  if (form == NormalForm::kNone) return text;
  const auto* begin = reinterpret_cast<const uint8_t*>(text.data());
  const auto* end = begin + text.size();
  Normalizer normalizer(form, watch);
  const bool has_quick_bytes = form == NormalForm::kNfc;
  const uint8_t* copied = begin;    // the text before it is in the buffer already
  const uint8_t* sequence = begin;  // where the sequence of the previous character begins
  size_t mark = 0;
  bool is_changed = false;
  const auto place_marks = [&](const uint8_t* before, size_t place) {
    for (; mark < marks.size() && begin + marks[mark] < before; ++mark) marks[mark] = uint32_t(place);
  };
  for (const uint8_t* at = begin; at < end;) {
    watch.tick();
    if (has_quick_bytes && *at < kFirstLeadByte) {
      sequence = at;
      at += *at < 0x80 ? 1 : std::min<ptrdiff_t>(2, end - at);
      continue;
    }
    const Character next = character_at(at, end);
    if (normalizer.is_quick(next.code)) {
      sequence = at;
      at += next.bytes;
      continue;
    }
    const uint8_t* after = at + next.bytes;
    while (after < end) {
      watch.tick();
      const Character more = character_at(after, end);
      if (normalizer.is_quick(more.code)) break;
      after += more.bytes;
    }
    if (!is_changed) {
      is_changed = true;
      buffer.clear();
      buffer.reserve(text.size());
    }
    // Marks before the sequence move with the text that is copied.
    for (; mark < marks.size() && begin + marks[mark] <= sequence; ++mark)
      marks[mark] = uint32_t(buffer.size() + size_t(begin + marks[mark] - copied));
    buffer.append(reinterpret_cast<const char*>(copied), size_t(sequence - copied));
    place_marks(after, buffer.size());
    normalizer.append(sequence, after, buffer);
    copied = sequence = at = after;
  }
  if (!is_changed) return text;
  for (; mark < marks.size(); ++mark) marks[mark] = uint32_t(buffer.size() + size_t(begin + marks[mark] - copied));
  buffer.append(reinterpret_cast<const char*>(copied), size_t(end - copied));
  return buffer;
}

}  // namespace kexa
