// Things the engine thread is asked to do, a step at a time.
#pragma once

#include <functional>
#include <memory>

#include "decode/forward.h"
#include "kexa.h"
#include "model/weights.h"

namespace kexa {

// What the engine thread owns once a model is loaded.
struct LoadedModel {
  LoadedModel(const ModelDescription& description, const Plan& plan, int64_t warm_limit, const LoadProgress& progress);

  Weights weights;
  KvSlots slots;
  std::unique_ptr<Device> device;
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
  // `owner` is whose cache the job works in; 0: nobody's.
  Job(std::shared_ptr<Channel> channel, uint64_t owner) : owner_(owner), channel_(std::move(channel)) {}
  virtual ~Job() = default;

  uint64_t owner() const { return owner_; }

  Channel& channel() const { return *channel_; }
  const std::shared_ptr<Channel>& shared_channel() const { return channel_; }

  // Does one step's worth of work, so that jobs can take turns. Returns whether it was the last.
  // Cancelled and Error may be thrown; they end the job. So may NoRoom: the job is to be tried again.
  virtual bool advance(const JobContext& context) = 0;
  // Called once after the last advance, however it ended.
  virtual void finish(KvSlots&) {}

 private:
  uint64_t owner_;
  std::shared_ptr<Channel> channel_;
};

// Runs the uncached part of `ids`, at most a chunk of it, in the owner's slot. Returns the rows run.
// `choose_logit_rows` is told the first and one past the last position of the chunk.
int run_chunk(const JobContext& context, int slot, std::span<const int> ids, Step& step, const ForwardHooks& hooks,
              const std::function<void(int first, int end, std::vector<int>& logit_rows)>& choose_logit_rows);

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
  void finish(KvSlots& slots) override { slots.release(owner()); }

 private:
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
  void finish(KvSlots& slots) override { slots.release(owner()); }

 private:
  std::vector<int> ids_;
  Step step_;
  event::Scored result_;
};

class GenerateJob final : public Job {
 public:
  GenerateJob(std::shared_ptr<Channel> channel, uint64_t session, std::vector<int> ids, GenerateParams params,
              int vocab);
  bool advance(const JobContext& context) override;

 private:
  int drafts_wanted(const JobContext& context) const;
  void run_mtp(const JobContext& context, int slot, bool has_chosen, const ForwardHooks& hooks);

  std::vector<int> ids_;  // prompt and answer; while a step runs, the drafts too
  size_t prompt_size_;
  size_t known_;             // of ids_, those that are not drafts
  std::vector<int> drafts_;  // guesses at what follows
  GenerateParams params_;
  Sampler sampler_;
  Step step_;
  bool has_started_ = false;
  int prefill_tokens_ = 0;
  int64_t prefill_ns_ = 0, decode_ns_ = 0;
};

}  // namespace kexa
