#include "cache/expert_slots.h"

#include <algorithm>
#include <numeric>

namespace kexa {
namespace {

// After this many rows a choice counts half. When a conversation changes its subject, it needs other experts.
constexpr int64_t kHalfLifeRows = 512;
// A missing expert is copied into a slot, though that costs more than computing it now, only if its heat is at least
// kPromotionFactor * (the coldest slot's heat) + kPromotionHeat: it will probably be needed again.
constexpr float kPromotionFactor = 2, kPromotionHeat = 4;

}  // namespace

ExpertSlots::ExpertSlots(int layers, int experts, int slots, int top_k, ExpertMisses misses,
                         std::span<const float> heat)
    : experts_(experts), slots_(slots), top_k_(top_k), misses_(misses), layers_(size_t(layers)) {
  for (int i = 0; i < layers; ++i) {
    Layer& layer = layers_[i];
    layer.heat.assign(experts, 0.0f);
    if (!heat.empty()) std::copy_n(heat.begin() + size_t(i) * experts, experts, layer.heat.begin());
    std::vector<int> order(experts);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return layer.heat[a] > layer.heat[b]; });
    layer.in_slot.assign(order.begin(), order.begin() + slots);
    std::sort(layer.in_slot.begin(), layer.in_slot.end());
    layer.slot_of.assign(experts, -1);
    for (int slot = 0; slot < slots; ++slot) layer.slot_of[layer.in_slot[slot]] = slot;
    layer.used.assign(slots, 0);
  }
}

bool ExpertSlots::is_host_cheaper(const Layer& layer, int expert, int rows) const {
  // A row's experts cannot all be in slots at once if there are fewer slots than top_k.
  if (misses_ == ExpertMisses::kCompute || slots_ < top_k_) return true;
  if (misses_ == ExpertMisses::kCopy) return false;
  if (costs_.copy <= costs_.compute + (rows - 1) * costs_.compute_more) return false;
  float coldest = layer.heat[layer.in_slot[0]];
  for (int in_slot : layer.in_slot) coldest = std::min(coldest, layer.heat[in_slot]);
  return layer.heat[expert] < kPromotionFactor * coldest + kPromotionHeat;
}

void ExpertSlots::load(Layer& layer, int expert, const std::vector<bool>& wanted, Wave& wave) {
  int best = -1;
  for (int slot = 0; slot < slots_; ++slot) {
    if (wanted[layer.in_slot[slot]]) continue;
    const auto is_missed_less = [&](int a, int b) {
      const float heat_a = layer.heat[layer.in_slot[a]], heat_b = layer.heat[layer.in_slot[b]];
      return heat_a != heat_b ? heat_a < heat_b : layer.used[a] < layer.used[b];
    };
    if (best < 0 || is_missed_less(slot, best)) best = slot;
  }
  layer.slot_of[layer.in_slot[best]] = -1;
  layer.in_slot[best] = expert;
  layer.slot_of[expert] = best;
  wave.loads.push_back({best, expert});
}

ExpertSlots::Step ExpertSlots::place(int index, std::span<const int> experts, bool is_whole_row) {
  Layer& layer = layers_[index];
  ++step_;
  Step step;
  std::vector<int> rows_of(experts_);
  for (int expert : experts) ++rows_of[expert];
  layer.rows += int64_t(experts.size()) / top_k_;
  if (layer.rows >= kHalfLifeRows) {
    layer.rows = 0;
    for (float& heat : layer.heat) heat *= 0.5f;
  }
  std::vector<bool> is_on_host(experts_);
  for (int expert = 0; expert < experts_; ++expert) {
    const int rows = rows_of[expert], slot = layer.slot_of[expert];
    if (rows == 0) continue;
    layer.heat[expert] += float(rows);
    if (slot >= 0) {
      layer.used[slot] = step_;
      step.traffic.hits += rows;
      continue;
    }
    step.traffic.misses += rows;
    is_on_host[expert] = is_host_cheaper(layer, expert, rows);
    if (is_on_host[expert]) step.traffic.computed += rows;
  }
  std::vector<int> placed(experts.begin(), experts.end());  // -1: the processor computes it
  if (step.traffic.computed > 0) {
    step.on_host.assign(experts.size(), -1);
    for (size_t i = 0; i < experts.size(); ++i)
      if (is_on_host[experts[i]]) step.on_host[i] = experts[i], placed[i] = -1;
  }
  if (is_whole_row)
    place_rows(layer, placed, step);
  else
    place_experts(layer, placed, step);
  for (const Wave& wave : step.waves) step.traffic.copies += int64_t(wave.loads.size());
  return step;
}

