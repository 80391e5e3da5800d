// Decode steps on the GPU device, as GenerateJob runs them, and how long the calling thread is kept by each part.
#pragma once

#include "kernels/gpu_device.h"

namespace kexa {

// Of each step, in nanoseconds.
struct StepTimes {
  std::vector<int64_t> encode;  // from the first call to the device to the last dispatch
  std::vector<int64_t> submit;  // end_step(): the encoder's end, the submit and the asking for the result
  std::vector<int64_t> wait;    // until the result is there
};

// One sequence that begins with `prompt` tokens and goes on greedily. Each step is waited for before the next is begun,
// so that a software GPU has no share in what is timed. What is chosen is never looked at: the Null backend chooses
// nothing. For one thread.
class StepProbe {
 public:
  // Runs the prompt. Throws what loading a model throws. options.adapter must name a GPU.
  StepProbe(const ModelDescription& description, const PlanOptions& options, int prompt);

  // Throws KEXA_CONTEXT_FULL past options.context_size.
  StepTimes run(int count);

  // What one more step dispatches.
  Profile profile();

 private:
  void encode();
  void wait(int ticket);

  ModelDescription description_;
  Plan plan_;
  Weights weights_;
  Gpu* gpu_ = nullptr;  // the device's
  GpuDevice device_;
  KvSlots slots_;
  Step step_;
  int slot_ = 0, tokens_ = 0;
};

}  // namespace kexa
