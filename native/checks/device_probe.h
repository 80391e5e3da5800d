// Runs one op on two devices: both get the same inputs, the GPU's outputs are poisoned first, and both results are
// read.
#pragma once

#include <string>

#include "cpu/cpu_device.h"
#include "kernels/gpu_device.h"

namespace kexa {

struct OpRequest {
  std::string op;  // the name of the function of Device
  int layer = 0;
  bool is_mtp = false;           // for final_norm
  Step step;                     // rows of one slot, at successive positions
  std::vector<int> next_tokens;  // for draft_input: one for each row
  int hidden_row = 0;            // for begin_draft: up to the most rows of a step
  std::vector<int> experts;      // for experts: [rows, top_k]
  uint32_t seed = 0;             // of the inputs
};

// The results of the op on both devices, row by row. `is_exact` marks numbers that must agree to the bit. Counts of
// places that must stay untouched are results too, and 0 on the CPU.
struct OpResult {
  std::string name;
  int columns = 0;
  bool is_exact = false;
  std::vector<float> cpu, gpu;
};

// Counts of the steps of choose_for_crowd(), and the places where the devices differ.
struct CrowdResult {
  std::vector<std::string> differences;
  int steps = 0, groups = 0, following = 0, masked = 0;
  int chosen = 0, problems = 0, drafts = 0, accepted = 0, alternatives = 0;
};

// Bytes that copied rows have wrong on either device, up to the end of the rows, and the GPU's results waited for.
struct CacheCopyResult {
  int wrong_bytes = 0, waits = 0;
};

// A friend of both devices that reads and writes their buffers. For one thread.
//
// Poison on the GPU before the op runs:
// - every input is NaN in rows that the step does not have, and in keys and values that no row may see;
// - every output is NaN;
// - padding is zero, and must stay zero;
// - scratch between the kernels of an op has a finite pattern, because kernels may multiply it by zero weights.
struct DeviceProbe {
  // Throws the errors of loading a model. options.adapter must name a GPU.
  DeviceProbe(const ModelDescription& description, const PlanOptions& options);

  // Throws KEXA_INTERNAL if no op has that name.
  std::vector<OpResult> run(const OpRequest& request);

  // Chooses and drafts on both devices, from the same logits and hidden states, for steps of as many groups as
  // `group_counts` tells: following and known ones, with masks, drafts and all options, some without a valid choice.
  CrowdResult choose_for_crowd(uint32_t seed, const std::vector<int>& group_counts);

  // Copies rows of a layer to others of it, and reads them back while they are overwritten. The layer has at least two
  // times 69 rows and three.
  CacheCopyResult copy_cache(int layer, uint32_t seed);

 private:
  struct Run;
  struct Crowd;

  ModelDescription description_;
  Plan plan_;
  Weights weights_;
  Plan cpu_plan_;  // the same, without rounding
  CpuDevice cpu_;
  GpuDevice gpu_;
};

}  // namespace kexa
