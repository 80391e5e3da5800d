// Knows which of a layer's routed experts are in the GPU's slots, and decides how a step computes the others.
#pragma once

#include <span>
#include <vector>

#include "plan/host_experts.h"

namespace kexa {

// Nanoseconds, measured when the model is loaded:
struct ExpertCosts {
  double copy = 0;          // to copy one expert into a slot
  double compute = 0;       // to compute one expert for one row on the processor
  double compute_more = 0;  // to compute it for each further row
};

// Only keeps the books: it copies nothing itself.
class ExpertSlots {
 public:
  // A wave has this instead of a slot for a choice that the processor computes.
  static constexpr uint32_t kOnHost = 0xffffffffu;
  // A wave has this instead of a slot for a choice that another wave computes.
  static constexpr uint32_t kOtherWave = 0xfffffffeu;

  struct Load {
    int slot, expert;
  };
  // Experts that are in slots at the same time. A step needs more than one wave only if the slots are too few.
  struct Wave {
    std::vector<Load> loads;      // to be done before the wave runs
    std::vector<uint32_t> slots;  // [rows, top_k]: the slot of each choice, kOnHost or kOtherWave
  };
  struct Step {
    std::vector<Wave> waves;
    std::vector<int>
        on_host;            // [rows, top_k]: the expert, or -1 if a slot has it; empty if the processor computes none
    ExpertTraffic traffic;  // does not count bytes
  };

  // `heat` [layers, experts] is how often each was chosen before; it may be empty. At first the slots of each layer
  // hold its hottest experts. Lower ids win ties.
  ExpertSlots(int layers, int experts, int slots, int top_k, ExpertMisses misses, std::span<const float> heat);

  int slots() const { return slots_; }
  // The id of the expert in a slot.
  int in_slot(int layer, int slot) const { return layers_[layer].in_slot[slot]; }
  void set_costs(const ExpertCosts& costs) { costs_ = costs; }

  // Plans how one layer's chosen `experts` [rows, top_k] get into slots: which to load, which the processor computes,
  // and in how many waves. The bookkeeping assumes that the plan is carried out. With `is_whole_row` all choices of a
  // row share a wave, which the kernels for few rows need. Else all rows of an expert share a wave, and each expert is
  // in exactly one.
  Step place(int layer, std::span<const int> experts, bool is_whole_row);

  // [layers, experts]: how often each expert was chosen, with older choices counting less.
  std::vector<float> heat() const;

 private:
  struct Layer {
    std::vector<int> in_slot;   // [slots]: the expert
    std::vector<int> slot_of;   // [experts]: the slot; -1: in none
    std::vector<float> heat;    // [experts]
    std::vector<int64_t> used;  // [slots]: the last step that needed it
    int64_t rows = 0;           // rows since heat was last halved
  };

  bool is_host_cheaper(const Layer& layer, int expert, int rows) const;
  // Puts the expert into the slot whose expert is needed least, but never in place of a `wanted` one, and adds the load
  // to `wave`.
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
