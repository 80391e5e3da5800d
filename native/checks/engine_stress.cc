// kexa_stress [SECONDS] [SEED]: asks engines for everything at once, under a sanitizer; needs neither Node nor a GPU.
//
// Each round makes engines on one device and on several. Readers on their own threads take the answers: they read, stop
// reading, or cancel. Meanwhile sessions are forked, rewound, saved and loaded. Some rounds end in close(), others in
// the engine's destruction, in the middle of the work. Greedy answers must equal those of the first round.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>

#include "base/thread_pool.h"
#include "checks/made_up_model.h"
#include "kexa.h"

namespace kexa {
namespace {

using Clock = std::chrono::steady_clock;
using Random = std::mt19937;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "kexa_stress: %s\n", what.c_str());
  std::exit(1);
}

// The end of a request.
struct Outcome {
  std::vector<int> ids;
  std::string code;  // of Failed; empty if it did not fail
  bool is_stopped = false;
};

// Reads a channel as addon/request.h does.
class Reader {
 public:
  explicit Reader(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {
    channel_->attach([this] {
      const std::lock_guard lock(mutex_);
      is_woken_ = true;
      woken_.notify_one();
    });
  }
  ~Reader() {
    channel_->detach();
    channel_->cancel();
  }

  void cancel() { channel_->cancel(); }

  Outcome read() {
    Outcome outcome;
    for (const auto until = Clock::now() + std::chrono::seconds(120);;) {
      for (const Event& event : channel_->take())
        if (note(event, outcome)) return outcome;
      std::unique_lock lock(mutex_);
      if (!woken_.wait_until(lock, until, [&] { return is_woken_; })) fail("a request has not ended after 120 s");
      is_woken_ = false;
    }
  }

 private:
  // Returns whether the event was the last.
  static bool note(const Event& event, Outcome& outcome) {
    if (const auto* tokens = std::get_if<event::Tokens>(&event)) {
      for (const Choice& choice : tokens->choices) outcome.ids.push_back(choice.token);
      return false;
    }
    if (const auto* failed = std::get_if<event::Failed>(&event)) outcome.code = failed->code;
    outcome.is_stopped = std::holds_alternative<event::Stopped>(event);
    return !std::holds_alternative<event::Progress>(event) && !std::holds_alternative<event::Started>(event) &&
           !std::holds_alternative<event::Prompt>(event);
  }

  std::shared_ptr<Channel> channel_;
  std::mutex mutex_;
  std::condition_variable woken_;
  bool is_woken_ = false;
};

std::vector<int> prompt(int size, int seed) {
  std::vector<int> ids;
  for (int i = 0; i < size; ++i) ids.push_back((i * 37 + seed * 11) % 300);
  return ids;
}

PlanOptions options(int threads, int devices) {
  PlanOptions to;
  to.context_size = 512, to.prefill_chunk = 32, to.threads = threads, to.prefix_cache_bytes = 1 << 20;
  if (devices > 1) to.parts.resize(size_t(devices));
  return to;
}

GenerateParams greedy(int tokens, int drafts) {
  GenerateParams params;
  params.sampling.temperature = 0, params.max_tokens = tokens, params.drafts = drafts;
  return params;
}

// The answers that every engine must give alike.
class Answers {
 public:
  void check(int seed, const std::vector<int>& ids) {
    const std::lock_guard lock(mutex_);
    const auto [place, is_new] = known_.emplace(seed, ids);
    const size_t common = std::min(ids.size(), place->second.size());
    if (!std::equal(ids.begin(), ids.begin() + std::ptrdiff_t(common), place->second.begin()))
      fail("an answer differs from the first one of prompt " + std::to_string(seed));
    if (ids.size() > place->second.size()) place->second = ids;
  }

