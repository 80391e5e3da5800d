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

 private:
  struct Run;

  ModelDescription description_;
  Plan plan_;
  Weights weights_;
  CpuDevice cpu_;
  GpuDevice gpu_;
};

}  // namespace kexa
