// A byte-level vocabulary: its tokens, its merges, and the tokens added to it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/normalize.h"
#include "text/pieces.h"

namespace kexa {

// Texts one after another. Text i is the bytes [ends[i - 1], ends[i]).
struct PackedTexts {
  std::vector<char> bytes;
  std::vector<uint32_t> ends;

  size_t size() const { return ends.size(); }
  std::string_view operator[](size_t i) const {
    const uint32_t from = i == 0 ? 0 : ends[i - 1];
    return {bytes.data() + from, ends[i] - from};
  }
};

// The vocabulary that lib/text read from tokenizer.json or a GGUF file. Names are spelled in the byte alphabet, in
// UTF-8.
struct VocabularySource {
  std::string file;          // named in errors
  std::string tokens_field;  // the file's name for its tokens and merges, also for errors
  std::string merges_field;
  PackedTexts names;
  std::vector<uint32_t> ids;  // of each name; kUnused if the name is no token
  static constexpr uint32_t kUnused = ~0u;
  // The more urgent first. A merge is two texts, or with `has_joined_merges` one text with a space in it.
  PackedTexts merges;
  bool has_joined_merges = false;
  struct Added {
    std::string content;
    uint32_t id;
    bool is_special, is_normalized;
    bool is_named;  // whether the chat template names it
  };
  std::vector<Added> added;
  NormalForm form = NormalForm::kNone;
  SplitPattern pattern = SplitPattern::kNone;
};

// Never changes once built, so threads may share it.
class Vocabulary {
 public:
  // How the file spells an id: not at all, in the byte alphabet, or as plain text.
  enum class Spelling : uint8_t { kNone, kBytes, kText };
  static constexpr uint32_t kNoRank = (1u << 22) - 1, kMostId = (1u << 21) - 1;

  // Throws KEXA_BAD_TOKENIZER if the source contradicts itself or lacks a byte, and Cancelled.
  Vocabulary(const VocabularySource& source, Watch& watch);

  // The bytes of all tokens. Token `id` is [starts()[id], starts()[id + 1]), which is empty for an unused id.
  const std::string& bytes() const { return bytes_; }
  const std::vector<uint32_t>& starts() const { return starts_; }
  const std::vector<Spelling>& spellings() const { return spellings_; }
  uint32_t length_of(uint32_t id) const { return starts_[id + 1] - starts_[id]; }
  // Returns -1 if no token is spelled so.
  int32_t id_of(std::string_view name) const;

  // The id of the token that is this one byte.
  uint32_t byte_id(uint8_t byte) const { return byte_ids_[byte]; }
  // The rank of the merge of two tokens. kNoRank if they do not merge.
  uint32_t rank_of(uint32_t left, uint32_t right) const {
    const uint64_t key = uint64_t(left) << 21 | right;
    for (size_t i = key * kHash >> pairs_shift_;; i = (i + 1) & (pairs_.size() - 1)) {
      const uint64_t pair = pairs_[i];
      if (pair >> 22 == key) return uint32_t(pair & kNoRank);
      if (pair == kEmptyPair) return kNoRank;
    }
  }
  uint32_t byte_rank(uint8_t left, uint8_t right) const { return byte_ranks_[left << 8 | right]; }
  size_t merges() const { return merged_.size(); }
  uint32_t merged(uint32_t rank) const { return merged_[rank]; }
  // Whether some merge joins a token that ends in `left` with one that begins with `right`.
  bool can_join(uint8_t left, uint8_t right) const {
    const unsigned bit = unsigned(left) << 8 | right;
    return joins_[bit >> 6] >> (bit & 63) & 1;
  }

  NormalForm form() const { return form_; }
  SplitPattern pattern() const { return pattern_; }
  // The raw tokens are looked for in the text before normalisation, the normalized ones in the normalised text between
  // them.
  const AddedTokens& raw_tokens() const { return raw_tokens_; }
  const AddedTokens& normalized_tokens() const { return normalized_tokens_; }
  // The guards of added tokens, indexed by id.
  const std::vector<TokenGuard>& guards() const { return guards_; }

 private:
  static constexpr uint64_t kHash = 0x9e3779b97f4a7c15ull, kEmptyPair = ~0ull;

  void take_tokens(const VocabularySource& source, Watch& watch);
  void take_merges(const VocabularySource& source, Watch& watch);
  void take_added(const VocabularySource& source, Watch& watch);
  std::string_view token(uint32_t id) const { return {bytes_.data() + starts_[id], length_of(id)}; }
  // The place of a token in `names_`, or the empty place where it would go.
  size_t name_place(std::string_view bytes, Spelling spelling) const;
  void append_token(uint32_t id, std::string_view bytes, Spelling spelling);

  std::string bytes_;
  std::vector<uint32_t> starts_{0};
  std::vector<Spelling> spellings_;
  std::vector<uint32_t> names_;   // id + 1, placed by hash; 0: empty
  std::vector<uint32_t> merged_;  // indexed by rank
  std::vector<uint64_t> pairs_;   // placed by hash: left (21 bits), right (21), rank (22)
  int pairs_shift_ = 0;
  uint32_t byte_ids_[256];
  std::vector<uint32_t> byte_ranks_;
  uint64_t joins_[1024] = {};
  NormalForm form_;
  SplitPattern pattern_;
  AddedTokens raw_tokens_, normalized_tokens_;
  std::vector<TokenGuard> guards_;
};

}  // namespace kexa
