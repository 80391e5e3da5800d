// How sequences get slots and pages, and give them up.
#include <algorithm>

#include "engine/batch.h"

namespace kexa {
namespace {

constexpr uint64_t kNever = ~uint64_t{0};
// The fewest tokens of another's prompt that are worth waiting for.
constexpr int kWorthAwaiting = 512;

int pages_for(int tokens) { return (tokens + kPageRows - 1) / kPageRows; }

}  // namespace

// Owners whose slots and pages are not to be taken: running sequences, and jobs that came before `arrival`. 0: all
// jobs.
void Batch::protect(const JobContext& context, uint64_t arrival) const {
  std::vector<uint64_t> owners = running();
  for (const JobClaim& job : jobs_)
    if (arrival == 0 || job.arrival < arrival) owners.push_back(job.owner);
  context.model->slots.protect(std::move(owners));
}

Room Batch::room(const JobContext& context) const {
  protect(context, 0);
  const KvSlots::Takeable takeable = context.model->slots.takeable();
  return {.free_slots = takeable.slots, .free_pages = takeable.pages};
}

Sequence* Batch::find(uint64_t arrival) const {
  const auto found = std::find_if(all_.begin(), all_.end(), [&](const auto& one) { return one->arrival == arrival; });
  return found == all_.end() ? nullptr : found->get();
}

// Requests that came after this one do not start, because a job before them waits for room.
uint64_t Batch::held_after() const {
  uint64_t found = kNever;
  for (const JobClaim& job : jobs_)
    if (job.was_blocked) found = std::min(found, job.arrival);
  return found;
}

std::vector<Claim> Batch::claims(const JobContext& context, uint64_t held_after) const {
  const KvSlots& slots = context.model->slots;
  const std::vector<int> holders = slots.protected_holders();
  std::vector<Claim> found;
  for (const auto& one : all_) {
    const Sequence& sequence = *one;
    if (sequence.state != Claim::State::kRunning && sequence.arrival > held_after) continue;
    const int tokens = int(sequence.ids().size()), left = sequence.tokens_left(context.plan.options);
    const int growth = growth_.growth(tokens - int(sequence.prompt().size()), left);
    int held = 0, own = 0;
    if (sequence.state == Claim::State::kRunning) {
      held = int(slots.pages(sequence.slot).size());
      for (const int page : slots.pages(sequence.slot)) own += holders[page] == 1;
    } else if (!sequence.parked) {
      // Pages of a kept prefix that a running sequence shares cost nothing more.
      for (const int page : context.model->prefixes.find(one->seeker(), false).pages) held += holders[page] > 0;
    }
    found.push_back({.id = sequence.arrival,
                     .priority = sequence.params().priority,
                     .arrival = sequence.arrival,
                     .started = sequence.started,
                     .state = sequence.state,
                     .is_stalled = !sequence.has_reader,
                     .awaits_prompt = sequence.awaits_prompt,
                     .held_pages = own,
                     .wanted_pages = std::max(0, pages_for(tokens + growth) - held),
                     .most_wanted_pages = std::max(0, pages_for(tokens + left) - held),
                     .times_parked = sequence.times_parked});
  }
  return found;
}

void Batch::show_stats(const JobContext& context, std::vector<JobClaim> jobs) {
  jobs_ = std::move(jobs);
  show_stats(context);
}

void Batch::show_stats(const JobContext& context) const {
  EngineStats& stats = context.stats.counted;
  stats.running = stats.waiting = stats.parked = 0, stats.waiting_tokens = 0;
  std::vector<uint64_t> live;
  for (const auto& sequence : all_) {
    switch (sequence->state) {
      case Claim::State::kRunning:
        ++stats.running;
        live.push_back(sequence->owner());
        break;
      case Claim::State::kWaiting:
        ++stats.waiting;
        stats.waiting_tokens += int64_t(sequence->prompt().size()) - sequence->cached_tokens;
        break;
      case Claim::State::kParked:
        ++stats.parked;
        break;
    }
  }
  for (const JobClaim& job : jobs_) live.push_back(job.owner);
  const KvSlots::PageCounts pages = context.model->slots.count_pages(live);
  stats.live_pages = pages.live, stats.kept_pages = pages.kept, stats.free_pages = pages.free;
  stats.device_ns = context.model->device->busy_ns();
  context.stats.show();
}

void Batch::admit(const JobContext& context) {
  if (!is_admission_due_) return;
  is_admission_due_ = false;
  start_waiting(context);
  show_stats(context);
}

void Batch::start_waiting(const JobContext& context) {
  const auto waits = [](const auto& one) { return one->state != Claim::State::kRunning; };
  while (std::any_of(all_.begin(), all_.end(), waits)) {
    for (const auto& one : all_) one->has_followers = false;
    for (const auto& one : all_)
      if (one->state == Claim::State::kWaiting) one->awaits_prompt = awaits_prompt(context, *one);
    const Room free = room(context);
    const std::vector<Claim> claimed = claims(context, held_after());
    if (const auto next = to_admit(claimed, free)) {
      if (!start(context, *find(*next))) return;
    } else if (const auto victim = to_give_way(claimed, free)) {
      park_running(context, *victim);
    } else {
      return;
    }
  }
}

// Whether the prompt of an older request, which is being computed, will soon give this one so many tokens that it
// should wait for them. So requests that come together with one long beginning compute it once.
bool Batch::awaits_prompt(const JobContext& context, Sequence& sequence) {
  const PrefixCache& prefixes = context.model->prefixes;
  const KvSlots& slots = context.model->slots;
  const GenerateParams& params = sequence.params();
  // One that waits goes on waiting, though the older one's prompt is kept at a point on the way.
  const int worth = sequence.awaits_prompt ? kPageRows : kWorthAwaiting;
  const bool needs_mtp = params.drafts > 0;
  const int own = slots.find(sequence.owner());
  sequence.cached_tokens = std::max(prefixes.find(sequence.seeker(), needs_mtp).length,
                                    own < 0 ? 0 : slots.prefix_length(own, sequence.ids(), needs_mtp));
  for (const auto& one : all_) {
    Sequence& older = *one;
    if (older.arrival >= sequence.arrival) break;
    if (older.state != Claim::State::kRunning || !older.is_in_prompt(slots)) continue;
    if (older.params().priority < params.priority || (needs_mtp && !older.is_drafting())) continue;
    const bool is_of_group = params.group && older.params().group == params.group;
    if (!is_of_group) {
      if (!prefixes.keeps_all()) continue;
      const int common = older.common_prompt(sequence);
      if (common - sequence.cached_tokens < worth || common <= slots.length(older.slot)) continue;
      if (!older.ask_to_keep(common)) continue;
    }
    older.has_followers = true;
    return true;
  }
  return false;
}

// Gives a sequence its slot. Returns false if there is none after all.
bool Batch::start(const JobContext& context, Sequence& sequence) {
  LoadedModel& model = *context.model;
  try {
    sequence.slot = model.slots.acquire(sequence.owner()).slot;
    if (sequence.lane < 0) sequence.lane = emptiest_lane(model.device->lanes());
    if (sequence.parked) {
      model.slots.rewind(sequence.slot, 0);
      sequence.parked->restore(context.description, model.slots, *model.device, sequence.slot);
      parked_bytes_ -= sequence.parked->bytes();
      sequence.parked.reset();
    }
    sequence.state = Claim::State::kRunning;
    if (sequence.started == 0) sequence.started = ++starts_;
    sequence.start(context);
  } catch (const NoRoom&) {
    model.slots.release(sequence.owner());
    return false;
  } catch (...) {
    fail(context, sequence, std::current_exception());
  }
  return true;
}

// Moves a sequence's rows to main memory and frees its slot and its pages. Its begun steps must have been taken.
// Without room in main memory the rows are dropped, to be computed again.
void Batch::park(const JobContext& context, Sequence& sequence) {
  LoadedModel& model = *context.model;
  const int64_t bytes = ParkedRows::bytes_of(context.description, model.slots, *model.device, sequence.slot);
  try {
    if (model.slots.length(sequence.slot) > 0 && parked_bytes_ + bytes <= context.plan.options.park_bytes) {
      sequence.parked.emplace(context.description, model.slots, *model.device, sequence.slot);
      parked_bytes_ += bytes;
    }
  } catch (const std::bad_alloc&) {
    // The rows are computed again.
  }
  model.slots.release(sequence.owner());
  sequence.slot = -1;
  sequence.state = Claim::State::kParked;
  ++context.stats.counted.parks;
  if (sequence.has_reader) ++sequence.times_parked;
  note_room();
}

// Takes all begun steps, and parks the sequence if it still runs then.
void Batch::park_running(const JobContext& context, uint64_t arrival) {
  settle_all(context);
  Sequence* sequence = find(arrival);
  if (sequence && sequence->state == Claim::State::kRunning) park(context, *sequence);
}

// Parks another sequence so that a running one finds pages. If there is none to park, the sequence waits until
// something else gives up room, or fails if nothing can.
void Batch::make_room_for(const JobContext& context, Sequence& sequence) {
  protect(context, 0);
  if (const auto victim = to_park(claims(context, kNever), sequence.arrival)) return park_running(context, *victim);
  if (running().size() > 1 || !jobs_.empty()) {
    sequence.blocked_at = room_changes_;
    return;
  }
  const std::string found = std::to_string(context.plan.kv.pages * kPageRows);
  fail(context, sequence,
       std::make_exception_ptr(Error("KEXA_OUT_OF_MEMORY", "wanted room for one more token after " +
                                                               std::to_string(sequence.ids().size()) +
                                                               ", found a cache of " + found +
                                                               " tokens that no other request shares (cacheTokens)")));
}

bool Batch::make_room(const JobContext& context, uint64_t arrival) {
  const Sequence* youngest = nullptr;
  for (const auto& one : all_) {
    if (one->state != Claim::State::kRunning || (one->arrival < arrival && one->has_reader)) continue;
    if (!youngest || one->arrival > youngest->arrival) youngest = one.get();
  }
  if (!youngest) return false;
  park_running(context, youngest->arrival);
  return true;
}

}  // namespace kexa
