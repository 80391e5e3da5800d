// Which of a layer's routed experts stand in the GPU's slots, and how a step goes about those that do not.
#pragma once

#include <span>
#include <vector>

#include "plan/host_experts.h"

namespace kexa {

// In nanoseconds, as measured when the model is loaded.
struct ExpertCosts {
  double copy = 0;          // of one expert into a slot
  double compute = 0;       // of one expert on the processor, for one row
  double compute_more = 0;  // for each further row
};

// Pure bookkeeping: copies nothing itself.
class ExpertSlots {
 public:
  // Stands in a wave's slots for a choice that the processor computes.
  static constexpr uint32_t kOnHost = 0xffffffffu;
  // For one that has its turn in another wave.
  static constexpr uint32_t kOtherWave = 0xfffffffeu;

  struct Load {
    int slot, expert;
  };
  // Experts that are in slots at the same time. All of a step's choices are in one wave unless the slots are too few.
  struct Wave {
    std::vector<Load> loads;      // to be made before it runs
    std::vector<uint32_t> slots;  // [rows, top_k]: the slot of each choice, or one of the two above
  };
  struct Step {
    std::vector<Wave> waves;
    std::vector<int> on_host;  // [rows, top_k]: the expert, or -1 where a slot has it; empty if none is computed there
    ExpertTraffic traffic;     // without bytes
  };

  // `heat` is [layers, experts], how often each was chosen before, or empty. Each layer's slots begin with its hottest
  // experts, among equals those of the lowest ids.
  ExpertSlots(int layers, int experts, int slots, int top_k, ExpertMisses misses, std::span<const float> heat);

  int slots() const { return slots_; }
  // The expert in a slot.
  int in_slot(int layer, int slot) const { return layers_[layer].in_slot[slot]; }
  void set_costs(const ExpertCosts& costs) { costs_ = costs; }

  // Plans how one layer's chosen `experts` [rows, top_k] get into slots: which to load, which the processor computes,
  // and in how many waves. The bookkeeping assumes that the plan is carried out. With `is_whole_row` all choices of a
  // row share a wave, which the kernels for few rows need. Else all rows of an expert share a wave, and each expert is
  // in exactly one.
  Step place(int layer, std::span<const int> experts, bool is_whole_row);

  // [layers, experts]: how often each was chosen, older choices counting less.
  std::vector<float> heat() const;

 private:
  struct Layer {
    std::vector<int> in_slot;   // [slots]: expert
    std::vector<int> slot_of;   // [experts]; -1: in none
    std::vector<float> heat;    // [experts]
    std::vector<int64_t> used;  // [slots]: the step that last wanted it
    int64_t rows = 0;           // since heat was halved
  };

  bool is_host_cheaper(const Layer& layer, int expert, int rows) const;
  // Puts the expert in the slot that is missed least, none of `wanted`'s experts, and tells of it.
  void load(Layer& layer, int expert, const std::vector<bool>& wanted, Wave& wave);
  void place_rows(Layer& layer, std::span<const int> experts, Step& step);
  void place_experts(Layer& layer, std::span<const int> experts, Step& step);

  int experts_, slots_, top_k_;
  ExpertMisses misses_;
  ExpertCosts costs_;
  int64_t step_ = 0;
  std::vector<Layer> layers_;
};

}  // namespace kexa
