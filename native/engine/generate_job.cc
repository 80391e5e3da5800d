// An answer, token by token, with or without drafts.
//
// One step:
// 1. Its rows are the prompt's next chunk; once the prompt is in, they are the token chosen last and the drafts after
//    it.
// 2. The device chooses a token after the last known token. A draft that equals the choice is kept, and its own row
//    gives the next choice. The first draft that differs ends the step.
// 3. The MTP block runs over the same rows, so that its cache keeps up with the model's. Then it drafts the next tokens
//    one after the other, each time from its own last state.
// 4. The chosen tokens are taken. Rows of rejected drafts leave the cache because its length does not count them.
//
// Steps 1 to 3 need only the largest possible number of tokens, not the tokens themselves. So if the device works by
// itself, the next step begins before 4, and the device never waits for this thread. If the taken step turns out to be
// the answer's last, the step begun after it is dropped.
//
// A draft is only a guess at the choice. The choice depends on logits, seed and position alone, and a row's logits do
// not depend on other rows. So the answer is the same, token for token, with any drafts, greedy or not. Drafts are
// drawn with the noise of their own position, so that they agree with the choice more often.
#include "engine/generate_job.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <set>

#include "decode/chunk.h"
#include "engine/profiling.h"

namespace kexa {
namespace {

using Clock = std::chrono::steady_clock;

int64_t nanoseconds_since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
}

}  // namespace

bool GenerateJob::advance(const JobContext& context) {
  const auto began = Clock::now();
  const bool is_prefill = ids_.size() == prompt_size_;
  LoadedModel& model = context.loaded();
  const std::optional<ExpertTraffic> traffic_before = model.device->expert_traffic();
  const auto [slot, is_fresh] = model.slots.acquire(owner());
  if (!has_started_ || is_fresh) start(context, slot);
  const bool begins = can_begin(context);
  if (begins) begin_step(context, slot);
  // The first following step begins before the prompt's last step is taken.
  if (begins && flights_.back().is_following) encode_ns_ += nanoseconds_since(began);
  const int steps_ahead = model.device->steps_ahead();
  std::optional<Flight> timed;
  while (!is_over_ && int(flights_.size()) > (can_begin(context) ? steps_ahead : 0)) {
    // In a steady run, each call begins one step and takes one. The time of such a call is the cost of a step.
    const bool is_steady =
        begins && !timed && flights_.front().is_following && flights_.front().drafts == flights_.front().next_drafts;
    Flight flight = settle(context, slot);
    if (is_steady) timed = std::move(flight);
  }
  if (timed) {
    const int64_t nanoseconds = nanoseconds_since(began);
    model.drafting.took(timed->drafts, timed->has_mtp, nanoseconds);
    if (timed->has_mtp) {
      drafting_ns_ += nanoseconds;
      drafting_tokens_ += timed->chosen;
    }
  }
  if (traffic_before) experts_ += *model.device->expert_traffic() - *traffic_before;
  if (is_over_ && is_drafting_ && params_.drafts < 0) model.drafting.end_answer();
  (is_prefill ? prefill_ns_ : decode_ns_) += nanoseconds_since(began);
  if (is_over_ && model.prefixes.keeps_all()) {
    abandon_flights(model);
    model.prefixes.keep(slot, owner());
  }
  if (is_over_)
    channel().push(event::Ended{.is_length = is_length_,
                                .prefill_ns = prefill_ns_,
                                .decode_ns = decode_ns_,
                                .prefill_tokens = prefill_tokens_,
                                .saved_ns = saved_ns(model.drafting),
                                .encode_ns = steps_ahead ? std::optional(encode_ns_) : std::nullopt,
                                .counts = params_.wants_profile ? std::optional(std::move(counts_)) : std::nullopt,
                                .experts = traffic_before ? std::optional(experts_) : std::nullopt});
  return is_over_;
}

