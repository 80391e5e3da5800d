#include "engine/score_job.h"

#include "cpu/logprobs.h"
#include "decode/chunk.h"
#include "device/vocabulary.h"

namespace kexa {

bool ScoreJob::advance(const JobContext& context) {
  LoadedModel& model = context.loaded();
  const auto [slot, is_fresh] = model.slots.acquire(owner());
  if (is_fresh) result_.choices.clear();
  const ForwardHooks hooks{.is_wanted = channel().is_wanted(), .layers_done = &context.stats.layers};
  const auto choose_logit_rows = [&](int first, int end, std::vector<int>& logit_rows) {
    for (int position = first; position < end; ++position)
      if (position + 1 < int(ids_.size())) logit_rows.push_back(position - first);
  };
  const int rows = run_chunk(*model.device, context.description, model.slots,
                             {.slot = slot,
                              .ids = ids_,
                              .prefill_chunk = context.plan.options.prefill_chunk,
                              .most_rows = most_logit_rows(context.description, context.plan.options),
                              .choose_logit_rows = choose_logit_rows},
                             step_, hooks);
  const int end = model.slots.length(slot);
  for (int i = 0; i < int(step_.logit_rows.size()); ++i) {
    const auto logits = model.device->logits(i);
    check_logits(logits, context.plan.options);
    result_.choices.push_back(with_logprobs(ids_[end - rows + i + 1], logits, alternatives_));
  }
  const bool is_last = end == int(ids_.size());
  if (is_last) channel().push(std::move(result_));
  return is_last;
}

}  // namespace kexa