// Takes rows in their order, and puts as many into a wave as the slots have room for.
void ExpertSlots::place_rows(Layer& layer, std::span<const int> experts, Step& step) {
  const size_t top_k = size_t(top_k_), rows = experts.size() / top_k;
  for (size_t first = 0, end = 0; first < rows; first = end) {
    std::vector<bool> wanted(experts_);
    int count = 0;
    for (end = first; end < rows; ++end) {
      int more = 0;
      for (size_t i = end * top_k; i < (end + 1) * top_k; ++i) more += experts[i] >= 0 && !wanted[experts[i]];
      if (end > first && count + more > slots_) break;
      for (size_t i = end * top_k; i < (end + 1) * top_k; ++i)
        if (experts[i] >= 0) wanted[experts[i]] = true;
      count += more;
    }
    Wave& wave = step.waves.emplace_back();
    wave.slots.assign(experts.size(), kOtherWave);
    for (int expert = 0; expert < experts_; ++expert)
      if (wanted[expert] && layer.slot_of[expert] < 0) load(layer, expert, wanted, wave);
    for (size_t i = first * top_k; i < end * top_k; ++i)
      wave.slots[i] = experts[i] < 0 ? kOnHost : uint32_t(layer.slot_of[experts[i]]);
  }
}

// The first wave has the experts that are in slots already, and as many others as fit. Later waves have the rest, the
// hottest last, so that they stay. Later waves use only the colder half of the slots.
void ExpertSlots::place_experts(Layer& layer, std::span<const int> experts, Step& step) {
  std::vector<bool> is_chosen(experts_), wanted(experts_);
  for (int expert : experts)
    if (expert >= 0) is_chosen[expert] = true;
  std::vector<int> missing;
  size_t room = size_t(slots_);
  for (int expert = 0; expert < experts_; ++expert) {
    if (!is_chosen[expert]) continue;
    if (layer.slot_of[expert] < 0)
      missing.push_back(expert);
    else
      wanted[expert] = true, --room;
  }
  std::stable_sort(missing.begin(), missing.end(), [&](int a, int b) { return layer.heat[a] < layer.heat[b]; });
  for (size_t first = 0;;) {
    const size_t count = std::min(room, missing.size() - first);
    for (size_t i = 0; i < count; ++i) wanted[missing[first + i]] = true;
    Wave& wave = step.waves.emplace_back();
    wave.slots.assign(experts.size(), kOtherWave);
    for (size_t i = 0; i < count; ++i) load(layer, missing[first + i], wanted, wave);
    for (size_t i = 0; i < experts.size(); ++i)
      if (experts[i] < 0)
        wave.slots[i] = kOnHost;
      else if (wanted[experts[i]])
        wave.slots[i] = uint32_t(layer.slot_of[experts[i]]);
    first += count;
    if (first == missing.size()) return;
    wanted.assign(experts_, false);
    room = size_t(std::max(1, slots_ / 2));
  }
}

std::vector<float> ExpertSlots::heat() const {
  std::vector<float> all;
  for (const Layer& layer : layers_) all.insert(all.end(), layer.heat.begin(), layer.heat.end());
  return all;
}

}  // namespace kexa
