// Things the engine thread is asked to do, a step at a time.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "decode/draft_policy.h"
#include "decode/forward.h"
#include "engine/prefix_cache.h"
#include "files/mapped_file.h"
#include "kexa.h"
#include "model/weights.h"

namespace kexa {

inline void append(std::vector<float>& to, std::span<const float> values) {
  to.insert(to.end(), values.begin(), values.end());
}

// What the engine thread owns once a model is loaded.
struct LoadedModel {
  LoadedModel(const ModelDescription& description, const Plan& plan, int64_t warm_limit, const LoadProgress& progress);

  WatchedFiles files;                // that steps read
  std::unique_ptr<Weights> weights;  // none where several devices have their own
  KvSlots slots;
  std::unique_ptr<Device> device;
  PrefixCache prefixes;
  DraftPolicy drafting;
  std::optional<uint64_t> fingerprint;  // model_fingerprint(), once it was asked for
};

// What a job may use. `model` is null until loading has succeeded.
struct JobContext {
  const ModelDescription& description;
  const Plan& plan;
  std::unique_ptr<LoadedModel>& model;

  // Throws KEXA_CLOSED.
  LoadedModel& loaded() const;
};

class Job {
 public:
  // `owner` is the session whose cache the job works in; 0: the job uses no cache.
  Job(std::shared_ptr<Channel> channel, uint64_t owner) : owner_(owner), channel_(std::move(channel)) {}
  virtual ~Job() = default;

  uint64_t owner() const { return owner_; }

  Channel& channel() const { return *channel_; }
  const std::shared_ptr<Channel>& shared_channel() const { return channel_; }

  // Does one step's worth of work, so that jobs can take turns. Returns whether it was the last.
  // Cancelled and Error may be thrown; they end the job. So may NoRoom: the job is to be tried again.
  virtual bool advance(const JobContext& context) = 0;
  // Called once after the last advance, however it ended.
  virtual void finish(LoadedModel&) {}

 private:
  uint64_t owner_;
  std::shared_ptr<Channel> channel_;
};

// Runs the uncached part of `ids`, at most a chunk of it, in the owner's slot. Returns the rows run. Each row is given
// the token that follows it in `ids`. `choose_logit_rows` is told the first and one past the last position of the
// chunk. `most_rows`: 0, or fewer rows than a chunk's. `is_prompt`: Step's.
int run_chunk(const JobContext& context, int slot, std::span<const int> ids, Step& step, const ForwardHooks& hooks,
              const std::function<void(int first, int end, std::vector<int>& logit_rows)>& choose_logit_rows,
              int most_rows = 0, bool is_prompt = true);

// Profiles the device while it lives: a job that is cut short must not leave it slow.
class Profiling {
 public:
  Profiling(Device& device, bool is_wanted);
  ~Profiling();
  // Ends it.
  void add_to(std::optional<Profile>& total);

 private:
  Device& device_;
  bool is_on_;
};

class LoadJob final : public Job {
 public:
  LoadJob(std::shared_ptr<Channel> channel, int64_t warm_limit) : Job(std::move(channel), 0), warm_limit_(warm_limit) {}
  bool advance(const JobContext& context) override;

 private:
  int64_t warm_limit_;
};

class ForwardJob final : public Job {
 public:
  ForwardJob(std::shared_ptr<Channel> channel, uint64_t owner, std::vector<int> ids, const ForwardParams& params)
      : Job(std::move(channel), owner), ids_(std::move(ids)), params_(params) {}
  bool advance(const JobContext& context) override;
  void finish(LoadedModel& model) override { model.slots.release(owner()); }

 private:
  // Rows of the step that begins at `position`; 0: a chunk's.
  int most_rows(int position) const;

  std::vector<int> ids_;
  ForwardParams params_;
  Step step_;
  event::Forwarded result_;
};

class ScoreJob final : public Job {
 public:
  ScoreJob(std::shared_ptr<Channel> channel, uint64_t owner, std::vector<int> ids)
      : Job(std::move(channel), owner), ids_(std::move(ids)) {}
  bool advance(const JobContext& context) override;
  void finish(LoadedModel& model) override { model.slots.release(owner()); }

 private:
  std::vector<int> ids_;
  Step step_;
  event::Scored result_;
};

class MeasureJob final : public Job {
 public:
  MeasureJob(std::shared_ptr<Channel> channel, uint64_t owner, MeasureParams params)
      : Job(std::move(channel), owner), params_(std::move(params)) {}
  bool advance(const JobContext& context) override;
  void finish(LoadedModel& model) override { model.slots.release(owner()); }

 private:
  void fill_cache(const JobContext& context, int slot);
  void prepare(const JobContext& context, int slot, int rows);
  void call(const JobContext& context, const OpMeasurement& wanted, int index);
  event::Measured measure(const JobContext& context, const OpMeasurement& wanted);
  event::Measured measure_steps(const JobContext& context, const OpMeasurement& wanted);

  MeasureParams params_;
  size_t next_ = 0;
  int prepared_rows_ = 0;  // for which a whole step has filled every buffer; 0: none
  Step step_;
};

class ExpertHeatJob final : public Job {
 public:
  explicit ExpertHeatJob(std::shared_ptr<Channel> channel) : Job(std::move(channel), 0) {}
  bool advance(const JobContext& context) override;
};

// For tests: makes the device fail at something.
class ForceJob final : public Job {
 public:
  ForceJob(std::shared_ptr<Channel> channel, std::function<void(Device&)> force)
      : Job(std::move(channel), 0), force_(std::move(force)) {}
  bool advance(const JobContext& context) override;

 private:
  std::function<void(Device&)> force_;
};

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
