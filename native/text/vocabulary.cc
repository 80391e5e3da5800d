#include "text/vocabulary.h"

#include <algorithm>
#include <bit>
#include <cstdio>

#include "text/utf8.h"

namespace kexa {
namespace {

// GPT-2's alphabet: a byte that prints in Latin-1 stands for itself; the others follow in order from U+0100 on.
struct ByteAlphabet {
  int16_t byte_of[0x144];

  constexpr ByteAlphabet() : byte_of() {
    for (int16_t& byte : byte_of) byte = -1;
    int next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool prints = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
      byte_of[prints ? byte : next++] = int16_t(byte);
    }
  }
};
constexpr ByteAlphabet kAlphabet;

// Writes the bytes that a name stands for. Returns false if a character of it is not in the alphabet.
bool to_bytes(std::string_view name, std::string& bytes) {
  bytes.clear();
  const auto* at = reinterpret_cast<const uint8_t*>(name.data());
  const auto* end = at + name.size();
  while (at < end) {
    const Character next = character_at(at, end);
    if (next.code >= std::size(kAlphabet.byte_of) || kAlphabet.byte_of[next.code] < 0) return false;
    bytes += char(kAlphabet.byte_of[next.code]);
    at += next.bytes;
  }
  return true;
}

// A text of the file for an error message: short, and without characters that a terminal would obey.
std::string shown(std::string_view text) {
  std::string quoted = "\"";
  for (const char character : text.substr(0, 60)) {
    if (uint8_t(character) >= 0x20 && character != 0x7f && character != '"' && character != '\\') {
      quoted += character;
    } else {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", unsigned(uint8_t(character)));
      quoted += escape;
    }
  }
  return quoted + (text.size() > 60 ? "...\"" : "\"");
}

[[noreturn]] void bad(const VocabularySource& source, const std::string& where, const std::string& message) {
  throw Error("KEXA_BAD_TOKENIZER", source.file + ": " + where + ": " + message);
}

uint64_t hash_of(std::string_view bytes) {
  uint64_t hash = bytes.size() * 0x9e3779b97f4a7c15ull;
  for (const char byte : bytes) hash = (hash ^ uint8_t(byte)) * 0x100000001b3ull;
  return hash ^ hash >> 29;
}

}  // namespace

Vocabulary::Vocabulary(const VocabularySource& source, Watch& watch) : form_(source.form), pattern_(source.pattern) {
  take_tokens(source, watch);
  take_merges(source, watch);
  take_added(source, watch);
}

size_t Vocabulary::name_place(std::string_view bytes, Spelling spelling) const {
  const size_t mask = names_.size() - 1;
  for (size_t i = hash_of(bytes) & mask;; i = (i + 1) & mask) {
    const uint32_t entry = names_[i];
    if (entry == 0 || (spellings_[entry - 1] == spelling && token(entry - 1) == bytes)) return i;
  }
}

int32_t Vocabulary::id_of(std::string_view name) const {
  std::string bytes;
  const bool is_bytes = to_bytes(name, bytes);
  const size_t place = is_bytes ? name_place(bytes, Spelling::kBytes) : name_place(name, Spelling::kText);
  return int32_t(names_[place]) - 1;
}

void Vocabulary::append_token(uint32_t id, std::string_view bytes, Spelling spelling) {
  while (spellings_.size() < id) {
    spellings_.push_back(Spelling::kNone);
    starts_.push_back(uint32_t(bytes_.size()));
  }
  bytes_ += bytes;
  spellings_.push_back(spelling);
  starts_.push_back(uint32_t(bytes_.size()));
}

void Vocabulary::take_tokens(const VocabularySource& source, Watch& watch) {
  const std::string& field = source.tokens_field;
  uint32_t top = 0;
  for (const uint32_t id : source.ids) {
    if (id == VocabularySource::kUnused) continue;
    if (id > kMostId)
      bad(source, field, "wanted ids up to " + std::to_string(kMostId) + ", found " + std::to_string(id));
    top = std::max(top, id);
  }
  if (source.names.size() == 0) bad(source, field, "wanted tokens, found none");
  std::vector<uint32_t> name_of(size_t(top) + 1, ~0u);
  for (size_t i = 0; i < source.names.size(); ++i) {
    watch.tick();
    if (source.ids[i] == VocabularySource::kUnused) continue;
    uint32_t& name = name_of[source.ids[i]];
    if (name != ~0u)
      bad(source, field,
          shown(source.names[name]) + " and " + shown(source.names[i]) + " both have id " +
              std::to_string(source.ids[i]));
    name = uint32_t(i);
  }
  bytes_.reserve(source.names.bytes.size());
  // Leaves room for added tokens. The table is never more than half full.
  names_.assign(std::bit_ceil((source.names.size() + source.added.size()) * 2 + 16), 0);
  std::fill(std::begin(byte_ids_), std::end(byte_ids_), ~0u);
  std::string scratch;
  for (uint32_t id = 0; id <= top; ++id) {
    watch.tick();
    if (name_of[id] == ~0u) continue;
    const std::string_view name = source.names[name_of[id]];
    const bool is_bytes = to_bytes(name, scratch);
    const Spelling spelling = is_bytes ? Spelling::kBytes : Spelling::kText;
    const std::string_view bytes = is_bytes ? std::string_view(scratch) : name;
    const size_t place = name_place(bytes, spelling);
    if (names_[place] != 0)
      bad(source, field, shown(name) + " is both " + std::to_string(names_[place] - 1) + " and " + std::to_string(id));
    append_token(id, bytes, spelling);
    names_[place] = id + 1;
    if (is_bytes && bytes.size() == 1) byte_ids_[uint8_t(bytes[0])] = id;
  }
  for (int byte = 0; byte < 256; ++byte)
    if (byte_ids_[byte] == ~0u)
      bad(source, field, "wanted a token for every byte, found none for " + std::to_string(byte));
}

