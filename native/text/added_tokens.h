// Finds added tokens in a text (turn markers and the like), which happens before anything else is done with the text.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "text/watch.h"

namespace kexa {

// Which added tokens may be found in a stretch of a text.
enum class Allow : uint8_t {
  kAll,
  // All but special tokens.
  kMarkers,
  // All but special tokens and tokens that the chat template names.
  kNone,
};

// The bytes [start, end) of a text.
struct AllowedSpan {
  uint32_t start, end;
  Allow allow;
};

// The strictest `Allow` under which a token may still be found.
using TokenGuard = Allow;

// The bytes [start, end) of a text, and the token found there. id -1: the text between two tokens.
struct FoundToken {
  int32_t id;
  uint32_t start, end;
};

// A set of texts to find. The leftmost one is found; of several that begin at the same place, the longest.
class AddedTokens {
 public:
  AddedTokens();
  // `text` has 1 to 1,024 bytes.
  void add(std::string_view text, int32_t id);
  bool empty() const { return nodes_.size() == 1; }
  // Cuts all of the text into tokens and the stretches between them. `spans` cover the text, and a token that touches
  // several spans needs the permission of each. Empty `spans` permit everything. `guards[id]` is the strictest span in
  // which that token may be found.
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