 private:
  std::mutex mutex_;
  std::map<int, std::vector<int>> known_;
};

// One user: a session and its requests.
void use(Engine& engine, uint64_t session, uint32_t seed, const std::string& folder, Answers& answers) {
  Random random(seed);
  const auto up_to = [&](int most) { return int(random() % uint32_t(most + 1)); };
  for (int turn = 0; turn < 6; ++turn) {
    const int which = up_to(5);
    const std::string file = folder + "/" + std::to_string(up_to(1));
    const uint64_t other = session + 1000 * uint64_t(turn + 1);
    switch (up_to(7)) {
      case 0: {
        Reader(engine.generate(session, prompt(20 + 9 * which, which), greedy(100, up_to(3) - 1)));  // nobody reads
        break;
      }
      case 1: {
        Reader reader(engine.generate(session, prompt(20 + 9 * which, which), greedy(100, up_to(3))));
        std::this_thread::sleep_for(std::chrono::microseconds(up_to(4000)));
        reader.cancel();
        reader.read();
        break;
      }
      case 2: {
        Reader(engine.fork(other, session)).read();
        Reader(engine.generate(other, prompt(20 + 9 * which, which), greedy(5, 0))).read();
        engine.end_session(other);
        break;
      }
      case 3:
        Reader(engine.save(session, file)).read();
        break;
      case 4: {
        Reader(engine.load_session(other, file)).read();
        engine.end_session(other);
        break;
      }
      case 5:
        Reader(engine.rewind(session, up_to(40))).read();
        break;
      default: {
        const Outcome found =
            Reader(engine.generate(session, prompt(20 + 9 * which, which), greedy(5 + up_to(20), up_to(3) - 1))).read();
        if (found.code.empty() && !found.is_stopped) answers.check(which, found.ids);
      }
    }
  }
  engine.end_session(session);
}

void run_round(int round, uint32_t seed, const std::string& folder, Answers& answers) {
  std::vector<std::thread> users;
  std::vector<std::unique_ptr<Engine>> engines;
  for (int devices : {1, 2, 3}) {
    engines.push_back(std::make_unique<Engine>(made_up_model(), options(devices == 1 ? 3 : 1, devices)));
    Reader loading(engines.back()->load(0));
    if (const Outcome found = loading.read(); !found.code.empty()) fail("loading: " + found.code);
  }
  for (size_t i = 0; i < engines.size(); ++i)
    for (uint64_t user = 1; user <= 3; ++user)
      users.emplace_back([&, i, user] { use(*engines[i], user, seed + uint32_t(10 * i + user), folder, answers); });
  if (round % 3 == 1) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    for (const auto& engine : engines) Reader(engine->close()).read();
  }
  if (round % 3 == 2) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    for (const auto& engine : engines) engine->stop(std::chrono::milliseconds(round % 2));
  }
  for (std::thread& user : users) user.join();
  // Leaves answers behind, so that the engine goes in the middle of them.
  for (const auto& engine : engines) Reader(engine->generate(9, prompt(60, 1), greedy(200, 2)));
  engines.clear();
}

// Runs many rounds of few tasks, as the steps of a model do, and tasks that throw.
void use_pool(int rounds) {
  ThreadPool pool(4);
  std::vector<int> counts(64);
  for (int round = 0; round < rounds; ++round) {
    const int tasks = 1 + round % 64;
    try {
      pool.run(tasks, [&](int task, int) {
        ++counts[size_t(task)];
        if (round % 100 == 99 && task % 3 == 1) throw Error("KEXA_INTERNAL", std::to_string(task));
      });
      if (round % 100 == 99 && tasks > 1) fail("a task's exception is lost");
    } catch (const Error& error) {
      if (std::string(error.what()) != "1") fail("the first task that threw is not told");
    }
  }
}

}  // namespace
}  // namespace kexa

int main(int count, char** words) {
  const int seconds = count > 1 ? std::atoi(words[1]) : 20;
  const uint32_t seed = count > 2 ? uint32_t(std::atoi(words[2])) : 1;
  char folder[] = "/tmp/kexa-stress-XXXXXX";
  if (!::mkdtemp(folder)) kexa::fail("no temporary folder");
  kexa::Answers answers;
  const auto until = kexa::Clock::now() + std::chrono::seconds(seconds);
  int rounds = 0;
  do {
    kexa::use_pool(1000);
    kexa::run_round(rounds, seed + uint32_t(100 * rounds), folder, answers);
    ++rounds;
  } while (kexa::Clock::now() < until);
  if (!kexa::stop_all_engines(std::chrono::seconds(60))) kexa::fail("engines' threads have not ended");
  for (int i = 0; i < 2; ++i) ::unlink((std::string(folder) + "/" + std::to_string(i)).c_str());
  if (::rmdir(folder) != 0) kexa::fail(std::string(folder) + ": files are left in it");
  std::printf("%d rounds\n", rounds);
}