void GenerateJob::start(const JobContext& context, int slot) {
  LoadedModel& model = *context.model;
  // Another session may have taken the slot meanwhile, and with it the rows of the steps that were begun.
  abandon_flights(model);
  model.prefixes.reuse(slot, owner(), ids_, params_.drafts > 0);
  if (params_.drafts > 0) is_drafting_ = true;
  if (params_.drafts < 0 && context.description.mtp) {
    // An answer without drafts left the MTP block's cache behind, and to catch up would mean to compute cached tokens
    // again. For a single token there is nothing to draft.
    const bool is_ready = params_.max_tokens > 1 && model.slots.has_mtp_nearly(slot, ids_);
    is_drafting_ = is_ready && (has_started_ ? is_drafting_ : model.drafting.begin_answer());
  }
  const int cached = model.slots.keep_prefix(slot, ids_, is_drafting_ && params_.drafts > 0);
  if (!has_started_) channel().push(event::Started{cached});
  has_started_ = true;
  is_following_ = false;
  next_drafts_ = 0;
  device_tokens_ = int(ids_.size());
  model.device->begin_choosing(slot, params_.sampling, ids_, prompt_size_);
}

// Time that the timed steps' tokens would have taken one by one, less the time they took.
std::optional<int64_t> GenerateJob::saved_ns(const DraftPolicy& drafting) const {
  const double plain = drafting.plain_cost();
  if (plain == 0 || drafting_tokens_ == 0) return std::nullopt;
  return int64_t(plain * drafting_tokens_) - drafting_ns_;
}

// The most, and the fewest, tokens that there will be once all begun steps are taken.
int GenerateJob::most_tokens() const {
  int most = int(ids_.size());
  for (const Flight& flight : flights_)
    if (flight.has_choice) most += 1 + flight.drafts;
  return most;
}

int GenerateJob::fewest_tokens() const {
  return int(ids_.size()) +
         int(std::count_if(flights_.begin(), flights_.end(), [](const Flight& flight) { return flight.has_choice; }));
}

// False if the answer will surely be over before, or if the step's last row might lie past the context: then the begun
// steps must be taken first.
bool GenerateJob::can_begin(const JobContext& context) const {
  if (!is_following_) return true;
  return fewest_tokens() - int(prompt_size_) < params_.max_tokens &&
         most_tokens() + next_drafts_ <= context.plan.options.context_size;
}

// Drafts that a step should make for the next step. `most` is the most tokens there are after it, `asked` the wish.
// Fewer if the context, the chunk or the cache has no room for their rows, or if the answer ends before.
int GenerateJob::drafts_wanted(const JobContext& context, int slot, int most, int asked) const {
  const PlanOptions& options = context.plan.options;
  const int left = params_.max_tokens - (fewest_tokens() - int(prompt_size_));
  const int wanted =
      std::min({asked, kMaxDrafts, options.prefill_chunk - 1, left - 1, options.context_size - most - 1});
  if (wanted <= 0) return 0;
  try {
    context.model->slots.reserve(slot, most + wanted);
  } catch (const NoRoom&) {
    return 0;  // requests that came earlier have priority
  }
  return wanted;
}

// Decides how many drafts the step that is being begun makes, and reserves pages for them, because the device learns a
// step's pages when the step begins. `most` is the most tokens there are after it.
Group GenerateJob::choosing_group(const JobContext& context, int slot, int rows, int most) {
  int asked = params_.drafts;
  if (is_drafting_ && params_.drafts < 0) {
    const std::optional<int> worth = context.model->drafting.drafts();
    is_drafting_ = worth.has_value();
    asked = worth.value_or(0);
  }
  next_drafts_ = is_drafting_ ? drafts_wanted(context, slot, most, asked) : 0;
  return {.slot = slot,
          .rows = rows,
          .is_following = is_following_,
          .chooses = true,
          .drafts = next_drafts_,
          .wants_logits = wants_logits()};
}

// Begins a step whose rows the device knows: the token chosen last and the drafts after it.
void GenerateJob::begin_following(const JobContext& context, int slot, const ForwardHooks& hooks) {
  LoadedModel& model = context.loaded();
  // Fewer drafts than were made, if the answer has no room for more.
  const int left = params_.max_tokens - (fewest_tokens() - int(prompt_size_));
  const int most = most_tokens(), drafts = std::min(next_drafts_, left - 1), rows = 1 + drafts;
  model.slots.reserve(slot, most + drafts);
  flights_.push_back({.rows = rows, .is_following = true, .drafts = drafts});
  step_.groups = {choosing_group(context, slot, rows, most_tokens())};
  step_.rows.clear();
  step_.logit_rows.clear();
  step_.is_prompt = false;
  step_.is_wanted = hooks.is_wanted;
  for (int i = 0; i < rows; ++i) {
    step_.rows.push_back({.slot = slot, .position = most - 1 + i});
    step_.logit_rows.push_back(i);
  }
  forward(*model.device, context.description, step_, model.slots, hooks);
}

