// Runs decode steps on the GPU device as Sequence does, and times how long each part keeps the calling thread.
#pragma once

#include "kernels/gpu_device.h"

namespace kexa {

// Nanoseconds, one for each step:
struct StepTimes {
  std::vector<int64_t> encode;  // from the first call of the device to the last dispatch
  std::vector<int64_t> submit;  // end_step(): finishing the encoder, the submit, and the request for the result
  std::vector<int64_t> wait;    // until the result has come
};

// A dispatch of a step.
struct Launch {
  std::string kernel;                  // its name
  std::string_view wgsl;               // its whole text; lives as long as the probe
  std::array<uint32_t, 3> workgroups;  // along x, y and z
};

// One sequence that begins with `prompt` tokens and continues greedily. Each step is awaited before the next begins, so
// that a software GPU's work is not in the times. The chosen tokens are never read: the Null backend chooses nothing.
// For one thread.
class StepProbe {
 public:
  // Runs the prompt. Throws what loading a model throws. options.adapter must name a GPU.
  StepProbe(const ModelDescription& description, const PlanOptions& options, int prompt);

  // Throws KEXA_CONTEXT_FULL past options.context_size.
  StepTimes run(int count);

  // The dispatches of one more step.
  Profile profile();

  // The dispatches, in their order, of a step of `rows` rows that continue the sequence or, if `is_prompt`, are its
  // prompt's. The sequence stays as it was. `rows` is at most PlanOptions::decode_rows(), or prefill_chunk.
  std::vector<Launch> launches(int rows, bool is_prompt);

 private:
  void encode();
  void wait(int ticket);

  ModelDescription description_;
  Plan plan_;
  Weights weights_;
  Gpu* gpu_ = nullptr;  // owned by the device
  GpuDevice device_;
  KvSlots slots_;
  Step step_;
  int slot_ = 0, tokens_ = 0;
};

}  // namespace kexa
