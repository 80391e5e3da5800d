// GPU times of dispatches.
#pragma once

#include <span>
#include <vector>

#include "gpu/handle.h"

namespace kexa {

// Hands out timestamp queries, and remembers which two of them lie around which dispatch. Query sets hold at most 4096,
// so there may be several.
class Timestamps {
 public:
  explicit Timestamps(WGPUDevice device) : device_(device) {}

  struct Query {
    WGPUQuerySet set;
    uint32_t index;
    size_t number;  // of all since clear()
  };
  // Two in a row lie in one set if the first's number is even.
  Query next();
  void record(const std::string& name, size_t begin, size_t end) { spans_.push_back({&name, begin, end}); }

  bool is_empty() const { return used_ == 0; }
  uint64_t bytes() const { return used_ * sizeof(uint64_t); }
  // Writes all queries' values to `to`, a buffer for WGPUBufferUsage_QueryResolve of at least bytes().
  void resolve(WGPUCommandEncoder encoder, WGPUBuffer to) const;
  // `take` is given each recorded name with its nanoseconds; `values` is what resolve() wrote. Forgets all queries.
  template <typename Take>
  void finish(std::span<const uint64_t> values, const Take& take) {
    for (const Span& span : spans_)
      take(*span.name, values[span.end] > values[span.begin] ? int64_t(values[span.end] - values[span.begin]) : 0);
    spans_.clear();
    used_ = 0;
  }

 private:
  struct Span {
    const std::string* name;
    size_t begin, end;
  };
  WGPUDevice device_;
  std::vector<QuerySet> sets_;
  size_t used_ = 0;
  std::vector<Span> spans_;
};

}  // namespace kexa
