// An answer; generate_job.cc tells how it is made. Events: Started, Prompt, Tokens, Ended.
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
  // A step whose tokens have not been taken.
  struct Flight {
    int ticket = -1;  // -1: still being encoded
    int rows = 0;
    bool is_following = false;
    bool has_choice = true;     // else a part of the prompt that is not its last
    int drafts = 0;             // of its rows
    bool has_mtp = false;       // the MTP block ran in it
    int next_drafts = 0;        // made by it, for the step after
    int prompt_end = 0;         // tokens of the prompt that are run once it is; 0: it is not part of one
    int chosen = 0;             // tokens it gave
    std::vector<float> logits;  // [drafts + 1, vocab], where log-probabilities are wanted
  };

  void begin_step(const JobContext& context, int slot);
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
  void reserve_drafts(const JobContext& context, int slot, int most);
  bool can_begin(const JobContext& context) const;

  std::vector<int> ids_;  // prompt and answer, as far as it was taken
  size_t prompt_size_;
  GenerateParams params_;
  Step step_;
  std::deque<Flight> flights_;  // the oldest first
  bool is_following_ = false;   // all of ids_ is run; steps follow on from what the device chose
  int device_tokens_ = 0;       // of the sequence as the device has it, at the steps taken so far
  int next_drafts_ = 0;         // made by the step begun last
  bool is_drafting_ = false;    // the MTP block runs in every step
  bool has_started_ = false, is_over_ = false, is_length_ = false;
  int prefill_tokens_ = 0;
  int64_t prefill_ns_ = 0, decode_ns_ = 0;
  int64_t drafting_ns_ = 0;  // of the timed steps in which the MTP block ran
  int drafting_tokens_ = 0;  // that they gave
  int64_t encode_ns_ = 0;    // of the steps that follow on
  event::Ended::Counts counts_;
  ExpertTraffic experts_;
};

}  // namespace kexa
