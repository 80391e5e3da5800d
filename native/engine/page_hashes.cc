#include "engine/page_hashes.h"

#include <algorithm>

#include "plan/limits.h"

namespace kexa {

void extend_page_hashes(std::vector<uint64_t>& hashes, std::span<const int> ids) {
  uint64_t hash = hashes.empty() ? kEmptyHash : hashes.back();
  while ((hashes.size() + 1) * kPageRows <= ids.size()) {
    for (const int id : ids.subspan(hashes.size() * kPageRows, kPageRows)) {
      hash = (hash ^ uint64_t(id)) * 0xbf58476d1ce4e5b9;
      hash ^= hash >> 29;
    }
    hashes.push_back(hash);
  }
}

int common_tokens(std::span<const int> a, std::span<const uint64_t> hashes_a, std::span<const int> b,
                  std::span<const uint64_t> hashes_b) {
  // Equal hashes are of equal pages, but for a chance in 2^64, so the first that differ are found by halving.
  size_t pages = 0, end = std::min(hashes_a.size(), hashes_b.size());
  while (pages < end) {
    const size_t middle = (pages + end) / 2;
    if (hashes_a[middle] == hashes_b[middle])
      pages = middle + 1;
    else
      end = middle;
  }
  size_t common = pages * kPageRows;
  const size_t most = std::min(a.size(), b.size());
  while (common < most && a[common] == b[common]) ++common;
  return int(common);
}

}  // namespace kexa
