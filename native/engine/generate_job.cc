// An answer, token by token, with or without drafts.
//
// One step:
//   1. The rows that are not cached yet are run: the prompt's next chunk, or the last token and the drafts after it.
//   2. Tokens are chosen, from the row of the last known token on. A draft that is what was chosen is kept, and its own
//      row gives the next choice; the first that is not ends the step.
//   3. Rows of drafts that were not kept leave the cache by moving its length back.
//   4. The MTP block runs over the same rows, so that its cache follows the model's, and then drafts the next tokens
//   one
//      after the other, each time fed its own last state.
//
// A draft is never more than a guess at what the sampler will say, and the sampler's word depends on logits, seed and
// position alone; a row's logits do not depend on its company. So the answer is the same, token for token, whatever is
// drafted, greedy or not. Drafts are chosen with the noise of their own position, which makes them agree the oftener.
#include <algorithm>
#include <chrono>

#include "engine/job.h"

namespace kexa {
namespace {

using Clock = std::chrono::steady_clock;

int64_t nanoseconds_since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
}

}  // namespace

GenerateJob::GenerateJob(std::shared_ptr<Channel> channel, uint64_t session, std::vector<int> ids,
                         GenerateParams params, int vocab)
    : Job(std::move(channel), session),
      ids_(std::move(ids)),
      prompt_size_(ids_.size()),
      known_(ids_.size()),
      params_(std::move(params)),
      sampler_(params_.sampling, vocab) {}

bool GenerateJob::advance(const JobContext& context) {
  const auto start = Clock::now();
  LoadedModel& model = context.loaded();
  const auto [slot, is_fresh] = model.slots.acquire(owner());
  ids_.resize(known_);  // a step that found no room left its drafts
  if (!has_started_ || is_fresh) {
    const int cached = model.slots.keep_prefix(slot, ids_, params_.drafts > 0);
    if (!has_started_) channel().push(event::Started{cached});
    has_started_ = true;
    drafts_.clear();
  }
  const bool is_prefill = known_ == prompt_size_;
  const ForwardHooks hooks{.cancelled = &channel().cancelled(), .after_layer = {}, .after_route = {}};
  ids_.insert(ids_.end(), drafts_.begin(), drafts_.end());
  const int rows = run_chunk(context, slot, ids_, step_, hooks, [&](int first, int end, std::vector<int>& logit_rows) {
    for (int position = std::max(first, int(known_) - 1); position < end; ++position)
      logit_rows.push_back(position - first);
  });
  if (is_prefill) prefill_tokens_ += rows;
  ids_.resize(known_);

  const bool has_chosen = !step_.logit_rows.empty();
  bool is_over = false, is_length = false;
  if (has_chosen) {
    event::Tokens tokens;
    int accepted = 0;
    for (int i = 0; !is_over; ++i) {
      Choice choice = sampler_.choose(model.device->logits(i), ids_, prompt_size_);
      const int token = choice.token;
      ids_.push_back(token);
      tokens.choices.push_back(std::move(choice));
      const auto& ends = params_.end_tokens;
      const bool is_end = std::find(ends.begin(), ends.end(), token) != ends.end();
      is_length = !is_end && (int(ids_.size() - prompt_size_) >= params_.max_tokens ||
                              int(ids_.size()) >= context.plan.options.context_size);
      is_over = is_end || is_length;
      if (i == int(drafts_.size()) || drafts_[i] != token) break;
      ++accepted;
    }
    if (!drafts_.empty()) tokens.drafts.push_back({int(drafts_.size()), accepted});
    drafts_.clear();
    known_ = ids_.size();
    // The last token has not been run.
    model.slots.truncate(slot, int(known_) - 1);
    channel().push(std::move(tokens));
  }
  if (params_.drafts > 0 && !is_over) run_mtp(context, slot, has_chosen, hooks);
  (is_prefill ? prefill_ns_ : decode_ns_) += nanoseconds_since(start);
  if (is_over) channel().push(event::Ended{is_length, prefill_ns_, decode_ns_, prefill_tokens_});
  return is_over;
}

// As many as asked for, as long as the next step has room for them and could still use them.
int GenerateJob::drafts_wanted(const JobContext& context) const {
  const PlanOptions& options = context.plan.options;
  const int left = params_.max_tokens - int(known_ - prompt_size_);
  return std::max(0, std::min({params_.drafts, kMaxDrafts, options.prefill_chunk - 1, left - 1,
                               options.context_size - int(known_) - 1}));
}

void GenerateJob::run_mtp(const JobContext& context, int slot, bool has_chosen, const ForwardHooks& hooks) {
  LoadedModel& model = context.loaded();
  Device& device = *model.device;
  const int first = step_.rows.front().position, rows = int(step_.rows.size());
  // Row p is given token p + 1. Rows of drafts that were not kept have none; what is made of them is made again.
  std::vector<int> next_tokens(rows);
  for (int r = 0; r < rows && first + r + 1 < int(known_); ++r) next_tokens[r] = ids_[first + r + 1];
  const int wanted = has_chosen ? drafts_wanted(context) : 0;
  int last_row = int(known_) - 2 - first;
  step_.logit_rows.clear();
  if (wanted) step_.logit_rows.push_back(last_row);
  forward_mtp(device, context.description, next_tokens, hooks);
  model.slots.set_mtp_length(slot, std::min(first + rows, int(known_) - 1));

  while (int(drafts_.size()) < wanted) {
    const int draft = sampler_.choose_token(device.logits(0), ids_, prompt_size_);
    drafts_.push_back(draft);
    ids_.push_back(draft);
    if (int(drafts_.size()) == wanted) break;
    const int position = int(known_) - 2 + int(drafts_.size());
    try {
      model.slots.reserve(slot, position + 1);
    } catch (const NoRoom&) {
      break;  // what there is will do
    }
    model.slots.begin_write(slot, position + 1);
    step_.rows = {{draft, slot, position}};
    step_.logit_rows = {0};
    device.begin_draft(step_, model.slots, last_row);
    last_row = 0;
    const int next[] = {draft};
    forward_mtp(device, context.description, next, hooks);
  }
  ids_.resize(known_);
}

}  // namespace kexa
