// Routed experts that stay in main memory.
#pragma once

#include <cstdint>
#include <iterator>
#include <span>

namespace kexa {

// How a chosen expert is computed that is not in one of the GPU's slots.
enum class ExpertMisses : uint8_t {
  kCopy,     // it is copied into a slot: every bit of the answer is that of a model wholly on the GPU
  kCompute,  // the processor computes it beside the GPU; the slots stay as loaded
  kAuto,     // the faster of the two, by the times measured at load
};

// Counts choices, which are (row, expert) pairs.
struct ExpertTraffic {
  // Choices whose expert was in a slot when it was chosen, and all other choices.
  int64_t hits = 0, misses = 0;
  int64_t computed = 0;  // misses that the processor computed
  int64_t copies = 0;    // experts copied into a slot
  int64_t copied_bytes = 0;
};

// Every field of ExpertTraffic, with its name in lib/types.ts.
struct TrafficField {
  const char* name;
  int64_t ExpertTraffic::* count;
};
inline constexpr TrafficField kTrafficFields[] = {{"hits", &ExpertTraffic::hits},
                                                  {"misses", &ExpertTraffic::misses},
                                                  {"computed", &ExpertTraffic::computed},
                                                  {"copies", &ExpertTraffic::copies},
                                                  {"copiedBytes", &ExpertTraffic::copied_bytes}};
static_assert(sizeof(ExpertTraffic) == std::size(kTrafficFields) * sizeof(int64_t));

inline ExpertTraffic& operator+=(ExpertTraffic& to, const ExpertTraffic& other) {
  for (const TrafficField& field : kTrafficFields) to.*field.count += other.*field.count;
  return to;
}
inline ExpertTraffic operator-(ExpertTraffic from, const ExpertTraffic& other) {
  for (const TrafficField& field : kTrafficFields) from.*field.count -= other.*field.count;
  return from;
}

// Experts that the processor computes while a GPU computes the rest of the model.
class HostExperts {
 public:
  virtual ~HostExperts() = default;

  // out[r] = the sum of weights[r, i] * output of expert experts[r, i], over the row's choices i with experts[r, i] >=
  // 0. The input is row r of the residual, normalised on pre-norm models. Rows of `residual` and `out` have `stride`
  // floats; those past the hidden width do not change. `experts` and `weights` are [rows, top_k]. A row's result does
  // not depend on other rows.
  virtual void run(int layer, std::span<const float> residual, int stride, std::span<const int> experts,
                   std::span<const float> weights, std::span<float> out) = 0;
};

}  // namespace kexa