// Begins a step of the next known tokens.
void GenerateJob::begin_known(const JobContext& context, int slot, const ForwardHooks& hooks) {
  LoadedModel& model = context.loaded();
  const int first = model.slots.length(slot);
  // Steps end at positions where the prompt is to be kept. If another session took an answer's slot, its tokens are
  // computed again just as the first time, so that their bits are the same: a few rows at a time, and apart from the
  // prompt.
  const bool is_prompt = first < int(prompt_size_);
  const int most_rows =
      std::min(next_kept(model.prefixes, first) - first, is_prompt ? int(prompt_size_) - first : kSmallRows);
  const auto choose_logit_rows = [&](int, int end, std::vector<int>& logit_rows) {
    if (end < int(ids_.size())) return;
    logit_rows.push_back(end - 1 - first);
    step_.groups = {choosing_group(context, slot, end - first, end + 1)};
  };
  const int rows = run_chunk(*model.device, context.description, model.slots,
                             {.slot = slot,
                              .ids = ids_,
                              .prefill_chunk = context.plan.options.prefill_chunk,
                              .most_rows = most_rows,
                              .is_prompt = is_prompt,
                              .choose_logit_rows = choose_logit_rows},
                             step_, hooks);
  is_following_ = model.slots.length(slot) == int(ids_.size());
  flights_.push_back({.rows = rows, .has_choice = is_following_});
  if (ids_.size() == prompt_size_) {
    prefill_tokens_ += rows;
    flights_.back().prompt_end = model.slots.length(slot);
  }
}

void GenerateJob::begin_step(const JobContext& context, int slot) {
  LoadedModel& model = context.loaded();
  Device& device = *model.device;
  ForwardHooks hooks{.is_wanted = channel().is_wanted(), .after_layer = {}, .after_route = {}};
  StepCounts& counts = is_following_ ? counts_.decode : counts_.prefill;
  Profiling profiling(device, params_.wants_profile);
  if (params_.wants_profile)
    hooks.after_route = [&](int) {
      const auto experts = device.route_experts();
      counts.experts += int64_t(std::set<int>(experts.begin(), experts.end()).size());
    };
  const int first = model.slots.length(slot);
  if (is_following_)
    begin_following(context, slot, hooks);
  else
    begin_known(context, slot, hooks);
  Flight& flight = flights_.back();
  counts.steps += 1, counts.rows += flight.rows;
  hooks.after_route = {};  // the MTP block's experts are counted apart
  if (flight.has_choice) device.choose();
  if (is_drafting_) {
    flight.has_mtp = true;
    flight.next_drafts = flight.has_choice ? next_drafts_ : 0;
    run_mtp(context, flight.next_drafts, hooks);
    counts.mtp_passes += std::max(1, flight.next_drafts), counts.draft_heads += flight.next_drafts;
    if (!flight.has_choice) model.slots.set_mtp_length(slot, model.slots.length(slot));
  }
  if (!flight.is_following && first + flight.rows == next_kept(model.prefixes, first))
    keep_prompt(model, slot, flight.next_drafts);
  next_drafts_ = flight.next_drafts;
  flight.ticket = device.end_step();
  profiling.add_to(counts.profile);
}

// Keeps the rows of the prompt that have been run, with the MTP block's rows if it ran. settle() tells the slot about
// them only later.
void GenerateJob::keep_prompt(LoadedModel& model, int slot, int drafts) {
  const int length = model.slots.length(slot);
  if (is_drafting_) model.slots.set_mtp_length(slot, length);
  model.slots.begin_write(slot, length + drafts);
  model.prefixes.keep(slot, owner());
}

