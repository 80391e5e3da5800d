#include "text/added_tokens.h"

#include <algorithm>

namespace kexa {

AddedTokens::AddedTokens() : nodes_(1) { std::fill(std::begin(first_), std::end(first_), 0); }

void AddedTokens::add(std::string_view text, int32_t id) {
  uint32_t node = 0;
  for (const char character : text) {
    const auto byte = uint8_t(character);
    uint32_t next = nodes_[node].after(byte);
    if (next == 0) {
      next = uint32_t(nodes_.size());
      nodes_[node].next.push_back({byte, next});
      if (node == 0) first_[byte] = next;
      nodes_.emplace_back();
    }
    node = next;
  }
  nodes_[node].id = id;
}

void AddedTokens::split(std::string_view text, const std::vector<AllowedSpan>& spans,
                        const std::vector<TokenGuard>& guards, std::vector<FoundToken>& found, Watch& watch) const {
  found.clear();
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  const size_t size = text.size();
  size_t from = 0, span = 0;
  for (size_t at = empty() ? size : 0; at < size;) {
    watch.tick();
    uint32_t node = first_[bytes[at]];
    if (node == 0) {
      ++at;
      continue;
    }
    while (span < spans.size() && spans[span].end <= at) ++span;
    // The strictest span from the token's first byte to the byte before `end`.
    size_t last = span;
    Allow allow = span < spans.size() ? spans[span].allow : Allow::kAll;
    int32_t id = -1;
    size_t end = at;
    for (size_t next = at + 1;; ++next) {
      watch.tick();
      while (last < spans.size() && spans[last].end < next)
        if (++last < spans.size()) allow = std::max(allow, spans[last].allow);
      const int32_t here = nodes_[node].id;
      if (here >= 0 && allow <= guards[size_t(here)]) id = here, end = next;
      if (next == size) break;
      node = nodes_[node].after(bytes[next]);
      if (node == 0) break;
    }
    if (id < 0) {
      ++at;
      continue;
    }
    if (at > from) found.push_back({-1, uint32_t(from), uint32_t(at)});
    found.push_back({id, uint32_t(at), uint32_t(end)});
    from = at = end;
  }
  if (size > from) found.push_back({-1, uint32_t(from), uint32_t(size)});
}

}  // namespace kexa
