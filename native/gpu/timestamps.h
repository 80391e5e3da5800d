// GPU times of dispatches.
#pragma once

#include <span>
#include <vector>

#include "gpu/handle.h"

namespace kexa {

// Hands out timestamp queries, and remembers which two of them enclose which dispatch. A query set holds at most 4,096,
// so there may be several sets.
class Timestamps {
 public:
  explicit Timestamps(WGPUDevice device) : device_(device) {}

  struct Query {
    WGPUQuerySet set;
    uint32_t index;
    size_t number;  // counted since clear()
  };
  // The next query. Two successive queries are in one set if the first has an even number.
  Query next();
  void record(const std::string& name, size_t begin, size_t end) { spans_.push_back({&name, begin, end}); }

  bool is_empty() const { return used_ == 0; }
  uint64_t bytes() const { return used_ * sizeof(uint64_t); }
  // Writes all queries' values to `to`, a buffer for WGPUBufferUsage_QueryResolve of at least bytes().
  void resolve(WGPUCommandEncoder encoder, WGPUBuffer to) const;
  // Calls `take` with each recorded name and its nanoseconds. `values` is the output of resolve(). Forgets all queries.
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
