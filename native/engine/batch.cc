#include "engine/batch.h"

#include <algorithm>
#include <set>
#include <utility>

#include "decode/forward.h"
#include "engine/profiling.h"

namespace kexa {
namespace {

int64_t nanoseconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

// The MTP block's passes over a step that makes `drafts` drafts.
void run_mtp(const JobContext& context, int drafts, const ForwardHooks& hooks) {
  Device& device = *context.model->device;
  forward_mtp(device, context.description, drafts > 0, hooks);
  for (int made = 0; made < drafts; ++made) {
    device.choose_draft();
    if (made + 1 == drafts) break;
    device.begin_draft();
    forward_mtp(device, context.description, true, hooks);
  }
}

}  // namespace

bool Batch::can_move() const {
  if (!flights_.empty() || (is_admission_due_ && !all_.empty()) || grammars_.has_news()) return true;
  return std::any_of(all_.begin(), all_.end(), [&](const auto& sequence) {
    if (sequence->channel()->cancelled()) return true;
    const bool is_slow = sequence->channel()->is_full();
    // A slow reader who has read on, or one who has become slow while others wait for room.
    if (sequence->has_reader == is_slow) return true;
    return sequence->state == Claim::State::kRunning && !is_slow && sequence->blocked_at != room_changes_ &&
           !sequence->waits_for_masks;
  });
}

void Batch::look_around() {
  for (GrammarPort::News& news : grammars_.take_news()) {
    Sequence* sequence = find(news.sequence);
    if (!sequence) continue;
    if (auto* masks = std::get_if<GrammarMasks>(&news.what))
      sequence->give_masks(std::move(*masks));
    else
      sequence->failure = std::move(std::get<event::Failed>(news.what));
    sequence->waits_for_masks = false;
  }
  for (const auto& sequence : all_) {
    const bool has_reader = !sequence->channel()->is_full();
    // A sequence whose reader is slow can be parked for others, and one whose reader has read on can come back.
    if (has_reader != sequence->has_reader) note_room();
    sequence->has_reader = has_reader;
    sequence->is_cancelled = sequence->channel()->cancelled();
  }
}

bool Batch::has_session(uint64_t session) const {
  return std::any_of(all_.begin(), all_.end(), [&](const auto& one) { return one->owner() == session; });
}

std::vector<Sequence*> Batch::running_by_age() const {
  std::vector<Sequence*> found;
  for (const auto& sequence : all_)
    if (sequence->state == Claim::State::kRunning) found.push_back(sequence.get());
  std::stable_sort(found.begin(), found.end(), [](const Sequence* a, const Sequence* b) {
    return std::pair(-a->params().priority, a->started) < std::pair(-b->params().priority, b->started);
  });
  return found;
}

std::vector<uint64_t> Batch::running() const {
  std::vector<uint64_t> owners;
  for (const auto& sequence : all_)
    if (sequence->state == Claim::State::kRunning) owners.push_back(sequence->owner());
  return owners;
}

void Batch::turn(const JobContext& context, std::vector<JobClaim> jobs) {
  jobs_ = std::move(jobs);
  drop_given_up(context);
  admit(context);
  if (begin_next(context))
    while (int(flights_.size()) > context.model->device->steps_ahead()) settle(context);
  else if (!flights_.empty())
    settle(context);
  // Nothing runs, so these copies are all that is waited for.
  if (flights_.empty()) context.model->prefixes.collect(context.model->prefixes.kept_count());
}

// Begins the next steps of one lane; the lanes take turns. Returns false if none has anything to do.
bool Batch::begin_next(const JobContext& context) {
  const Device& device = *context.model->device;
  for (int tried = 0; tried < device.lanes(); ++tried) {
    Parts parts = prepare(context, next_lane_);
    next_lane_ = (next_lane_ + 1) % device.lanes();
    if (parts.answers.empty() && parts.prompts.empty()) continue;
    if (device.mixes_prompts() && !parts.answers.empty()) {
      parts.answers.insert(parts.answers.end(), parts.prompts.begin(), parts.prompts.end());
      parts.prompts.clear();
    }
    // Answers go first, so that their readers have the tokens before the prompts have run.
    if (!parts.answers.empty()) begin(context, std::move(parts.answers), false);
    if (!parts.prompts.empty()) begin(context, std::move(parts.prompts), true);
    return true;
  }
  return false;
}

// The lane with the fewest running sequences. A sequence stays in its lane.
int Batch::emptiest_lane(int lanes) const {
  std::vector<int> running(static_cast<size_t>(lanes));
  for (const auto& sequence : all_)
    if (sequence->state == Claim::State::kRunning) ++running[size_t(sequence->lane)];
  return int(std::min_element(running.begin(), running.end()) - running.begin());
}

Batch::Parts Batch::prepare(const JobContext& context, int lane) {
  for (;;)
    if (std::optional<Parts> parts = try_prepare(context, lane)) return std::move(*parts);
}

// The sequences that may be in the next step, the oldest first. A step that is profiled is one sequence's own.
std::vector<Sequence*> Batch::candidates(const JobContext& context) const {
  std::vector<Sequence*> found = running_by_age();
  std::erase_if(found, [&](const Sequence* one) { return one->blocked_at == room_changes_; });
  const auto find_profiled = [&](bool wants_profile) {
    return std::find_if(found.begin(), found.end(), [&](const Sequence* one) {
      return one->params().wants_profile == wants_profile && one->has_reader && one->next_rows(context).can_step;
    });
  };
  const auto is_profiled = [](const Sequence* one) { return one->params().wants_profile; };
  if (std::none_of(found.begin(), found.end(), is_profiled)) return found;
  const auto profiled = find_profiled(true);
  if (profiled != found.end() && (!was_profiled_ || find_profiled(false) == found.end())) return {*profiled};
  std::erase_if(found, is_profiled);
  return found;
}

// Plans the next step and reserves its pages. Nothing if a sequence found no room: then another was parked, or the
// sequence waits, and the step is to be planned again.
std::optional<Batch::Parts> Batch::try_prepare(const JobContext& context, int lane) {
  LoadedModel& model = *context.model;
  for (const auto& sequence : all_)
    if (sequence->state == Claim::State::kRunning)
      sequence->waits_for_masks = sequence->needs_masks() && !sequence->next_rows(context).can_step;
  const std::vector<Sequence*> sequences = candidates(context);
  std::vector<PlannedSequence> planned;
  for (Sequence* sequence : sequences) {
    planned.push_back(sequence->next_rows(context));
    if (!sequence->has_reader) planned.back().can_step = planned.back().steps_soon = false;
    // A prompt's rows make the answers of other lanes wait too.
    if (sequence->lane != lane && std::exchange(planned.back().can_step, false))
      planned.back().steps_soon = !planned.back().is_prompt;
  }
  const PlanOptions& options = context.plan.options;
  const StepBudget budget{.most_rows = options.prefill_chunk,
                          .decode_rows = std::min(options.decode_rows(), most_logit_rows(context.description, options)),
                          .target_ns = options.most_step_ms * 1e6,
                          .mixes_prompts = model.device->mixes_prompts()};
  const StepPlan plan = plan_step(planned, budget, model.costs, model.prompt_costs);

  const std::vector<std::optional<int>> shared = shared_drafts(context, sequences, plan);
  Parts parts;
  const auto prepare = [&](const PlannedRows& rows, std::vector<Sequence::Part>& to) {
    Sequence& sequence = *sequences[size_t(rows.sequence)];
    if (!jobs_.empty()) protect(context, sequence.arrival);
    try {
      to.push_back(sequence.prepare(context, rows.rows, shared[size_t(rows.sequence)]));
    } catch (const NoRoom&) {
      make_room_for(context, sequence);
      return false;
    } catch (...) {
      fail(context, sequence, std::current_exception());
      return false;
    }
    return true;
  };
  protect(context, 0);
  for (const PlannedRows& rows : plan.answers)
    if (!prepare(rows, parts.answers)) return std::nullopt;
  for (const PlannedRows& rows : plan.prompts)
    if (!prepare(rows, parts.prompts)) return std::nullopt;
  return parts;
}

// The number of drafts of each of `sequences`, if several share the step. Nothing for a sequence that does not draft.
std::vector<std::optional<int>> Batch::shared_drafts(const JobContext& context, std::span<Sequence* const> sequences,
                                                     const StepPlan& plan) const {
  std::vector<std::optional<int>> shared(sequences.size());
  const size_t stepping = plan.answers.size() + plan.prompts.size();
  if (stepping < 2) return shared;
  std::vector<DraftingSequence> drafting;
  std::vector<size_t> who;
  for (const auto* planned : {&plan.answers, &plan.prompts})
    for (const PlannedRows& rows : *planned)
      if (const auto found = sequences[size_t(rows.sequence)]->drafting(context)) {
        drafting.push_back(*found);
        who.push_back(size_t(rows.sequence));
      }
  if (drafting.empty()) return shared;
  LoadedModel& model = *context.model;
  const std::vector<int> drafts = model.batch_drafts.plan(drafting, int(stepping), model.costs);
  for (size_t i = 0; i < who.size(); ++i) shared[who[i]] = drafts[i];
  return shared;
}

void Batch::begin(const JobContext& context, std::vector<Sequence::Part> parts, bool is_prompt) {
  Device& device = *context.model->device;
  // Parts that draft come first, the ones with more drafts before others, then parts that only pass the MTP block.
  const auto rank = [](const Sequence::Part& part) {
    return part.next_drafts ? part.next_drafts : part.has_mtp ? 0 : -1;
  };
  std::stable_sort(parts.begin(), parts.end(), [&](const auto& a, const auto& b) { return rank(a) > rank(b); });
  Flight flight{.ticket = -1,
                .lane = parts[0].sequence->lane,
                .parts = {},
                .is_prompt = is_prompt,
                .mtp_passes = 0,
                .began = Clock::now(),
                .encode_ns = 0,
                .experts = {},
                .kept_prefixes = 0};
  Step step;
  step.is_prompt = is_prompt;
  try {
    const std::optional<ExpertTraffic> before = device.expert_traffic();
    encode(context, parts, step, flight);
    if (before) flight.experts = *device.expert_traffic() - *before;
  } catch (const Cancelled&) {
    return;  // the next turn drops the requests
  } catch (...) {
    for (const Sequence::Part& part : parts) fail(context, *part.sequence, std::current_exception());
    return;
  }
  flight.encode_ns = nanoseconds(Clock::now() - flight.began);
  flight.parts = std::move(parts);
  flights_.push_back(std::move(flight));
}

void Batch::encode(const JobContext& context, std::vector<Sequence::Part>& parts, Step& step, Flight& flight) {
  LoadedModel& model = *context.model;
  Device& device = *model.device;
  model.files.check();
  ++steps_;
  step.mtp_rows = 0;
  bool chooses = false;
  std::vector<std::shared_ptr<Channel>> readers;
  for (Sequence::Part& part : parts) {
    part.sequence->add_to(step, part, model.slots);
    part.sequence->last_step = steps_;
    readers.push_back(part.sequence->channel());
    chooses |= part.chooses;
    if (part.has_mtp) step.mtp_rows += part.rows;
  }
  step.is_wanted = [readers, &stopping = is_stopping_] {
    return !stopping.load(std::memory_order_relaxed) &&
           std::any_of(readers.begin(), readers.end(), [](const auto& reader) { return !reader->cancelled(); });
  };
  ForwardHooks hooks{.is_wanted = step.is_wanted, .layers_done = &context.stats.layers};
  was_profiled_ = parts[0].sequence->params().wants_profile;
  StepCounts& counts = parts[0].sequence->counts_of(parts[0]);
  Profiling profiling(device, was_profiled_);
  if (was_profiled_)
    hooks.after_route = [&](int) {
      const auto experts = device.route_experts();
      counts.experts += int64_t(std::set<int>(experts.begin(), experts.end()).size());
    };
  forward(device, context.description, step, model.slots, hooks);
  hooks.after_route = {};  // the MTP block's experts are counted apart
  if (chooses) device.choose();
  if (step.mtp_rows) {
    const int drafts = parts[0].next_drafts;
    run_mtp(context, drafts, hooks);
    flight.mtp_passes = std::max(1, drafts);
  }
  for (const Sequence::Part& part : parts) {
    part.sequence->note_run(context, part);
    // Who waits for the prompt may have what it waits for.
    is_admission_due_ |= part.sequence->has_followers && !part.is_following;
  }
  flight.kept_prefixes = model.prefixes.kept_count();
  flight.ticket = device.end_step();
  profiling.add_to(counts.profile);
}

// Takes the oldest begun step.
void Batch::settle(const JobContext& context) {
  Flight flight = std::move(flights_.front());
  flights_.pop_front();
  std::vector<Chosen> taken;
  try {
    taken = context.model->device->take(flight.ticket);
  } catch (const Cancelled&) {
    return;
  } catch (...) {
    for (const Sequence::Part& part : flight.parts)
      if (part.sequence) fail(context, *part.sequence, std::current_exception());
    return;
  }
  const Clock::time_point now = Clock::now();
  Clock::time_point& settled = settled_[flight.lane];
  const int64_t taken_ns = nanoseconds(now - std::max(flight.began, settled));
  settled = now;
  learn(context, flight, taken, taken_ns);
  context.model->prefixes.collect(flight.kept_prefixes);
  size_t choice = 0;
  for (const Sequence::Part& part : flight.parts) {
    const Chosen* chosen = part.chooses ? &taken.at(choice++) : nullptr;
    if (!part.sequence) continue;
    Sequence& sequence = *part.sequence;
    std::unique_ptr<Sequence> ended;
    try {
      sequence.add_time(part, taken_ns, flight.encode_ns);
      if (flight.experts) sequence.add_experts(*flight.experts);
      sequence.settle(context, part, chosen);
      if (!sequence.is_over()) continue;
      growth_.ended(int(sequence.ids().size() - sequence.prompt().size()));
      sequence.abandon_parts(context);
      sequence.keep(context);
      ended = remove(context, sequence);
    } catch (...) {
      fail(context, sequence, std::current_exception());
      continue;
    }
    show_stats(context);
    const Device& device = *context.model->device;
    ended->end(context, device.steps_ahead() > 0 && device.lanes() == 1);
  }
}

void Batch::settle_all(const JobContext& context) {
  while (!flights_.empty()) settle(context);
}

void Batch::learn(const JobContext& context, const Flight& flight, const std::vector<Chosen>& chosen,
                  int64_t taken_ns) {
  LoadedModel& model = *context.model;
  int rows = 0, prompt_rows = 0;
  for (const Sequence::Part& part : flight.parts) {
    rows += part.rows;
    if (part.is_prompt) prompt_rows += part.rows;
  }
  StepStats& stats = prompt_rows ? context.stats.counted.prompt_steps : context.stats.counted.answer_steps;
  stats.rows.add(rows);
  stats.sequences.add(double(flight.parts.size()));
  stats.seconds.add(double(taken_ns) / 1e9);
  context.stats.counted.computed_tokens += prompt_rows;
  (flight.is_prompt && !model.device->mixes_prompts() ? model.prompt_costs : model.costs)
      .took(rows, flight.mtp_passes, double(taken_ns));
  // In a steady run of one answer, steps of so many rows follow each other.
  if (flight.parts.size() != 1) return;
  const Sequence::Part& part = flight.parts[0];
  if (!part.is_following || part.drafts != part.next_drafts) return;
  model.drafting.took(part.drafts, part.has_mtp, taken_ns);
  if (part.sequence) part.sequence->add_drafting(part, int(chosen.at(0).tokens.size()), taken_ns);
}

void Batch::fail(const JobContext& context, Sequence& sequence, const std::exception_ptr& exception) {
  context.stats.note_failure(exception);
  cut_off(context, sequence)->channel()->fail(exception);
}

std::unique_ptr<Sequence> Batch::cut_off(const JobContext& context, Sequence& sequence) {
  sequence.abandon_parts(context);
  std::unique_ptr<Sequence> removed = remove(context, sequence);
  show_stats(context);
  return removed;
}

std::unique_ptr<Sequence> Batch::remove(const JobContext& context, Sequence& sequence) {
  for (Flight& flight : flights_)
    for (Sequence::Part& part : flight.parts)
      if (part.sequence == &sequence) part.sequence = nullptr;
  const GenerateParams& params = sequence.params();
  if (params.group && !sequence.has_started()) context.model->prefixes.leave_group(params.group, params.group_size);
  if (sequence.parked) parked_bytes_ -= sequence.parked->bytes();
  if (sequence.params().grammar) grammars_.end(sequence.arrival);
  note_room();
  const auto place = std::find_if(all_.begin(), all_.end(), [&](const auto& one) { return one.get() == &sequence; });
  std::unique_ptr<Sequence> removed = std::move(*place);
  all_.erase(place);
  return removed;
}

// Ends the requests whose readers have gone, and those that their grammar's worker has given up.
void Batch::drop_given_up(const JobContext& context) {
  std::vector<Sequence*> given_up;
  for (const auto& sequence : all_)
    if (sequence->is_cancelled || sequence->failure) given_up.push_back(sequence.get());
  for (Sequence* sequence : given_up) {
    const std::unique_ptr<Sequence> ended = cut_off(context, *sequence);
    if (ended->is_cancelled)
      ended->channel()->push(event::Stopped{});
    else
      ended->channel()->fail(ended->failure->code.c_str(), ended->failure->message.c_str());
  }
}

void Batch::fail_all(const JobContext* context, const char* code, const char* message) {
  for (const auto& sequence : all_) {
    sequence->channel()->fail(code, message);
    if (sequence->params().grammar) grammars_.end(sequence->arrival);
  }
  if (context)
    for (const Flight& flight : flights_) context->model->device->drop(flight.ticket);
  flights_.clear();
  all_.clear();
}

}  // namespace kexa
