// The requests for answers that share the model, a step at a time: each step has rows of many sequences.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "engine/sequence.h"

namespace kexa {

// One turn plans a step, begins it and takes the oldest begun one. Sequences join and leave between any two steps. An
// error of one sequence ends that one alone; an error of the device ends all sequences of its step. Only the engine's
// thread uses it.
class Batch {
 public:
  // While `is_stopping` is true, no step is wanted any more. Both must outlive the batch.
  Batch(const std::atomic<bool>& is_stopping, GrammarPort& grammars) : is_stopping_(is_stopping), grammars_(grammars) {}

  // The sequences wait for room from now on. Needs no memory.
  void add(std::list<std::unique_ptr<Sequence>>& sequences) {
    is_admission_due_ |= !sequences.empty();
    all_.splice(all_.end(), sequences);
  }
  // The bell must be locked. Whether a turn would do anything. If not, only a reader, a new request or a job that gives
  // up room can change that.
  bool can_move() const;
  // The bell must be locked. Notes which readers are slow or gone, and takes masks that have come, for the next turn.
  void look_around();
  bool has_session(uint64_t session) const;

  // A job that works in the slot of `owner`. If it once found no room, requests that came after it do not start.
  struct JobClaim {
    uint64_t owner, arrival;
    bool was_blocked;
  };
  // Does one turn, beside these jobs.
  void turn(const JobContext& context, std::vector<JobClaim> jobs);
  // Parks a sequence that arrived after `arrival`, or whose reader is slow, so that a job finds room. Returns false if
  // there is none.
  bool make_room(const JobContext& context, uint64_t arrival);
  // Tells that a job or a session gave up room.
  void note_room() {
    ++room_changes_;
    is_admission_due_ = true;
  }
  uint64_t room_changes() const { return room_changes_; }

  // The owners of running sequences, whose slots no job may take.
  std::vector<uint64_t> running() const;

  // Shows the present counts to readers of the board. `jobs` are those that there are now.
  void show_stats(const JobContext& context, std::vector<JobClaim> jobs);

  // Ends all requests with the error.
  void fail_all(const JobContext* context, const char* code, const char* message);

 private:
  using Clock = std::chrono::steady_clock;
  // A begun step that has not been taken.
  struct Flight {
    int ticket;
    int lane;
    std::vector<Sequence::Part> parts;  // in the order of the step's groups; a part of a request that is over has none
    bool is_prompt;
    int mtp_passes;
    Clock::time_point began;
    int64_t encode_ns;
    std::optional<ExpertTraffic> experts;
    uint64_t kept_prefixes;  // PrefixCache::kept_count() when it was begun
  };

  void drop_given_up(const JobContext& context);
  void admit(const JobContext& context);
  void start_waiting(const JobContext& context);
  uint64_t held_after() const;
  std::vector<Claim> claims(const JobContext& context, uint64_t held_after) const;
  Room room(const JobContext& context) const;
  bool start(const JobContext& context, Sequence& sequence);
  void park(const JobContext& context, Sequence& sequence);
  void park_running(const JobContext& context, uint64_t arrival);
  Sequence* find(uint64_t arrival) const;
  void protect(const JobContext& context, uint64_t arrival) const;

  // The parts of the next steps, with their pages reserved.
  struct Parts {
    std::vector<Sequence::Part> answers, prompts;
  };
  bool begin_next(const JobContext& context);
  Parts prepare(const JobContext& context, int lane);
  std::optional<Parts> try_prepare(const JobContext& context, int lane);
  std::vector<Sequence*> candidates(const JobContext& context) const;
  std::vector<std::optional<int>> shared_drafts(const JobContext& context, std::span<Sequence* const> sequences,
                                                const StepPlan& plan) const;
  void make_room_for(const JobContext& context, Sequence& sequence);
  void begin(const JobContext& context, std::vector<Sequence::Part> parts, bool is_prompt);
  void encode(const JobContext& context, std::vector<Sequence::Part>& parts, Step& step, Flight& flight);
  void settle(const JobContext& context);
  void settle_all(const JobContext& context);
  void show_stats(const JobContext& context) const;
  void learn(const JobContext& context, const Flight& flight, const std::vector<Chosen>& chosen, int64_t nanoseconds);

  void fail(const JobContext& context, Sequence& sequence, const std::exception_ptr& exception);
  bool awaits_prompt(const JobContext& context, Sequence& sequence);
  // Forgets a request that is over, and returns it, so that its last event is pushed when it counts as over.
  std::unique_ptr<Sequence> remove(const JobContext& context, Sequence& sequence);
  // The same for a request that ends before its answer does.
  std::unique_ptr<Sequence> cut_off(const JobContext& context, Sequence& sequence);
  std::vector<Sequence*> running_by_age() const;
  int emptiest_lane(int lanes) const;

  const std::atomic<bool>& is_stopping_;
  GrammarPort& grammars_;
  std::list<std::unique_ptr<Sequence>> all_;  // in the order of their arrival
  std::deque<Flight> flights_;                // the oldest first
  std::vector<JobClaim> jobs_;                // of the running turn
  std::map<int, Clock::time_point> settled_;  // when a step of each lane was last taken
  int next_lane_ = 0;
  GrowthGuess growth_;
  int64_t parked_bytes_ = 0;
  uint64_t starts_ = 0, steps_ = 0, room_changes_ = 1;
  bool is_admission_due_ = true;
  bool was_profiled_ = false;  // the last step was one that is profiled, which runs alone
};

}  // namespace kexa
