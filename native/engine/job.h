// A request inside the engine, run a step at a time. Each kind of job has a file of its own.
#pragma once

#include <memory>

#include "base/error.h"
#include "engine/grammar_port.h"
#include "engine/loaded_model.h"
#include "engine/stats.h"
#include "kexa.h"

namespace kexa {

// The state that a job may use. `model` is null until loading has succeeded.
struct JobContext {
  const ModelDescription& description;
  const Plan& plan;
  std::unique_ptr<LoadedModel>& model;
  StatsBoard& stats;
  GrammarPort& grammars;

  // Throws KEXA_CLOSED.
  LoadedModel& loaded() const {
    if (!model) throw Error("KEXA_CLOSED", "the model is not loaded");
    return *model;
  }
};

class Job {
 public:
  // `owner` is the session whose cache the job works in; 0: the job uses no cache.
  Job(std::shared_ptr<Channel> channel, uint64_t owner) : owner_(owner), channel_(std::move(channel)) {}
  virtual ~Job() = default;

  uint64_t owner() const { return owner_; }

  // Kept by the engine.
  uint64_t arrival = 0;     // requests count up from 1
  uint64_t blocked_at = 0;  // Batch::room_changes() when it found no room; 0: it found some
  // It once found no room. Requests that came after it do not start before it is over.
  bool was_blocked = false;

  Channel& channel() const { return *channel_; }
  const std::shared_ptr<Channel>& shared_channel() const { return channel_; }

  // Does the work of one step, so that jobs can take turns. Returns whether it was the last. Throws Cancelled or Error,
  // which ends the job, and NoRoom, after which advance() is called again later.
  virtual bool advance(const JobContext& context) = 0;
  // Called once after the last advance(), however it ended.
  virtual void finish(LoadedModel&) {}

 private:
  uint64_t owner_;
  std::shared_ptr<Channel> channel_;
};

}  // namespace kexa
