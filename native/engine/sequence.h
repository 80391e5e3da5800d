// A request for an answer: its tokens, its cached rows and the limits of its next step. sequence.cc describes its life.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <set>

#include "decode/step_plan.h"
#include "engine/admission.h"
#include "engine/job.h"
#include "engine/parked_rows.h"

namespace kexa {

class Sequence {
 public:
  Sequence(std::shared_ptr<Channel> channel, uint64_t session, std::vector<int> ids, GenerateParams params)
      : channel_(std::move(channel)),
        owner_(session),
        ids_(std::move(ids)),
        prompt_size_(ids_.size()),
        params_(std::move(params)) {}

  const std::shared_ptr<Channel>& channel() const { return channel_; }
  uint64_t owner() const { return owner_; }
  const GenerateParams& params() const { return params_; }
  std::span<const int> ids() const { return ids_; }
  std::span<const int> prompt() const { return std::span(ids_).first(prompt_size_); }
  bool is_over() const { return is_over_; }
  bool is_decoding() const { return is_following_; }

  // Kept by the engine and the batch.
  uint64_t arrival = 0;  // requests count up from 1
  Claim::State state = Claim::State::kWaiting;
  uint64_t started = 0;
  int times_parked = 0;
  int slot = -1;  // only while it runs
  int lane = -1;  // from its first start on
  // While it waits: the tokens of its prompt that the cache has, and whether it waits for another's prompt.
  int cached_tokens = 0;
  bool awaits_prompt = false;
  bool has_followers = false;        // others wait for its prompt
  std::optional<ParkedRows> parked;  // only while it is parked; empty if its rows are computed again
  // Noted once a turn, under the bell's lock.
  bool has_reader = true;  // the reader has room for more tokens
  bool is_cancelled = false;
  std::optional<event::Failed> failure;  // of its grammar
  bool waits_for_masks = false;          // and can do nothing until they come
  uint64_t last_step = 0;
  uint64_t blocked_at = 0;  // count of changes of room at which it found no room; 0: it found some

  bool has_started() const { return has_started_; }
  bool is_drafting() const { return is_drafting_; }
  // Whether a part of its prompt has not run yet.
  bool is_in_prompt(const KvSlots& slots) const { return !is_following_ && slots.length(slot) < int(prompt_size_); }
  // For PrefixCache. Valid until it has more tokens.
  PrefixSeeker seeker();
  // The tokens at their beginning that two prompts have in common. Both have called seeker().
  int common_prompt(const Sequence& other) const;
  // Asks it to keep its prompt's first `position` tokens. Returns false if enough such positions were asked for.
  bool ask_to_keep(int position);

  // Begins or goes on in `slot`, which holds some of its tokens or none.
  void start(const JobContext& context);

  // The rows that it may have in the next step. `can_step` is false if it is surely over once the begun steps are
  // taken, or if the step's last row might lie past the context.
  PlannedSequence next_rows(const JobContext& context) const;

  // Its part of a step.
  struct Part {
    Sequence* sequence = nullptr;
    int rows = 0;
    bool is_prompt = false, is_following = false, chooses = false, has_mtp = false;
    bool is_known = false;                 // the device is told of its rows though the part is_following
    int drafts = 0;                        // rows that are drafts
    int made_drafts = 0, kept_drafts = 0;  // drafts that the MTP block made for it, and those of them among its rows
    int next_drafts = 0;                   // drafts that it makes
    int rows_end = 0;                      // the most positions that are written up to
  };
  // Plans a part of `rows` rows and reserves its pages. `shared_drafts`: drafts that the batch wants of it, if its
  // request leaves the number open and it does not run alone. Throws NoRoom, KEXA_CONTEXT_FULL, and KEXA_OUT_OF_MEMORY
  // if the device has no more memory.
  Part prepare(const JobContext& context, int rows, std::optional<int> shared_drafts);
  // Whether its next choice is to be made under masks that have not come.
  bool needs_masks() const { return params_.grammar != 0 && !masks_; }
  void give_masks(GrammarMasks masks);
  // How it may draft in the next step. Nothing if it does not draft.
  std::optional<DraftingSequence> drafting(const JobContext& context) const;
  // Adds the part's rows and its group.
  void add_to(Step& step, const Part& part, KvSlots& slots);
  // After the model has run the part's rows, and after the MTP block has.
  void note_run(const JobContext& context, const Part& part);
  // Counts a part of a profiled step.
  StepCounts& counts_of(const Part& part) { return part.is_following ? counts_.decode : counts_.prefill; }

