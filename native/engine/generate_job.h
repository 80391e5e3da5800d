// An answer; generate_job.cc describes its steps. Events: Started, Prompt, Tokens, Ended.
#pragma once

#include <deque>

#include "decode/forward.h"
#include "engine/job.h"

namespace kexa {

class GenerateJob final : public Job {
 public:
  GenerateJob(std::shared_ptr<Channel> channel, uint64_t session, std::vector<int> ids, GenerateParams params)
      : Job(std::move(channel), session), ids_(std::move(ids)), prompt_size_(ids_.size()), params_(std::move(params)) {}
  bool advance(const JobContext& context) override;
  void finish(LoadedModel& model) override { abandon_flights(model); }

 private:
  // A begun step whose tokens have not been taken.
  struct Flight {
    int ticket = -1;  // -1: still being encoded
    int rows = 0;
    bool is_following = false;
    bool has_choice = true;  // false: a part of the prompt that is not its last
    int drafts = 0;          // rows of it that are drafts
    bool has_mtp = false;    // the MTP block ran in it
    int next_drafts = 0;     // drafts that it makes for the next step
    int prompt_end = 0;      // tokens of the prompt that have run after it; 0: it is no step of the prompt
    int chosen = 0;          // tokens that it chose
  };

  void begin_step(const JobContext& context, int slot);
  void begin_following(const JobContext& context, int slot, const ForwardHooks& hooks);
  void begin_known(const JobContext& context, int slot, const ForwardHooks& hooks);
  void keep_prompt(LoadedModel& model, int slot, int drafts);
  int next_kept(const PrefixCache& prefixes, int position) const;
  void run_mtp(const JobContext& context, int drafts, const ForwardHooks& hooks);
  Flight settle(const JobContext& context, int slot);
  void start(const JobContext& context, int slot);
  void abandon_flights(LoadedModel& model);

  std::optional<int64_t> saved_ns(const DraftPolicy& drafting) const;
  bool wants_logits() const { return params_.logprobs >= 0 || params_.wants_profile; }
  int most_tokens() const;
  int fewest_tokens() const;
  int drafts_wanted(const JobContext& context, int slot, int most, int asked) const;
  Group choosing_group(const JobContext& context, int slot, int rows, int most);
  bool can_begin(const JobContext& context) const;

  std::vector<int> ids_;  // the prompt and the answer's taken tokens
  size_t prompt_size_;
  GenerateParams params_;
  Step step_;
  std::deque<Flight> flights_;  // the oldest first
  bool is_following_ = false;   // all of ids_ has run, so steps follow the device's choices
  int device_tokens_ = 0;       // length of the device's sequence after the taken steps
  int next_drafts_ = 0;         // made by the step that was begun last
  bool is_drafting_ = false;    // the MTP block runs in every step
  bool has_started_ = false, is_over_ = false, is_length_ = false;
  int prefill_tokens_ = 0;
  int64_t prefill_ns_ = 0, decode_ns_ = 0;
  int64_t drafting_ns_ = 0;  // time of the timed steps in which the MTP block ran
  int drafting_tokens_ = 0;  // tokens of these steps
  int64_t encode_ns_ = 0;    // of the following steps
  event::Ended::Counts counts_;
  ExpertTraffic experts_;
};

}  // namespace kexa
