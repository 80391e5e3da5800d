// Routed experts that a step finds in main memory.
#pragma once

#include <cstdint>
#include <span>

namespace kexa {

// What becomes of a chosen expert that is not in one of the GPU's slots.
enum class ExpertMisses : uint8_t {
  kCopy,     // it is copied into one: the answer is that of a model wholly on the GPU, to the last bit
  kCompute,  // the processor computes it, beside the GPU; what stands in the slots stays as it was loaded
  kAuto,     // whichever takes less time by what both took when the model was loaded
};

// Choices are of (row, expert) pairs.
struct ExpertTraffic {
  int64_t hits = 0, misses = 0;  // choices whose expert was in a slot when they were made, and the others
  int64_t computed = 0;          // of the misses, those that the processor computed
  int64_t copies = 0;            // experts copied into a slot
  int64_t copied_bytes = 0;

  ExpertTraffic& operator+=(const ExpertTraffic& other) {
    hits += other.hits, misses += other.misses, computed += other.computed;
    copies += other.copies, copied_bytes += other.copied_bytes;
    return *this;
  }
  ExpertTraffic operator-(const ExpertTraffic& other) const {
    return {hits - other.hits, misses - other.misses, computed - other.computed, copies - other.copies,
            copied_bytes - other.copied_bytes};
  }
};

// The experts of a model that its processor computes while a GPU has the rest of it.
class HostExperts {
 public:
  virtual ~HostExperts() = default;

  // out[r] = the sum over the row's choices i with experts[r, i] >= 0 of weights[r, i] * that expert's output for the
  // residual's row r, normalised where the model does that before. `residual` and `out` have rows of `stride` floats,
  // of which those past the hidden width stay as they are; experts and weights are [rows, top_k]. A row's result does
  // not depend on the other rows.
  virtual void run(int layer, std::span<const float> residual, int stride, std::span<const int> experts,
                   std::span<const float> weights, std::span<float> out) = 0;
};

}  // namespace kexa
