// The life of a request:
// 1. It waits until the batch has a slot and pages for it.
// 2. Its prompt runs, a part in each step. The last part chooses a token.
// 3. Its answer runs: each step has the token chosen last and the drafts after it. The device chooses a token after the
//    last known token. A draft that equals the choice is kept, and its own row gives the next choice. The first draft
//    that differs ends the step for this sequence.
// 4. The MTP block runs over the same rows, so that its cache keeps up with the model's. Then it drafts the next tokens
//    one after the other, each time from its own last state.
// 5. The chosen tokens are taken. Rows of rejected drafts leave the cache because its length does not count them.
//
// A step needs only the largest possible number of tokens, not the tokens themselves. So if the device works by itself,
// the next step begins before 5, and the device never waits for this thread. If the taken step turns out to be the
// answer's last, its rows in the step after it are for nothing.
//
// It may be parked between two steps: its rows go to main memory and come back when there is room again.
//
// A draft is only a guess at the choice. The choice depends on logits, seed and position alone, and a row's logits do
// not depend on other rows. So the answer is the same, token for token, with any drafts, greedy or not, and beside any
// other sequences. Drafts are drawn with the noise of their own position, so that they agree with the choice more
// often.
#include "engine/sequence.h"

#include <algorithm>
#include <limits>

#include "decode/chunk.h"

