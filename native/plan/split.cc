#include "plan/split.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/error.h"

namespace kexa {
namespace {

class Divider {
 public:
  Divider(const ModelDescription& description, const PlanOptions& options)
      : description_(description),
        options_(options),
        bare_(description),
        layers_(int(description.layers.size())),
        by_layer_(layers_) {
    bare_.tensors.clear();
    constexpr std::string_view kPrefix = "layers.";
    for (const TensorEntry& tensor : description.tensors) {
      if (tensor.name == "embed") {
        embed_ = &tensor;
      } else if (tensor.name.starts_with(kPrefix)) {
        int layer = -1;
        std::from_chars(tensor.name.data() + kPrefix.size(), tensor.name.data() + tensor.name.size(), layer);
        if (layer < 0 || layer >= layers_)
          throw Error("KEXA_TENSOR_MISMATCH", tensor.name + ": there is no such layer");
        by_layer_[layer].push_back(&tensor);
      } else {
        end_.push_back(&tensor);
      }
    }
  }

  // The layers [from, to) on the device of options.parts[index]. The first share also embeds, the last has the model's
  // end.
  Part part(int index, int from, int to) const { return part(index, from, to, from == 0, to == layers_); }

  std::vector<int> balanced() const {
    const int count = int(options_.parts.size());
    const bool are_known = std::all_of(options_.parts.begin(), options_.parts.end(),
                                       [](const PartOptions& part) { return part.memory_bytes > 0; });
    constexpr double kNever = std::numeric_limits<double>::infinity();
    // For each number of layers that the shares so far take: how full the fullest of them is, and where the last of
    // them begins.
    std::vector<double> fullest(layers_ + 1, kNever);
    std::vector<std::vector<int>> begins(count, std::vector<int>(layers_ + 1));
    fullest[0] = 0;
    for (int index = 0; index < count; ++index) {
      const Costs costs = costs_on(index);
      const double share = are_known ? double(options_.parts[index].memory_bytes) : 1;
      std::vector<double> next(layers_ + 1, kNever);
      for (int from = index; from < layers_; ++from)
        for (int to = from + 1; to <= layers_; ++to) {
          const double full = std::max(fullest[from], double(costs.bytes(from, to)) / share);
          if (full < next[to]) next[to] = full, begins[index][to] = from;
        }
      fullest = next;
    }
    std::vector<int> taken(count);
    for (int index = count - 1, to = layers_; index >= 0; to = begins[index][to], --index)
      taken[index] = to - begins[index][to];
    return taken;
  }

 private:
  // Bytes of layers on a device.
  struct Costs {
    std::vector<int64_t> sums;     // weights and cache of the layers [0, i)
    std::vector<int64_t> scratch;  // of each layer
    int64_t start = 0, end = 0;    // added for the first layer, and for the last

    int64_t bytes(int from, int to) const {
      return sums[to] - sums[from] + *std::max_element(scratch.begin() + from, scratch.begin() + to) +
             (from == 0 ? start : 0) + (to + 1 == int(sums.size()) ? end : 0);
    }
  };

  Part part(int index, int from, int to, bool has_start, bool has_end) const {
    const PartOptions& chosen = options_.parts[index];
    PlanOptions options = options_;
    options.parts.clear();
    options.adapter = chosen.adapter;
    options.plain_ops = chosen.plain_ops;
    options.prefix_cache_bytes = 0;  // the whole model has the budget
    if (chosen.adapter.empty()) options.expert_slots = -1;
    options.expert_heat = heat_of(from, to, has_end);
    ModelDescription description = bare_;
    description.layers.assign(description_.layers.begin() + from, description_.layers.begin() + to);
    description.part.first_layer = from;
    description.part.has_start = has_start;
    description.part.has_end = has_end;
    if (!has_end) description.mtp.reset(), description.tied_head = false;
    if (embed_ && description.needs_embed()) description.tensors.push_back(*embed_);
    for (int layer = from; layer < to; ++layer)
      for (const TensorEntry* tensor : by_layer_[layer]) description.tensors.push_back(*tensor);
    if (has_end)
      for (const TensorEntry* tensor : end_) description.tensors.push_back(*tensor);
    Plan plan = make_plan(description, options);
    return {std::move(description), std::move(plan)};
  }

  // The heat of the layers [from, to), and of the MTP block if there is one.
  std::vector<float> heat_of(int from, int to, bool has_end) const {
    const std::vector<float>& heat = options_.expert_heat;
    if (heat.empty()) return {};
    const size_t experts = size_t(description_.moe->experts);
    std::vector<float> part_heat(heat.begin() + from * experts, heat.begin() + to * experts);
    if (has_end && description_.mtp) part_heat.insert(part_heat.end(), heat.end() - experts, heat.end());
    return part_heat;
  }

  Costs costs_on(int index) const {
    Costs costs{.sums = {0}, .scratch = {}};
    const auto memory = [&](int layer, bool has_start, bool has_end) {
      return part(index, layer, layer + 1, has_start, has_end).plan.memory;
    };
    for (int layer = 0; layer < layers_; ++layer) {
      const MemoryPlan planned = memory(layer, false, false);
      costs.sums.push_back(costs.sums.back() + planned.weight_bytes + planned.cache_bytes());
      costs.scratch.push_back(planned.scratch_bytes);
    }
    costs.start = memory(0, true, false).total_bytes() - memory(0, false, false).total_bytes();
    costs.end = memory(layers_ - 1, false, true).total_bytes() - memory(layers_ - 1, false, false).total_bytes();
    return costs;
  }

  const ModelDescription& description_;
  const PlanOptions& options_;
  ModelDescription bare_;  // the description without its tensors, which every part copies
  int layers_;
  const TensorEntry* embed_ = nullptr;
  std::vector<std::vector<const TensorEntry*>> by_layer_;
  std::vector<const TensorEntry*> end_;
};

}  // namespace

std::vector<Part> make_parts(const ModelDescription& description, const PlanOptions& options) {
  const int layers = int(description.layers.size()), count = int(options.parts.size());
  if (count > layers)
    throw Error("KEXA_INVALID_ARGUMENT", "device: wanted at most a device for each of the " + std::to_string(layers) +
                                             " layers, found " + std::to_string(count));
  const Divider divider(description, options);
  std::vector<int> taken;
  for (const PartOptions& part : options.parts) taken.push_back(part.layers);
  if (std::all_of(taken.begin(), taken.end(), [](int layers_of_part) { return layers_of_part == 0; }))
    taken = divider.balanced();
  int sum = 0;
  for (int layers_of_part : taken) sum += layers_of_part > 0 ? layers_of_part : layers + 1;
  if (sum != layers)
    throw Error("KEXA_INVALID_ARGUMENT",
                "layerSplit: wanted at least one layer for each device and " + std::to_string(layers) + " in all");
  std::vector<Part> parts;
  for (int index = 0, from = 0; index < count; from += taken[index], ++index)
    parts.push_back(divider.part(index, from, from + taken[index]));
  return parts;
}

}  // namespace kexa
