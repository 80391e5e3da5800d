// Chooses tokens on the GPU, and continues from them.
#pragma once

#include "device/sampling.h"
#include "kernels/buffers/activations.h"

namespace kexa {

class Choosing {
 public:
  // `plan` must outlive it.
  Choosing(KernelSet& kernels, const ModelDescription& description, const Plan& plan, const Activations& activations);

  // Device::begin_choosing. Takes effect before the next submit runs.
  void begin(const KernelSet& kernels, int slot, const SamplingParams& params, std::span<const int> ids,
             size_t prompt_size);

  // Fills in the rows of a following step.
  void run_follow(const KernelSet& kernels) const { kernels.run(follow_, 1); }
  void run_choose(const KernelSet& kernels) const { kernels.run(choose_, 1); }
  void run_draft(const KernelSet& kernels) const { kernels.run(choose_draft_, 1); }
  void run_next_draft(const KernelSet& kernels) const { kernels.run(next_draft_, 1); }

  // The layout in which take() finds the choice of a slot's last choose().
  struct Record {
    uint32_t problem = 0, chosen = 0;
    uint32_t tokens[kMaxDrafts + 1] = {};
  };
  const Buffer& records() const { return sequences_; }
  static uint64_t record_offset(int slot);
  // The tokens of a record. Throws KEXA_BAD_FILE or KEXA_INVALID_ARGUMENT if it has a problem.
  std::vector<int> tokens_of(const Record& record) const;

 private:
  const PlanOptions& options_;
  int vocab_, context_;
  Buffer sampling_, bias_, sequences_, marks_, history_;
  BoundKernel follow_, choose_, choose_draft_, next_draft_;
};

}  // namespace kexa
