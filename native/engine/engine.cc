#include <algorithm>
#include <condition_variable>
#include <list>

#include "base/failure.h"
#include "base/start_thread.h"
#include "engine/batch.h"
#include "engine/device_jobs.h"
#include "engine/forward_job.h"
#include "engine/load_job.h"
#include "engine/measure_job.h"
#include "engine/score_job.h"
#include "engine/session_jobs.h"

namespace kexa {

struct Engine::State {
  State(ModelDescription description, const PlanOptions& options)
      : description(std::move(description)), plan(make_plan(this->description, options)) {
    stats.counted.slots = plan.kv.slots;
    stats.counted.pages = stats.counted.free_pages = plan.kv.pages;
    stats.counted.device_ns.resize(plan.options.parts.size());
    stats.shown = stats.counted;
  }

  const ModelDescription description;
  const Plan plan;
  const std::shared_ptr<Bell> bell = std::make_shared<Bell>();
  const std::shared_ptr<GrammarPort> grammars = std::make_shared<GrammarPort>(bell, description.vocab_size);

  // Guarded by the bell's lock. Requests move from list to list by their nodes, which needs no memory.
  std::list<std::unique_ptr<Sequence>> answers;  // have just come, for the batch
  std::list<std::unique_ptr<Job>> jobs;          // all others: waiting for their turn, the next one first
  std::list<const Job*> by_age;                  // all jobs, the oldest first
  uint64_t arrivals = 0;
  std::shared_ptr<Channel> running;         // channel of the job whose turn it is
  std::vector<uint64_t> ended_sessions;     // their caches are freed once they have no job left
  std::shared_ptr<Channel> closing;         // set if close() was called
  bool is_stopping = false;                 // the engine is being destroyed
  bool is_over = false;                     // the thread takes no more jobs
  uint64_t next_owner = uint64_t{1} << 63;  // for jobs without a session; sessions count up from 1

  std::atomic<bool> has_ended{false};  // is_ending(), to be read between layers

  StatsBoard stats{bell};

  // Only for the engine's thread:
  std::unique_ptr<LoadedModel> model;
  Batch batch{has_ended, *grammars};

  JobContext context() { return {description, plan, model, stats, *grammars}; }
  bool is_ending() const { return is_stopping || closing; }
  // Whether a job can take a turn. The thread sleeps until one can.
  bool can_run(const Job& job) const {
    return job.channel().cancelled() || (!job.channel().is_full() && job.blocked_at != batch.room_changes());
  }
  std::vector<uint64_t>::iterator find_ended_session();
  void free_ended_sessions();
  std::vector<uint64_t> owners_before(const Job& job);
  std::vector<Batch::JobClaim> job_claims();
  void run_job(std::list<std::unique_ptr<Job>>& turn);
  void run_batch();
  bool run_next();
  bool advance(Job& job);
  void finish(Job& job);
  void wind_down();
  void stop();
};

namespace {

// Adds requests that the batch has not looked at yet.
void count_waiting(const std::list<std::unique_ptr<Sequence>>& answers, EngineStats& stats) {
  stats.waiting += int(answers.size());
  for (const auto& answer : answers) stats.waiting_tokens += int64_t(answer->prompt().size());
}

// The engine threads of this process. Never destroyed, because threads may end while the process does.
class EngineThreads {
 public:
  static EngineThreads& all() {
    static EngineThreads& threads = *new EngineThreads;
    return threads;
  }

  // Starts a detached thread, which ends when its engine is stopped; wait() waits for that. Throws KEXA_OUT_OF_MEMORY.
  template <typename State, typename Work>
  void start(const std::shared_ptr<State>& state, Work work) {
    std::list<Running> entry;
    entry.push_back({state.get(), [weak = std::weak_ptr(state)] {
                       if (const auto state = weak.lock()) state->stop();
                     }});
    const auto place = entry.begin();
    {
      const std::lock_guard lock(mutex_);
      running_.splice(running_.end(), entry);
    }
    try {
      start_thread("the engine", [this, place, held = state, work]() mutable {
        work(*held);
        // Frees all that the thread holds before it counts as ended.
        held.reset();
        end(place);
      }).detach();
    } catch (...) {
      end(place);
      throw;
    }
  }