namespace kexa {
namespace {

// Each point costs the prompt a step that ends there, and a copy of the rings.
constexpr size_t kMostAskedPoints = 16;

}  // namespace

PrefixSeeker Sequence::seeker() {
  extend_page_hashes(hashes_, ids_);
  return {.owner = owner_, .group = params_.group, .ids = ids_, .hashes = hashes_};
}

int Sequence::common_prompt(const Sequence& other) const {
  return common_tokens(prompt(), hashes_, other.prompt(), other.hashes_);
}

bool Sequence::ask_to_keep(int position) {
  if (asked_.contains(position) || position == int(prompt_size_)) return true;
  if (asked_.size() >= kMostAskedPoints) return false;
  asked_.insert(position);
  return true;
}

void Sequence::start(const JobContext& context) {
  LoadedModel& model = *context.model;
  model.prefixes.reuse(slot, seeker(), params_.drafts > 0);
  if (params_.drafts > 0) is_drafting_ = true;
  if (params_.drafts < 0 && context.description.mtp) {
    // An answer without drafts left the MTP block's cache behind, and to catch up would mean to compute cached tokens
    // again. For a single token there is nothing to draft.
    const bool is_ready = params_.max_tokens != 1 && model.slots.has_mtp_nearly(slot, ids_);
    // A prompt without an answer is made ready for answers that draft.
    const bool pays = has_started_ ? is_drafting_ : params_.max_tokens == 0 || model.drafting.begin_answer();
    is_drafting_ = is_ready && pays;
  }
  const int cached = model.slots.keep_prefix(slot, ids_, is_drafting_ && params_.drafts > 0);
  if (!has_started_) {
    const auto waited = std::chrono::steady_clock::now() - came_;
    context.stats.counted.queried_tokens += int64_t(ids_.size());
    context.stats.counted.hit_tokens += cached;
    channel_->push(event::Started{.cached_tokens = cached,
                                  .waited_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(waited).count()});
    if (params_.group) model.prefixes.leave_group(params_.group, params_.group_size);
  }
  if (!has_started_ && params_.grammar) {
    context.grammars.begin(arrival, params_.grammar);
    ask_masks(context, {}, {});
  }
  has_started_ = true;
  is_following_ = false;
  next_drafts_ = 0;
  device_tokens_ = int(ids_.size());
  model.device->begin_choosing(slot, params_.sampling, ids_, prompt_size_);
}

// Time that the timed steps' tokens would have taken one by one, less the time they took.
std::optional<int64_t> Sequence::saved_ns(const DraftPolicy& drafting) const {
  const double plain = drafting.plain_cost();
  if (plain == 0 || drafting_tokens_ == 0) return std::nullopt;
  return int64_t(plain * drafting_tokens_) - drafting_ns_;
}

// The most, and the fewest, tokens that there will be once all begun steps are taken.
int Sequence::most_tokens() const {
  int most = int(ids_.size());
  for (const Part& part : parts_)
    if (part.chooses) most += 1 + part.drafts;
  return most;
}

int Sequence::fewest_tokens() const {
  return int(ids_.size()) +
         int(std::count_if(parts_.begin(), parts_.end(), [](const Part& part) { return part.chooses; }));
}

int Sequence::tokens_left(const PlanOptions& options) const {
  return std::min(params_.max_tokens - answer_size(int(ids_.size())), options.context_size - int(ids_.size()));
}

PlannedSequence Sequence::next_rows(const JobContext& context) const {
  const PlanOptions& options = context.plan.options;
  PlannedSequence next{.last_step = last_step};
  if (is_following_ && tells_rows(context)) {
    const bool is_ready = parts_.empty() && (masks_ || !params_.grammar);
    const int drafts = is_ready ? int(known_drafts().size()) : 0;
    next.rows_left = next.most_rows = 1 + std::min(drafts, std::max(0, tokens_left(options) - 1));
    next.can_step = is_ready;
    next.steps_soon = !next.can_step;
    return next;
  }
  if (is_following_) {
    const int left = params_.max_tokens - answer_size(fewest_tokens());
    next.rows_left = next.most_rows = std::max(1, 1 + std::min(next_drafts_, left - 1));
    next.can_step = left > 0 && most_tokens() + next_drafts_ <= options.context_size;
    next.steps_soon = !next.can_step;
    return next;
  }
  const int first = context.model->slots.length(slot);
  next.is_prompt = first < int(prompt_size_);
  next.rows_left = (next.is_prompt ? int(prompt_size_) : int(ids_.size())) - first;
  // Steps end at positions where the prompt is to be kept. An answer that lost its rows is computed again just as the
  // first time, so that its bits are the same: as an answer's rows, apart from the prompt.
  next.most_rows = std::min({next.rows_left, next_kept(context.model->prefixes, first) - first,
                             next.is_prompt ? bearable_rows(first, options.prefill_chunk) : kSmallRows});
  // The last row has to wait for its mask.
  if (needs_masks()) next.most_rows = std::min(next.most_rows, int(ids_.size()) - 1 - first);
  next.can_step = next.most_rows > 0;
  return next;
}

std::optional<DraftingSequence> Sequence::drafting(const JobContext& context) const {
  if (!is_drafting_) return std::nullopt;
  return DraftingSequence{.id = arrival,
                          .asked = params_.drafts,
                          .most = std::clamp(tokens_left(context.plan.options) - 1, 0, kMaxDrafts),
                          .chances = acceptance_.chances(context.model->acceptance.chances())};
}

// Drafts that the request, the batch or the policy for a lone answer asks for. If drafts do not pay, they stop for the
// rest of the answer.
int Sequence::drafts_asked(const JobContext& context, std::optional<int> shared_drafts) {
  if (!is_drafting_ || params_.drafts >= 0) return is_drafting_ ? params_.drafts : 0;
  if (!shared_drafts) {
    const std::optional<int> worth = context.model->drafting.drafts();
    is_drafting_ = worth.has_value();
    return worth.value_or(0);
  }
  if (*shared_drafts == 0 && context.model->costs.is_known()) is_drafting_ = false;
  return *shared_drafts;
}

// Drafts that a step should make for the next step. `most` and `fewest` are the most and the fewest tokens that there
// are after it. Fewer than wished if the context, the chunk or the cache has no room for their rows, or if the answer
// ends before.
int Sequence::drafts_wanted(const JobContext& context, int asked, int most, int fewest) {
  const PlanOptions& options = context.plan.options;
  const int left = params_.max_tokens - answer_size(fewest);
  const int wanted =
      std::min({asked, kMaxDrafts, options.prefill_chunk - 1, left - 1, options.context_size - most - 1});
  if (wanted <= 0) return 0;
  try {
    context.model->slots.reserve(slot, most + wanted);
  } catch (const NoRoom&) {
    return 0;  // a draft is only a guess, and not worth another sequence's room
  }
  return wanted;
}

Sequence::Part Sequence::prepare(const JobContext& context, int rows, std::optional<int> shared_drafts) {
  Part part{.sequence = this, .rows = rows, .is_following = is_following_};
  if (is_following_ && tells_rows(context))
    prepare_taken(context, part, shared_drafts);
  else if (is_following_)
    prepare_following(context, part, shared_drafts);
  else
    prepare_known(context, part, shared_drafts);
  return part;
}

// A part whose rows the device knows: the token chosen last and the drafts after it.
void Sequence::prepare_following(const JobContext& context, Part& part, std::optional<int> shared_drafts) {
  part.chooses = true;
  part.drafts = part.rows - 1;
  part.rows_end = most_tokens() + part.drafts;
  context.model->slots.reserve(slot, part.rows_end);
  part.next_drafts =
      drafts_wanted(context, drafts_asked(context, shared_drafts), part.rows_end + 1, fewest_tokens() + 1);
  part.has_mtp = is_drafting_;
}

// Whether the device is told of the rows of an answer's steps. Then a step waits until the one before is taken.
bool Sequence::tells_rows(const JobContext& context) const {
  return params_.grammar || context.model->device->lanes() > 1;
}

// A part whose rows are the last token and the drafts after it that have been taken, as far as a grammar allows them.
void Sequence::prepare_taken(const JobContext& context, Part& part, std::optional<int> shared_drafts) {
  KvSlots& slots = context.model->slots;
  const int tokens = int(ids_.size());
  part.is_known = part.chooses = true;
  try {
    slots.reserve(slot, tokens + part.rows - 1);
  } catch (const NoRoom&) {
    part.rows = 1;
    slots.reserve(slot, tokens);
  }
  part.drafts = part.rows - 1;
  part.rows_end = tokens + part.drafts;
  part.made_drafts = params_.grammar ? int(asked_drafts_.size()) : part.drafts;
  part.kept_drafts = params_.grammar ? std::min(kept_drafts_, part.drafts) : part.drafts;
  part.next_drafts = drafts_wanted(context, drafts_asked(context, shared_drafts), part.rows_end + 1, tokens + 1);
  part.has_mtp = is_drafting_;
}

// A part of the next known tokens.
void Sequence::prepare_known(const JobContext& context, Part& part, std::optional<int> shared_drafts) {
  KvSlots& slots = context.model->slots;
  const int first = slots.length(slot), end = first + part.rows;
  part.is_prompt = first < int(prompt_size_);
  part.rows_end = end;
  slots.reserve(slot, end);
  part.chooses = end == int(ids_.size()) && params_.max_tokens > 0;
  if (part.chooses) part.next_drafts = drafts_wanted(context, drafts_asked(context, shared_drafts), end + 1, end + 1);
  part.has_mtp = is_drafting_;
}

void Sequence::add_to(Step& step, const Part& part, KvSlots& slots) {
  const int first_row = int(step.rows.size());
  step.groups.push_back({.slot = slot,
                         .first_row = first_row,
                         .rows = part.rows,
                         .is_following = part.is_following && !part.is_known,
                         .chooses = part.chooses,
                         .drafts = part.next_drafts,
                         .wants_logits = part.chooses && params_.wants_profile,
                         .alternatives = part.chooses ? params_.logprobs : -1,
                         .masks = masks_of(part)});
  const int first = part.is_following ? part.rows_end - part.rows : slots.length(slot);
  for (int i = 0; i < part.rows; ++i) {
    step.rows.push_back(part.is_known       ? taken_row(first + i)
                        : part.is_following ? Row{.slot = slot, .position = first + i}
                                            : known_row(slot, ids_, first + i));
    if (part.chooses && (part.is_following || i + 1 == part.rows)) step.logit_rows.push_back(first_row + i);
  }
  next_drafts_ = part.next_drafts;
  if (part.chooses) masks_.reset();
  // Told before the step: should it be cut off half-way, the rows it has overwritten are known to be gone.
  if (!part.is_following || part.is_known) slots.begin_write(slot, part.rows_end);
}

// The masks of the rows after which the part chooses. Null if no grammar constrains the answer.
std::shared_ptr<const std::vector<uint32_t>> Sequence::masks_of(const Part& part) const {
  if (!params_.grammar || !part.chooses) return nullptr;
  const size_t words = masks_->words.size() / (1 + masks_->drafts.size());
  const auto first = masks_->words.begin();
  return std::make_shared<const std::vector<uint32_t>>(first, first + int64_t(words) * (1 + part.drafts));
}

// A row of the last token or of a draft after it. The token after the last draft does not matter.
Row Sequence::taken_row(int position) const {
  const std::vector<int>& drafts = known_drafts();
  const auto token_at = [&](int at) {
    const int draft = at - int(ids_.size());
    return draft < 0 ? ids_[at] : draft < int(drafts.size()) ? drafts[draft] : 0;
  };
  return {.token = token_at(position), .slot = slot, .position = position, .next = token_at(position + 1)};
}

// Asks for the masks of the next step. `drafts` were made for it.
void Sequence::ask_masks(const JobContext& context, std::vector<int> taken, std::vector<int> drafts) {
  const PlanOptions& options = context.plan.options;
  asked_drafts_ = drafts;
  const int most = std::min({kMaxDrafts, options.prefill_chunk - 1, tokens_left(options) - 1});
  context.grammars.ask(arrival, std::move(taken), std::move(drafts), std::max(0, most), params_.forces_tokens);
}

void Sequence::give_masks(GrammarMasks masks) {
  const auto [made, kept] =
      std::mismatch(asked_drafts_.begin(), asked_drafts_.end(), masks.drafts.begin(), masks.drafts.end());
  kept_drafts_ = int(made - asked_drafts_.begin());
  masks_ = std::move(masks);
}

void Sequence::note_run(const JobContext& context, const Part& part) {
  LoadedModel& model = *context.model;
  KvSlots& slots = model.slots;
  StepCounts& counts = counts_of(part);
  counts.steps += 1, counts.rows += part.rows;
  if (part.has_mtp) counts.mtp_passes += std::max(1, part.next_drafts), counts.draft_heads += part.next_drafts;
  if (!part.is_following) {
    const int first = slots.length(slot);
    slots.end_write(slot, std::span(ids_).subspan(first, part.rows));
    is_following_ = part.chooses;
    if (part.has_mtp && !part.chooses) slots.set_mtp_length(slot, part.rows_end);
    if (part.rows_end == next_kept(model.prefixes, first)) {
      // settle() tells the slot about the MTP block's rows and the drafts only later.
      if (part.has_mtp) slots.set_mtp_length(slot, part.rows_end);
      slots.begin_write(slot, part.rows_end + part.next_drafts);
      keep_prompt(model.prefixes, part.rows_end);
    }
    if (ids_.size() == prompt_size_) prefill_tokens_ += part.rows;
  }
  parts_.push_back(part);
}

// Keeps the prompt's first `length` tokens, which have just run, for all who want them.
void Sequence::keep_prompt(PrefixCache& prefixes, int length) {
  if (prefixes.keeps_all() || length == turn_end()) prefixes.keep(slot, owner_);
  if (params_.group && length == int(prompt_size_) && prefixes.waits_for(params_.group))
    prefixes.keep_for_group(slot, params_.group);
}

// The position at which the prompt is kept for the session's next turn. 0 if none was asked for.
int Sequence::turn_end() const {
  if (params_.keep_at <= 0) return 0;
  // If a slot can go back from the prompt's end to keep_at, the few tokens in between need no step of their own. An MTP
  // block that goes on too uses up one token of that reach.
  const int prompt_end = int(prompt_size_);
  const bool is_near = prompt_end - params_.keep_at <= kKeptReach - (params_.drafts > 0 ? 1 : 0);
  return is_near ? prompt_end : params_.keep_at;
}

// The next position after `position` at which the prompt is to be kept. If there is none, a number past all positions.
int Sequence::next_kept(const PrefixCache& prefixes, int position) const {
  int next = std::numeric_limits<int>::max();
  const auto offer = [&](int wanted) {
    if (wanted > position) next = std::min(next, wanted);
  };
  if (params_.group) offer(int(prompt_size_));
  if (!prefixes.is_on()) return next;
  if (prefixes.keeps_all()) offer(std::min(PrefixCache::next_boundary(position), int(ids_.size())));
  if (const auto asked = asked_.upper_bound(position); asked != asked_.end()) offer(*asked);
  offer(turn_end());
  return next;
}

void Sequence::settle(const JobContext& context, const Part& part, const Chosen* chosen) {
  parts_.pop_front();
  if (!part.is_following && ids_.size() == prompt_size_)
    channel_->push(event::Prompt{part.rows_end, int(prompt_size_)});
  // A prompt without an answer is over once it has run.
  if (params_.max_tokens == 0) is_over_ = is_length_ = part.rows_end == int(prompt_size_);
  if (!part.chooses) return;
  if (chosen->problem) std::rethrow_exception(chosen->problem);
  take(context, part, *chosen);
}

void Sequence::take(const JobContext& context, const Part& part, const Chosen& chosen) {
  LoadedModel& model = *context.model;
  // One past the rows of the step, its drafts' rows included.
  const int rows_end = device_tokens_ + part.drafts;
  device_tokens_ += int(chosen.tokens.size());
  model.slots.begin_write(slot, std::max(rows_end, device_tokens_ - 2 + part.next_drafts));

  const size_t vocab = size_t(context.description.vocab_size);
  event::Tokens tokens{.choices = {}, .drafts = {}, .saved_ns = saved_ns(model.drafting)};
  for (int i = 0; i < int(chosen.tokens.size()) && !is_over_; ++i) {
    const int token = chosen.tokens[i];
    const auto logits = [&] { return std::span(chosen.logits).subspan(i * vocab, vocab); };
    tokens.choices.push_back(chosen.choices.empty() ? Choice{token, 0, {}} : chosen.choices[size_t(i)]);
    ids_.push_back(token);
    const bool is_end =
        std::find(params_.end_tokens.begin(), params_.end_tokens.end(), token) != params_.end_tokens.end();
    is_length_ = !is_end && tokens_left(context.plan.options) <= 0;
    is_over_ = is_end || is_length_;
    if (is_over_ && params_.wants_profile) counts_.logits.assign(logits().begin(), logits().end());
  }
  EngineStats& stats = context.stats.counted;
  if (!part.is_following && part.is_prompt) stats.prompt_tokens += int64_t(prompt_size_);
  stats.generated_tokens += int64_t(tokens.choices.size());
  if (part.drafts) {
    const int kept = std::min(int(tokens.choices.size()), int(chosen.tokens.size()) - 1);
    for (int place = 0; place < part.drafts; ++place) ++stats.drafted[place], stats.accepted[place] += place < kept;
    tokens.drafts.push_back({part.drafts, kept});
  }

  // All tokens but the last have been run.
  const int length = model.slots.length(slot), run = int(ids_.size()) - 1;
  if (run > length) model.slots.end_write(slot, std::span(ids_).subspan(length, run - length));
  if (part.has_mtp) model.slots.set_mtp_length(slot, run);
  const int right = int(chosen.tokens.size()) - 1;
  judge(model, part, right);
  if (!params_.grammar)
    asked_drafts_ = chosen.drafts;
  else if (!is_over_)
    ask_masks(context, std::vector<int>(ids_.end() - int64_t(tokens.choices.size()), ids_.end()), chosen.drafts);
  channel_->push(std::move(tokens));
}

// Learns from the first `right` drafts of the part, which were right. A draft that the grammar refused was wrong, and a
// token that it forced says nothing about the MTP block.
void Sequence::judge(LoadedModel& model, const Part& part, int right) {
  const int made = part.is_known ? part.made_drafts : part.drafts;
  if (part.is_known) right = std::min(right, part.kept_drafts);
  model.drafting.judged(made, right);
  model.acceptance.judged(made, right);
  acceptance_.judged(made, right);
  has_drafted_ |= made > 0;
}

void Sequence::abandon_parts(const JobContext& context) {
  int tokens = device_tokens_;
  for (const Part& part : parts_) {
    if (!part.chooses) continue;
    tokens += 1 + part.drafts;
    context.model->slots.note_written(owner_, tokens + part.next_drafts);
  }
  parts_.clear();
}

void Sequence::add_time(const Part& part, int64_t nanoseconds, int64_t encode_ns) {
  (part.is_prompt ? prefill_ns_ : decode_ns_) += nanoseconds;
  if (part.is_following) encode_ns_ += encode_ns;
}

void Sequence::add_drafting(const Part& part, int tokens, int64_t nanoseconds) {
  if (!part.has_mtp) return;
  drafting_ns_ += nanoseconds;
  drafting_tokens_ += tokens;
}

void Sequence::keep(const JobContext& context) {
  if (context.model->prefixes.keeps_all()) context.model->prefixes.keep(slot, owner_);
}

void Sequence::end(const JobContext& context, bool has_encode_time) {
  LoadedModel& model = *context.model;
  if (is_drafting_ && params_.drafts < 0) model.drafting.end_answer();
  if (!has_drafted_) model.acceptance.rested();
  channel_->push(event::Ended{.is_length = is_length_,
                              .prefill_ns = prefill_ns_,
                              .decode_ns = decode_ns_,
                              .prefill_tokens = prefill_tokens_,
                              .saved_ns = saved_ns(model.drafting),
                              .encode_ns = has_encode_time ? std::optional(encode_ns_) : std::nullopt,
                              .counts = params_.wants_profile ? std::optional(std::move(counts_)) : std::nullopt,
                              .experts = experts_,
                              .parked = times_parked});
}

}  // namespace kexa