// The next position after `position` at which the prompt is to be kept. If there is none, a number past all positions.
int GenerateJob::next_kept(const PrefixCache& prefixes, int position) const {
  int next = std::numeric_limits<int>::max();
  if (!prefixes.is_on()) return next;
  const int end = int(ids_.size()), prompt_end = int(prompt_size_);
  if (prefixes.keeps_all()) next = std::min(PrefixCache::next_boundary(position), end);
  // If a slot can go back from the prompt's end to keep_at, the few tokens in between need no step of their own. An MTP
  // block that goes on too uses up one token of that reach.
  const bool is_near = prompt_end - params_.keep_at <= kKeptReach - (params_.drafts > 0 ? 1 : 0);
  const int turn_end = is_near ? prompt_end : params_.keep_at;
  if (params_.keep_at > 0 && turn_end > position) next = std::min(next, turn_end);
  return next;
}

void GenerateJob::run_mtp(const JobContext& context, int drafts, const ForwardHooks& hooks) {
  Device& device = *context.model->device;
  forward_mtp(device, context.description, drafts > 0, hooks);
  for (int made = 0; made < drafts; ++made) {
    device.choose_draft();
    if (made + 1 == drafts) break;
    device.begin_draft();
    forward_mtp(device, context.description, true, hooks);
  }
}

// Takes the tokens of the oldest begun step.
GenerateJob::Flight GenerateJob::settle(const JobContext& context, int slot) {
  LoadedModel& model = context.loaded();
  Flight flight = std::move(flights_.front());
  const std::vector<Chosen> taken = model.device->take(flight.ticket);
  flights_.pop_front();
  if (flight.prompt_end) channel().push(event::Prompt{flight.prompt_end, int(prompt_size_)});
  if (!flight.has_choice) return flight;
  if (taken.at(0).problem) std::rethrow_exception(taken[0].problem);
  const std::vector<int>& chosen = taken[0].tokens;
  const std::vector<float>& logits = taken[0].logits;

  // One past the rows of the step, its drafts' rows included.
  const int rows_end = device_tokens_ + flight.drafts;
  device_tokens_ += int(chosen.size());
  model.slots.begin_write(slot, std::max(rows_end, device_tokens_ - 2 + flight.next_drafts));

  const size_t vocab = size_t(context.description.vocab_size);
  flight.chosen = int(chosen.size());
  event::Tokens tokens{.choices = {}, .drafts = {}, .saved_ns = saved_ns(model.drafting)};
  for (int i = 0; i < int(chosen.size()) && !is_over_; ++i) {
    const int token = chosen[i];
    tokens.choices.push_back(params_.logprobs < 0
                                 ? Choice{token, 0, {}}
                                 : with_logprobs(token, std::span(logits).subspan(i * vocab, vocab), params_.logprobs));
    ids_.push_back(token);
    const bool is_end =
        std::find(params_.end_tokens.begin(), params_.end_tokens.end(), token) != params_.end_tokens.end();
    is_length_ = !is_end && (int(ids_.size() - prompt_size_) >= params_.max_tokens ||
                             int(ids_.size()) >= context.plan.options.context_size);
    is_over_ = is_end || is_length_;
    if (is_over_ && params_.wants_profile) {
      const auto last = std::span(logits).subspan(i * vocab, vocab);
      counts_.logits.assign(last.begin(), last.end());
    }
  }
  if (flight.drafts)
    tokens.drafts.push_back({flight.drafts, std::min(int(tokens.choices.size()), int(chosen.size()) - 1)});

  // All tokens but the last have been run.
  const int length = model.slots.length(slot), run = int(ids_.size()) - 1;
  if (run > length) model.slots.end_write(slot, std::span(ids_).subspan(length, run - length));
  if (flight.has_mtp) model.slots.set_mtp_length(slot, run);
  model.drafting.judged(flight.drafts, int(chosen.size()) - 1);
  channel().push(std::move(tokens));
  return flight;
}

// Drops the begun steps that were not taken, and notes the cache rows that they may have overwritten.
void GenerateJob::abandon_flights(LoadedModel& model) {
  int tokens = device_tokens_;
  for (const Flight& flight : flights_) {
    if (flight.ticket >= 0) model.device->drop(flight.ticket);
    if (!flight.has_choice) continue;
    tokens += 1 + flight.drafts;
    model.slots.note_written(owner(), tokens + flight.next_drafts);
  }
  flights_.clear();
}

}  // namespace kexa
