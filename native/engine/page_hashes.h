// Hashes of token sequences, a page at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace kexa {

// The hash of no tokens.
constexpr uint64_t kEmptyHash = 0x9e3779b97f4a7c15;

// Appends to `hashes` those of the further full pages of `ids`. Hash i is of all tokens up to the end of page i, so
// sequences that begin alike have the same first hashes.
void extend_page_hashes(std::vector<uint64_t>& hashes, std::span<const int> ids);

// The tokens at their beginning that two sequences have in common. Each has the hashes of its pages.
int common_tokens(std::span<const int> a, std::span<const uint64_t> hashes_a, std::span<const int> b,
                  std::span<const uint64_t> hashes_b);

}  // namespace kexa