void Vocabulary::take_merges(const VocabularySource& source, Watch& watch) {
  const size_t count = source.has_joined_merges ? source.merges.size() : source.merges.size() / 2;
  if (count >= kNoRank)
    bad(source, source.merges_field,
        "wanted fewer than " + std::to_string(kNoRank) + ", found " + std::to_string(count));
  merged_.resize(count);
  pairs_.assign(std::bit_ceil(count * 2 + 16), kEmptyPair);
  pairs_shift_ = 64 - std::countr_zero(pairs_.size());
  byte_ranks_.assign(65536, kNoRank);
  std::string scratch, joined;  // both are scratch for one merge
  for (uint32_t rank = 0; rank < count; ++rank) {
    watch.tick();
    const auto fail = [&](const std::string& message) {
      bad(source, source.merges_field + "[" + std::to_string(rank) + "]", message);
    };
    std::string_view left, right;
    if (source.has_joined_merges) {
      // No token of a byte-level vocabulary contains a space.
      const std::string_view both = source.merges[rank];
      const size_t space = both.find(' ');
      if (space == both.npos || both.find(' ', space + 1) != both.npos)
        fail("wanted two tokens with a space between, found " + shown(both));
      left = both.substr(0, space), right = both.substr(space + 1);
    } else {
      left = source.merges[size_t(rank) * 2], right = source.merges[size_t(rank) * 2 + 1];
    }
    const auto part = [&](std::string_view name) {
      const int32_t id = to_bytes(name, scratch) ? int32_t(names_[name_place(scratch, Spelling::kBytes)]) - 1 : -1;
      if (id < 0 || scratch.empty()) fail(shown(name) + " is no token of the byte alphabet in the vocabulary");
      return uint32_t(id);
    };
    const uint32_t a = part(left), b = part(right);
    joined.assign(token(a)).append(token(b));
    const uint32_t whole = names_[name_place(joined, Spelling::kBytes)];
    if (whole == 0)
      fail("wanted two tokens that make a third, found " + shown(left) + " and " + shown(right) +
           ", whose join is no token");
    merged_[rank] = whole - 1;
    const uint64_t key = uint64_t(a) << 21 | b;
    size_t i = key * kHash >> pairs_shift_;
    while (pairs_[i] != kEmptyPair && pairs_[i] >> 22 != key) i = (i + 1) & (pairs_.size() - 1);
    pairs_[i] = key << 22 | rank;  // if a pair is given twice the later rank counts, as in the library
    const auto last = uint8_t(token(a).back()), first = uint8_t(token(b)[0]);
    if (length_of(a) == 1 && length_of(b) == 1) byte_ranks_[last << 8 | first] = rank;
    const unsigned bit = unsigned(last) << 8 | first;
    joins_[bit >> 6] |= 1ull << (bit & 63);
  }
}

void Vocabulary::take_added(const VocabularySource& source, Watch& watch) {
  const uint32_t own_count = uint32_t(std::count_if(spellings_.begin(), spellings_.end(),
                                                    [](Spelling spelling) { return spelling != Spelling::kNone; }));
  int64_t highest = -1;  // the highest id of the added tokens so far
  std::string scratch;
  for (const VocabularySource::Added& added : source.added) {
    watch.tick();
    const std::string where = "added token " + shown(added.content);
    if (added.content.empty()) bad(source, "added tokens", "wanted a text, found an empty one");
    if (added.content.size() > AddedTokens::kLongest)
      bad(source, where,
          "wanted at most " + std::to_string(AddedTokens::kLongest) + " bytes, found " +
              std::to_string(added.content.size()));
    // The library numbers a token that the vocabulary lacks by itself. A file that disagrees would give ids that the
    // model has not learned.
    const int32_t known = id_of(added.content);
    const int64_t wanted = known >= 0 ? known : highest >= int64_t(own_count) ? highest + 1 : int64_t(own_count);
    if (wanted != added.id || wanted > kMostId)
      bad(source, where,
          "wanted id " + std::to_string(added.id) + ", the vocabulary gives it " +
              (known >= 0 ? std::to_string(wanted) : std::to_string(wanted) + ", the next that is free"));
    highest = std::max(highest, wanted);
    if (known < 0) {
      const bool is_bytes = to_bytes(added.content, scratch);
      const Spelling spelling = is_bytes ? Spelling::kBytes : Spelling::kText;
      const std::string_view bytes = is_bytes ? std::string_view(scratch) : added.content;
      if (added.id < spellings_.size()) bad(source, where, "id " + std::to_string(added.id) + " is another token's");
      append_token(added.id, bytes, spelling);
      names_[name_place(bytes, spelling)] = added.id + 1;
    }
    guards_.resize(spellings_.size(), Allow::kNone);
    guards_[added.id] = added.is_special ? Allow::kAll : added.is_named ? Allow::kMarkers : Allow::kNone;
    if (added.is_normalized) {
      const std::string_view content = normalize(added.content, form_, scratch, {}, watch);
      normalized_tokens_.add(content, int32_t(added.id));
    } else {
      raw_tokens_.add(added.content, int32_t(added.id));
    }
  }
}

}  // namespace kexa