  // Returns whether the engine's thread has ended.
  bool wait(const void* state, std::chrono::milliseconds most) {
    std::unique_lock lock(mutex_);
    return ended_.wait_for(lock, most, [&] {
      return std::none_of(running_.begin(), running_.end(), [&](const Running& one) { return one.state == state; });
    });
  }

  // Stops all engines. Returns whether their threads have ended.
  bool stop(std::chrono::milliseconds most) {
    std::unique_lock lock(mutex_);
    for (const Running& one : running_) one.stop();
    return ended_.wait_for(lock, most, [&] { return running_.empty(); });
  }

 private:
  struct Running {
    const void* state;
    std::function<void()> stop;
  };

  void end(std::list<Running>::iterator place) {
    const std::lock_guard lock(mutex_);
    running_.erase(place);
    ended_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable ended_;
  std::list<Running> running_;
};

}  // namespace

Engine::Engine(ModelDescription description, const PlanOptions& options)
    : state_(std::make_shared<State>(std::move(description), options)) {
  EngineThreads::all().start(state_, [](State& state) {
    while (state.run_next()) {
    }
    state.wind_down();
  });
}

Engine::~Engine() { state_->stop(); }

bool Engine::stop(std::chrono::milliseconds most) {
  state_->stop();
  return EngineThreads::all().wait(state_.get(), most);
}

bool stop_all_engines(std::chrono::milliseconds most) { return EngineThreads::all().stop(most); }

void Engine::State::stop() {
  std::shared_ptr<Channel> channel;
  {
    std::lock_guard lock(bell->mutex);
    is_stopping = true;
    has_ended = true;
    channel = running;
  }
  if (channel) channel->cancel();
  bell->rung.notify_one();
}

const ModelDescription& Engine::description() const { return state_->description; }
const Plan& Engine::plan() const { return state_->plan; }
const std::shared_ptr<GrammarPort>& Engine::grammars() const { return state_->grammars; }

// The owners whose cache this job may not take: running answers, and the jobs that came before it and can run. Room is
// first come, first served. If each job took room from the next, all would start again and again and none would end. A
// job that waits for its reader protects nothing, so that a slow reader holds up nobody.
std::vector<uint64_t> Engine::State::owners_before(const Job& job) {
  std::vector<uint64_t> owners = batch.running();
  std::lock_guard lock(bell->mutex);
  for (const Job* other : by_age) {
    if (other == &job) break;
    if (other->owner() && !other->channel().is_full()) owners.push_back(other->owner());
  }
  return owners;
}

std::vector<Batch::JobClaim> Engine::State::job_claims() {
  std::lock_guard lock(bell->mutex);
  std::vector<Batch::JobClaim> claims;
  for (const Job* job : by_age)
    if (job->owner()) claims.push_back({job->owner(), job->arrival, job->was_blocked});
  return claims;
}

// An ended session that has no request left. The bell is locked.
std::vector<uint64_t>::iterator Engine::State::find_ended_session() {
  return std::find_if(ended_sessions.begin(), ended_sessions.end(), [&](uint64_t session) {
    const auto is_of = [&](const auto& request) { return request->owner() == session; };
    return std::none_of(by_age.begin(), by_age.end(), is_of) && std::none_of(answers.begin(), answers.end(), is_of) &&
           !batch.has_session(session);
  });
}

void Engine::State::free_ended_sessions() {
  for (;;) {
    uint64_t session;
    {
      std::lock_guard lock(bell->mutex);
      const auto ended = find_ended_session();
      if (ended == ended_sessions.end()) return;
      session = *ended;
      ended_sessions.erase(ended);
    }
    if (!model) continue;
    model->slots.release(session);
    model->prefixes.release(session);
    batch.note_room();
  }
}

// One turn of the engine's thread: a turn of the batch, and before it one of a job. Returns false when the thread
// should end. Only the work itself needs memory.
bool Engine::State::run_next() {
  if (model) batch.show_stats(context(), job_claims());
  std::list<std::unique_ptr<Job>> turn;  // the one job whose turn it is
  bool has_batch;
  {
    std::unique_lock lock(bell->mutex);
    auto next = jobs.end();
    bell->rung.wait(lock, [&] {
      next = std::find_if(jobs.begin(), jobs.end(), [&](const auto& candidate) { return can_run(*candidate); });
      has_batch = !answers.empty() || batch.can_move();
      return is_ending() || next != jobs.end() || has_batch || find_ended_session() != ended_sessions.end();
    });
    if (is_ending()) return false;
    if (next != jobs.end()) {
      turn.splice(turn.begin(), jobs, next);
      running = turn.front()->shared_channel();
    }
    count_waiting(answers, stats.shown);
    batch.add(answers);
    batch.look_around();
  }
  free_ended_sessions();
  if (!turn.empty()) run_job(turn);
  if (has_batch) run_batch();
  return true;
}

void Engine::State::run_job(std::list<std::unique_ptr<Job>>& turn) {
  Job& job = *turn.front();
  const bool is_over_now = advance(job);
  if (is_over_now) finish(job);
  {
    std::lock_guard lock(bell->mutex);
    running = nullptr;
    if (is_over_now) {
      by_age.remove(&job);
    } else {
      jobs.splice(jobs.end(), turn);
    }
  }
  // Its room is free now.
  if (is_over_now) batch.note_room();
}

void Engine::State::run_batch() {
  if (!model) {
    batch.fail_all(nullptr, "KEXA_CLOSED", "the model is not loaded");
    return stats.show();
  }
  batch.turn(context(), job_claims());
}

// Returns whether the job is over.
bool Engine::State::advance(Job& job) {
  try {
    if (job.channel().cancelled()) throw Cancelled{};
    if (model) {
      model->files.check();
      model->slots.protect(owners_before(job));
    }
    const bool is_over_now = job.advance(context());
    job.blocked_at = 0;
    return is_over_now;
  } catch (const Cancelled&) {
    bool is_closed;
    {
      std::lock_guard lock(bell->mutex);
      is_closed = is_ending();
    }
    if (is_closed) {
      job.channel().fail("KEXA_CLOSED", "the model was closed");
    } else {
      job.channel().push(event::Stopped{});
    }
  } catch (const NoRoom&) {
    job.was_blocked = true;
    if (!batch.make_room(context(), job.arrival)) job.blocked_at = batch.room_changes();
    return false;
  } catch (...) {
    stats.note_failure(std::current_exception());
    job.channel().fail(std::current_exception());
  }
  return true;
}

void Engine::State::finish(Job& job) {
  try {
    if (model) job.finish(*model);
  } catch (...) {
    // The request has ended. If the device is broken, the next request will meet the error.
  }
}

void Engine::State::wind_down() {
  std::list<std::unique_ptr<Job>> left;
  std::list<std::unique_ptr<Sequence>> unanswered;
  std::shared_ptr<Channel> closer;
  {
    std::lock_guard lock(bell->mutex);
    is_over = true;
    left.swap(jobs);
    unanswered.swap(answers);
    by_age.clear();
    closer = closing;
  }
  for (const auto& job : left) job->channel().fail("KEXA_CLOSED", "the model was closed");
  left.clear();
  batch.add(unanswered);
  const JobContext context = this->context();
  stats.show_closed();
  batch.fail_all(model ? &context : nullptr, "KEXA_CLOSED", "the model was closed");
  model.reset();
  if (closer) closer->push(event::Done{});
}

template <typename MakeJob>
std::shared_ptr<Channel> Engine::post(const MakeJob& make_job) {
  auto channel = std::make_shared<Channel>(state_->bell);
  bool is_refused;
  {
    std::lock_guard lock(state_->bell->mutex);
    is_refused = state_->is_over || state_->is_ending();
    if (!is_refused) {
      state_->jobs.push_back(make_job(channel, state_->next_owner++));
      state_->jobs.back()->arrival = ++state_->arrivals;
      state_->by_age.push_back(state_->jobs.back().get());
    }
  }
  if (is_refused) channel->fail("KEXA_CLOSED", "the model was closed");
  state_->bell->rung.notify_one();
  return channel;
}

std::shared_ptr<Channel> Engine::load(int64_t warm_limit) {
  return post([&](auto channel, uint64_t) { return std::make_unique<LoadJob>(std::move(channel), warm_limit); });
}

std::shared_ptr<Channel> Engine::forward(std::vector<int> ids, const ForwardParams& params) {
  return post([&](auto channel, uint64_t owner) {
    return std::make_unique<ForwardJob>(std::move(channel), owner, std::move(ids), params);
  });
}

std::shared_ptr<Channel> Engine::measure(MeasureParams params) {
  return post([&](auto channel, uint64_t owner) {
    return std::make_unique<MeasureJob>(std::move(channel), owner, std::move(params));
  });
}

std::shared_ptr<Channel> Engine::score(std::vector<int> ids, int alternatives) {
  return post([&](auto channel, uint64_t owner) {
    return std::make_unique<ScoreJob>(std::move(channel), owner, std::move(ids), alternatives);
  });
}

std::shared_ptr<Channel> Engine::generate(uint64_t session, std::vector<int> ids, const GenerateParams& params) {
  auto channel = std::make_shared<Channel>(state_->bell);
  std::list<std::unique_ptr<Sequence>> answer;
  answer.push_back(std::make_unique<Sequence>(channel, session, std::move(ids), params));
  bool is_refused;
  {
    std::lock_guard lock(state_->bell->mutex);
    is_refused = state_->is_over || state_->is_ending();
    if (!is_refused) {
      answer.front()->arrival = ++state_->arrivals;
      state_->answers.splice(state_->answers.end(), answer);
    }
  }
  if (is_refused) channel->fail("KEXA_CLOSED", "the model was closed");
  state_->bell->rung.notify_one();
  return channel;
}

std::shared_ptr<Channel> Engine::fork(uint64_t session, uint64_t parent) {
  return post([&](auto channel, uint64_t) { return std::make_unique<ForkJob>(std::move(channel), session, parent); });
}

std::shared_ptr<Channel> Engine::rewind(uint64_t session, int length) {
  return post([&](auto channel, uint64_t) { return std::make_unique<RewindJob>(std::move(channel), session, length); });
}

std::shared_ptr<Channel> Engine::save(uint64_t session, std::string path) {
  return post(
      [&](auto channel, uint64_t) { return std::make_unique<SaveJob>(std::move(channel), session, std::move(path)); });
}

std::shared_ptr<Channel> Engine::load_session(uint64_t session, std::string path) {
  return post([&](auto channel, uint64_t) {
    return std::make_unique<LoadSessionJob>(std::move(channel), session, std::move(path));
  });
}

std::shared_ptr<Channel> Engine::expert_heat() {
  return post([](auto channel, uint64_t) { return std::make_unique<ExpertHeatJob>(std::move(channel)); });
}

std::shared_ptr<Channel> Engine::force_device_loss() {
  return post([](auto channel, uint64_t) {
    return std::make_unique<ForceJob>(std::move(channel), [](Device& device) { device.force_loss(); });
  });
}

std::shared_ptr<Channel> Engine::force_device_room(int64_t bytes) {
  return post([bytes](auto channel, uint64_t) {
    return std::make_unique<ForceJob>(std::move(channel), [bytes](Device& device) { device.force_room(bytes); });
  });
}

EngineStats Engine::stats() const {
  std::lock_guard lock(state_->bell->mutex);
  EngineStats stats = state_->stats.shown;
  count_waiting(state_->answers, stats);
  stats.layers = state_->stats.layers.load(std::memory_order_relaxed);
  return stats;
}

void Engine::end_session(uint64_t session) {
  {
    std::lock_guard lock(state_->bell->mutex);
    state_->ended_sessions.push_back(session);
  }
  state_->bell->rung.notify_one();
}

std::shared_ptr<Channel> Engine::close() {
  auto channel = std::make_shared<Channel>(state_->bell);
  std::shared_ptr<Channel> running;
  bool was_over;
  {
    std::lock_guard lock(state_->bell->mutex);
    was_over = state_->is_over || state_->closing;
    if (!was_over) state_->closing = channel;
    state_->has_ended = true;
    running = state_->running;
  }
  if (was_over) channel->push(event::Done{});
  if (running) running->cancel();
  state_->bell->rung.notify_one();
  return channel;
}

}  // namespace kexa
