#include <algorithm>
#include <list>
#include <new>

#include "engine/session_jobs.h"

namespace kexa {

struct Engine::State {
  State(ModelDescription description, const PlanOptions& options)
      : description(std::move(description)), plan(make_plan(this->description, options)) {}

  const ModelDescription description;
  const Plan plan;
  const std::shared_ptr<Bell> bell = std::make_shared<Bell>();

  // Under the bell's lock:
  std::list<std::unique_ptr<Job>> jobs;  // waiting for their turn, the next one first
  std::list<const Job*> by_age;          // all jobs, the oldest first
  std::shared_ptr<Channel> running;      // of the job whose turn it is
  std::vector<uint64_t> ended_sessions;  // whose cache is to be freed once they have no job left
  std::shared_ptr<Channel> closing;         // close() was called
  bool is_stopping = false;                 // the engine is being destroyed
  bool is_over = false;                     // the thread takes nothing more
  uint64_t next_owner = uint64_t{1} << 63;  // of jobs without a session; sessions count up from 1

  // The engine thread's own:
  std::unique_ptr<LoadedModel> model;

  bool is_ending() const { return is_stopping || closing; }
  // Until one of them holds, the thread sleeps.
  bool can_run(const Job& job) const { return !job.channel().is_full() || job.channel().cancelled(); }
  bool has_job(uint64_t owner) const;
  std::vector<uint64_t> take_ended_sessions();
  std::vector<uint64_t> owners_before(const Job& job) const;
  bool run_next();
  bool advance(Job& job);
  void wind_down();
};

Engine::Engine(ModelDescription description, const PlanOptions& options)
    : state_(std::make_unique<State>(std::move(description), options)), thread_([state = state_.get()] {
        while (state->run_next()) {
        }
        state->wind_down();
      }) {}

Engine::~Engine() {
  std::shared_ptr<Channel> running;
  {
    std::lock_guard lock(state_->bell->mutex);
    state_->is_stopping = true;
    running = state_->running;
  }
  if (running) running->cancel();
  state_->bell->rung.notify_one();
  thread_.join();
}

const ModelDescription& Engine::description() const { return state_->description; }
const Plan& Engine::plan() const { return state_->plan; }

// Whose cache the job may not take. Jobs take turns, but room is first come, first served: were each to take it from
// the next, all would start again and again and none would end. Those who wait for a reader hold up nobody.
std::vector<uint64_t> Engine::State::owners_before(const Job& job) const {
  std::vector<uint64_t> owners;
  for (const Job* other : by_age) {
    if (other == &job) break;
    if (other->owner() && can_run(*other)) owners.push_back(other->owner());
  }
  return owners;
}

bool Engine::State::has_job(uint64_t owner) const {
  return std::any_of(by_age.begin(), by_age.end(), [&](const Job* job) { return job->owner() == owner; });
}

std::vector<uint64_t> Engine::State::take_ended_sessions() {
  const auto ended = std::partition(ended_sessions.begin(), ended_sessions.end(),
                                    [&](uint64_t session) { return has_job(session); });
  const std::vector<uint64_t> taken(ended, ended_sessions.end());
  ended_sessions.erase(ended, ended_sessions.end());
  return taken;
}

// One turn of the engine thread. Returns false when it should end.
bool Engine::State::run_next() {
  std::unique_ptr<Job> job;
  std::vector<uint64_t> ended, earlier;
  {
    std::unique_lock lock(bell->mutex);
    auto next = jobs.end();
    bell->rung.wait(lock, [&] {
      next = std::find_if(jobs.begin(), jobs.end(), [&](const auto& candidate) { return can_run(*candidate); });
      ended = take_ended_sessions();
      return is_ending() || next != jobs.end() || !ended.empty();
    });
    if (is_ending()) return false;
    if (next != jobs.end()) {
      job = std::move(*next);
      jobs.erase(next);
      running = job->shared_channel();
      earlier = owners_before(*job);
    }
  }
  if (model) {
    for (uint64_t session : ended) model->slots.release(session);
    model->slots.protect(std::move(earlier));
  }
  if (!job) return true;

  const bool is_over_now = advance(*job);
  if (is_over_now && model) job->finish(*model);
  std::lock_guard lock(bell->mutex);
  running = nullptr;
  if (is_over_now) {
    by_age.remove(job.get());
  } else {
    jobs.push_back(std::move(job));
  }
  return true;
}

// Whether the job is over.
bool Engine::State::advance(Job& job) {
  try {
    if (job.channel().cancelled()) throw Cancelled{};
    return job.advance({description, plan, model});
  } catch (const Cancelled&) {
    bool is_closed;
    {
      std::lock_guard lock(bell->mutex);
      is_closed = is_ending();
    }
    if (is_closed) {
      job.channel().push(event::Failed{"KEXA_CLOSED", "the model was closed"});
    } else {
      job.channel().push(event::Stopped{});
    }
  } catch (const NoRoom&) {
    return false;
  } catch (const Error& error) {
    job.channel().push(event::Failed{error.code, error.what()});
  } catch (const std::bad_alloc&) {
    job.channel().push(event::Failed{"KEXA_OUT_OF_MEMORY", "the system has no memory left for this request"});
  } catch (const std::exception& error) {
    job.channel().push(event::Failed{"KEXA_INTERNAL", error.what()});
  }
  return true;
}

void Engine::State::wind_down() {
  std::list<std::unique_ptr<Job>> left;
  std::shared_ptr<Channel> closer;
  {
    std::lock_guard lock(bell->mutex);
    is_over = true;
    left.swap(jobs);
    by_age.clear();
    closer = closing;
  }
  for (const auto& job : left) job->channel().push(event::Failed{"KEXA_CLOSED", "the model was closed"});
  left.clear();
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
      state_->by_age.push_back(state_->jobs.back().get());
    }
  }
  if (is_refused) channel->push(event::Failed{"KEXA_CLOSED", "the model was closed"});
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

std::shared_ptr<Channel> Engine::score(std::vector<int> ids) {
  return post([&](auto channel, uint64_t owner) {
    return std::make_unique<ScoreJob>(std::move(channel), owner, std::move(ids));
  });
}

std::shared_ptr<Channel> Engine::generate(uint64_t session, std::vector<int> ids, const GenerateParams& params) {
  return post([&](auto channel, uint64_t) {
    return std::make_unique<GenerateJob>(std::move(channel), session, std::move(ids), params);
  });
}

std::shared_ptr<Channel> Engine::fork(uint64_t session, uint64_t parent) {
  return post([&](auto channel, uint64_t) { return std::make_unique<ForkJob>(std::move(channel), session, parent); });
}

std::shared_ptr<Channel> Engine::rewind(uint64_t session, int length) {
  return post([&](auto channel, uint64_t) { return std::make_unique<RewindJob>(std::move(channel), session, length); });
}

std::shared_ptr<Channel> Engine::save(uint64_t session, std::string path) {
  return post([&](auto channel, uint64_t) {
    return std::make_unique<SaveJob>(std::move(channel), session, std::move(path));
  });
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
    running = state_->running;
  }
  if (was_over) channel->push(event::Done{});
  if (running) running->cancel();
  state_->bell->rung.notify_one();
  return channel;
}

}  // namespace kexa
