// One op on two devices: the same inputs on the CPU and the GPU, the GPU's outputs poisoned, both results read.
#pragma once

#include <string>

#include "kernels/gpu_device.h"
#include "cpu/cpu_device.h"

namespace kexa {

struct OpRequest {
  std::string op;  // the name of the Device function
  int layer = 0;
  bool is_mtp = false;           // final_norm's
  Step step;                     // rows of one slot at consecutive positions
  std::vector<int> next_tokens;  // draft_input's: one a row
  int hidden_row = 0;            // begin_draft's: of as many rows as a step may have
  std::vector<int> experts;      // experts': [rows, top_k]
  uint32_t seed = 0;             // of the inputs
};

// What the op left on both devices, row by row. Numbers that must agree to the bit are marked; counts of what must not
// have been touched are among them, 0 on the CPU.
struct OpResult {
  std::string name;
  int columns = 0;
  bool is_exact = false;
  std::vector<float> cpu, gpu;
};

// The friend of both devices that looks into their buffers. For one thread.
//
// Rows that the step has not are NaN in every input, keys and values that no row may see too; what the op must write is
// NaN on the GPU before it. Padding is zero, and must be afterwards. Scratch between the kernels of one op holds a
// finite pattern: kernels may multiply what they never wrote by weights that are zero.
struct DeviceProbe {
  // Throws what loading a model throws. options.adapter must name a GPU.
  DeviceProbe(const ModelDescription& description, const PlanOptions& options);

  // Throws KEXA_INTERNAL for an op of no such name.
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
