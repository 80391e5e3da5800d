#include "engine/forward_job.h"

#include <algorithm>

#include "decode/chunk.h"
#include "engine/profiling.h"

namespace kexa {
namespace {

void append(std::vector<float>& to, std::span<const float> values) {
  to.insert(to.end(), values.begin(), values.end());
}

}  // namespace

int ForwardJob::most_rows(int position) const {
  return position < params_.lead_rows ? params_.lead_rows - position : params_.step_rows;
}

bool ForwardJob::advance(const JobContext& context) {
  LoadedModel& model = context.loaded();
  Device& device = *model.device;
  const auto [slot, is_fresh] = model.slots.acquire(owner());
  if (is_fresh) result_ = {};  // starts again, because another session took the slot meanwhile
  Profiling profiling(device, params_.wants_profile);
  const bool wants_all_rows = params_.wants_all_logits || params_.wants_mtp;
  const int logit_rows = most_logit_rows(context.description, context.plan.options);

  ForwardHooks hooks{.is_wanted = channel().is_wanted(), .layers_done = &context.stats.layers};
  if (params_.wants_trace) {
    result_.layers.resize(context.description.layers.size());
    hooks.after_layer = [&](int layer) { append(result_.layers[layer], device.residual()); };
    hooks.after_route = [&](int layer) {
      auto found = std::find_if(result_.routes.begin(), result_.routes.end(),
                                [&](const event::Route& route) { return route.layer == layer; });
      if (found == result_.routes.end()) found = result_.routes.insert(found, {layer, {}, {}});
      found->experts.insert(found->experts.end(), device.route_experts().begin(), device.route_experts().end());
      append(found->weights, device.route_weights());
    };
  }
  const auto choose_logit_rows = [&](int first, int end, std::vector<int>& logit_rows) {
    for (int position = std::max(first, params_.lead_rows - 1); position < end; ++position)
      if (wants_all_rows || position + 1 == int(ids_.size())) logit_rows.push_back(position - first);
  };
  const int first = model.slots.length(slot);
  const bool is_prompt = params_.step_rows == 0 || first < params_.lead_rows;
  int rows = most_rows(first);
  if (wants_all_rows) rows = std::min(rows > 0 ? rows : context.plan.options.prefill_chunk, logit_rows);
  run_chunk(device, context.description, model.slots,
            {.slot = slot,
             .ids = ids_,
             .prefill_chunk = context.plan.options.prefill_chunk,
             .most_rows = rows,
             .is_prompt = is_prompt,
             .choose_logit_rows = choose_logit_rows},
            step_, hooks);
  const int end = model.slots.length(slot);
  const bool is_last = end == int(ids_.size());
  for (int i = 0; i < int(step_.logit_rows.size()); ++i)
    if (params_.wants_all_logits || (is_last && i + 1 == int(step_.logit_rows.size())))
      append(result_.logits, device.logits(i));
  if (params_.wants_trace) append(result_.hidden, device.hidden());
  // Waits if nothing is read back, because steps must not queue up faster than they run.
  if (step_.logit_rows.empty() && !params_.wants_trace) device.take(device.end_step());

  if (params_.wants_mtp) {
    // The last row of all has no next token. Its MTP result is dropped, and no other row sees it.
    forward_mtp(device, context.description, true,
                {.is_wanted = channel().is_wanted(), .layers_done = &context.stats.layers});
    for (int i = 0; i < int(step_.logit_rows.size()) - (is_last ? 1 : 0); ++i)
      append(result_.mtp_logits, device.logits(i));
  }
  profiling.add_to(result_.profile);
  if (is_last) channel().push(std::move(result_));
  return is_last;
}

}  // namespace kexa