  // The tokens of a step that has ended. `chosen` is null if the part chose none. Throws the part's problem.
  void settle(const JobContext& context, const Part& part, const Chosen* chosen);
  // Notes the cache rows that begun steps may have overwritten, and forgets these steps.
  void abandon_parts(const JobContext& context);
  bool has_parts() const { return !parts_.empty(); }

  // Adds the time of a step that it was in, and the part of it that went into handing it to the device.
  void add_time(const Part& part, int64_t nanoseconds, int64_t encode_ns);
  void add_drafting(const Part& part, int tokens, int64_t nanoseconds);
  void add_experts(const ExpertTraffic& traffic) { experts_ ? * experts_ += traffic : experts_.emplace(traffic); }

  // Keeps the cache of an answer that is over for prompts that begin with it.
  void keep(const JobContext& context);
  // Pushes the last event of an answer that is over.
  void end(const JobContext& context, bool has_encode_time);

  int tokens_left(const PlanOptions& options) const;

 private:
  std::optional<int64_t> saved_ns(const DraftPolicy& drafting) const;
  int most_tokens() const;
  int fewest_tokens() const;
  int answer_size(int tokens) const { return tokens - int(prompt_size_); }
  int drafts_asked(const JobContext& context, std::optional<int> shared_drafts);
  int drafts_wanted(const JobContext& context, int asked, int most, int fewest);
  bool tells_rows(const JobContext& context) const;
  // Drafts that have been taken. With a grammar, masks_ has those that it allows.
  const std::vector<int>& known_drafts() const { return params_.grammar ? masks_->drafts : asked_drafts_; }
  void prepare_taken(const JobContext& context, Part& part, std::optional<int> shared_drafts);
  Row taken_row(int position) const;
  void prepare_following(const JobContext& context, Part& part, std::optional<int> shared_drafts);
  void prepare_known(const JobContext& context, Part& part, std::optional<int> shared_drafts);
  void keep_prompt(PrefixCache& prefixes, int length);
  int turn_end() const;
  int next_kept(const PrefixCache& prefixes, int position) const;
  void ask_masks(const JobContext& context, std::vector<int> taken, std::vector<int> drafts);
  std::shared_ptr<const std::vector<uint32_t>> masks_of(const Part& part) const;
  void judge(LoadedModel& model, const Part& part, int right);
  void take(const JobContext& context, const Part& part, const Chosen& chosen);

  std::shared_ptr<Channel> channel_;
  uint64_t owner_;
  std::vector<int> ids_;  // the prompt and the answer's taken tokens
  size_t prompt_size_;
  GenerateParams params_;
  std::chrono::steady_clock::time_point came_ = std::chrono::steady_clock::now();
  std::vector<uint64_t> hashes_;       // page_hashes() of ids_
  std::set<int> asked_;                // positions at which others wait for the prompt
  std::deque<Part> parts_;             // of begun steps whose tokens have not been taken, the oldest first
  bool is_following_ = false;          // all of ids_ has run, so steps follow the device's choices
  int device_tokens_ = 0;              // length of the device's sequence after the taken steps
  int next_drafts_ = 0;                // made by the step that was begun last
  std::optional<GrammarMasks> masks_;  // of its next step, if a grammar constrains it
  std::vector<int> asked_drafts_;      // drafts that the MTP block made for its next step
  int kept_drafts_ = 0;                // the first of them, which the grammar allows
  bool is_drafting_ = false;           // the MTP block runs in every step
  bool has_started_ = false, is_over_ = false, is_length_ = false;
  Acceptance acceptance_;
  bool has_drafted_ = false;
  int prefill_tokens_ = 0;
  int64_t prefill_ns_ = 0, decode_ns_ = 0, encode_ns_ = 0;
  int64_t drafting_ns_ = 0;  // time of the timed steps in which the MTP block ran
  int drafting_tokens_ = 0;  // tokens of these steps
  event::Ended::Counts counts_;
  std::optional<ExpertTraffic> experts_;
};

}  // namespace kexa
