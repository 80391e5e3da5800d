#include "engine/loaded_model.h"

#include <algorithm>

#include "engine/make_device.h"

namespace kexa {
namespace {

// The MTP block's share of the weights that a step of one row reads with the block.
double mtp_share(const ModelDescription& description) {
  if (!description.mtp) return 0;
  const double hidden = description.hidden_size;
  const auto layer_weights = [&](const LayerDescription& layer) {
    const double attention = 2 * hidden * (description.q_width() + description.kv_width());
    if (!layer.is_moe()) return attention + 3 * hidden * layer.ffn_width;
    const MoeDescription& moe = *description.moe;
    return attention + hidden * moe.experts + 3 * hidden * layer.ffn_width * (moe.top_k + moe.shared_experts);
  };
  double model = hidden * description.vocab_size;
  for (const LayerDescription& layer : description.layers) model += layer_weights(layer);
  const double block = 2 * hidden * hidden + layer_weights(*description.mtp);
  return block / (model + block);
}

// Whether steps still read weights from the files.
bool reads_files(const PlanOptions& options) {
  const auto is_cpu = [](const PartOptions& part) { return part.adapter.empty(); };
  if (options.parts.empty()) return options.adapter.empty() || options.has_expert_slots();
  return options.has_expert_slots() || std::any_of(options.parts.begin(), options.parts.end(), is_cpu);
}

}  // namespace

LoadedModel::LoadedModel(const ModelDescription& description, const Plan& plan, int64_t warm_limit,
                         const LoadProgress& progress)
    : files(reads_files(plan.options) ? WatchedFiles(description.files) : WatchedFiles()),
      weights(plan.options.parts.empty() ? make_weights(description, plan.options, warm_limit, progress) : nullptr),
      slots(description, plan),
      device(weights ? make_device(description, *weights, plan, progress)
                     : make_split_device(description, plan, warm_limit, progress)),
      prefixes(description, plan, slots, *device),
      drafting(mtp_share(description)),
      costs(mtp_share(description)),
      prompt_costs(mtp_share(description)) {
  slots.set_make_pages([this](int pages) { return device->hold_pages(pages); });
  slots.set_reclaim([this] { return prefixes.drop_oldest(); });
  slots.set_copy_page([this, &description](int from, int to) {
    for (int layer = 0; layer < description.layer_count(); ++layer)
      if (!description.layer(layer).window)
        device->copy_cache(layer, int64_t(from) * kPageRows, int64_t(to) * kPageRows, kPageRows);
  });
}

}  // namespace kexa
