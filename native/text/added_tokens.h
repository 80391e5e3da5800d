// Tokens that are looked for in a text before anything else is done with it: turn markers and the like.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "text/watch.h"

namespace kexa {

// What of a text, from one place to another, may become an added token.
enum class Allow : uint8_t {
  kAll,
  // None that is special.
  kMarkers,
  // None that is special or that the chat template names.
  kNone,
};

// [start, end) in bytes.
struct AllowedSpan {
  uint32_t start, end;
  Allow allow;
};

// The strictest `Allow` that a token may be found under.
using TokenGuard = Allow;

// [start, end) in bytes; id -1: the text between tokens.
struct FoundToken {
  int32_t id;
  uint32_t start, end;
};

// A set of texts, of which the leftmost is found, and of those that begin there the longest.
class AddedTokens {
 public:
  AddedTokens();
  // `text` has 1 to 1,024 bytes.
  void add(std::string_view text, int32_t id);
  bool empty() const { return nodes_.size() == 1; }
  // All of the text, cut up. A token that lies in several spans needs the leave of each. `spans` cover the text, or are
  // none: then everything is allowed. `guards`: by id, the strictest span that the token may be found in.
  void split(std::string_view text, const std::vector<AllowedSpan>& spans, const std::vector<TokenGuard>& guards,
             std::vector<FoundToken>& found, Watch& watch) const;

  static constexpr size_t kLongest = 1024;

 private:
  struct Node {
    int32_t id = -1;
    std::vector<std::pair<uint8_t, uint32_t>> next;
    uint32_t after(uint8_t byte) const {
      for (const auto& [of, to] : next)
        if (of == byte) return to;
      return 0;
    }
  };
  std::vector<Node> nodes_;
  uint32_t first_[256];
};

}  // namespace kexa
