#include "checks/planner_run.h"

#include <algorithm>
#include <list>
#include <numeric>
#include <random>
#include <vector>

#include "decode/step_plan.h"
#include "engine/admission.h"
#include "plan/limits.h"

namespace kexa {
namespace {

struct Problem {
  std::string text;
};

void must(bool holds, const std::string& text) {
  if (!holds) throw Problem{text};
}

int pages_of(int rows) { return (rows + kPageRows - 1) / kPageRows; }

constexpr int kBoundary = 512;       // a prompt's steps end at its multiples
constexpr int kRecomputedRows = 16;  // of an answer that is computed again, in a step

struct Request {
  Claim claim;
  int prompt = 1, answer = 1, most_tokens = 1;  // the answer's length, and what it may be at most
  int drafts = 0;
  double acceptance = 0.5;
  int tokens = 0;    // known: the prompt and the tokens chosen so far
  int computed = 0;  // rows in the cache
  std::vector<int> pages;
  bool can_step = false, has_no_room = false;  // in the present step
  uint64_t last_step = 0;
  int left_out = 0;  // steps that went without it although it could step

  bool is_running() const { return claim.state == Claim::State::kRunning; }
  bool is_prompt() const { return computed < prompt; }
  int end() const { return prompt + answer; }
};

class World {
 public:
  explicit World(const PlannerWorld& world) : world_(world), random_(world.seed), owners_(size_t(world.pages)) {
    free_pages_.resize(size_t(world.pages));
    std::iota(free_pages_.begin(), free_pages_.end(), 0);
  }

  PlannerRun run() {
    try {
      if (!world_.is_crowded) arrive(true);
      for (int i = 0; i < world_.events; ++i) {
        if (world_.is_crowded) happen();
        step();
        check_pages();
      }
      drain();
    } catch (const Problem& problem) {
      run_.problem = problem.text + ", at step " + std::to_string(step_) + " of seed " + std::to_string(world_.seed);
    }
    return run_;
  }

 private:
  int below(int count) { return int(random_() % uint64_t(count)); }
  bool chance(double share) { return double(random_() % 1'000'000) < share * 1e6; }

  void arrive(bool is_full) {
    Request& request = requests_.emplace_back();
    request.claim.id = request.claim.arrival = ++arrivals_;
    request.claim.priority = world_.is_crowded && chance(0.25) ? -1 : 0;
    request.prompt = 1 + below(world_.has_surprises || chance(0.5) ? world_.context / 16 : world_.context - 1);
    const int left = world_.context - request.prompt;
    request.most_tokens = is_full || chance(0.3) ? left : 1 + below(left);
    request.answer = is_full ? left
                             : 1 + below(!world_.has_surprises && chance(0.7) ? std::min(request.most_tokens, 200)
                                                                              : request.most_tokens);
    request.drafts = is_full ? kMaxDrafts : below(kMaxDrafts + 1);
    request.acceptance = below(11) / 10.0;
    request.tokens = request.prompt;
  }

  // Something that a user does.
  void happen() {
    if (requests_.size() < 24 && chance(0.12)) arrive(chance(0.1));
    if (requests_.empty()) return;
    Request& request = *std::next(requests_.begin(), below(int(requests_.size())));
    if (chance(0.01))
      end(request);
    else if (request.tokens > request.prompt && chance(0.03))
      request.claim.is_stalled = true;
    for (Request& one : requests_)
      if (one.claim.is_stalled && chance(0.05)) one.claim.is_stalled = false;
  }

  void end(Request& request) {
    let_go(request);
    growth_.ended(request.tokens - request.prompt);
    requests_.remove_if([&](const Request& one) { return &one == &request; });
  }

  void let_go(Request& request) {
    for (const int page : request.pages) {
      must(owners_[size_t(page)] == request.claim.id, "a page was freed that another has");
      owners_[size_t(page)] = 0;
      free_pages_.push_back(page);
    }
    request.pages.clear();
  }

  void check_pages() {
    size_t held = 0;
    for (const Request& request : requests_) {
      held += request.pages.size();
      for (const int page : request.pages)
        must(owners_[size_t(page)] == request.claim.id, "two requests have one page");
      must(request.is_running() || request.pages.empty(), "a request has pages without running");
      must(request.claim.times_parked <= kMostParks, "a request was parked too often");
    }
    must(held + free_pages_.size() == owners_.size(), "pages were lost");
  }

  std::vector<Claim> claims() const {
    std::vector<Claim> all;
    for (const Request& request : requests_) {
      Claim claim = request.claim;
      const int left = request.prompt + request.most_tokens - request.tokens;
      const int growth = world_.has_surprises ? 0 : growth_.growth(request.tokens - request.prompt, left);
      const int likely = request.tokens + growth;
      claim.held_pages = int(request.pages.size());
      claim.wanted_pages = std::max(0, pages_of(likely) - claim.held_pages);
      claim.most_wanted_pages = std::max(0, pages_of(request.prompt + request.most_tokens) - claim.held_pages);
      all.push_back(claim);
    }
    return all;
  }

  Room room() const {
    const auto used =
        std::count_if(requests_.begin(), requests_.end(), [](const Request& one) { return one.is_running(); });
    return {.free_slots = world_.slots - int(used), .free_pages = int(free_pages_.size())};
  }

  Request& request_of(uint64_t id) {
    const auto found =
        std::find_if(requests_.begin(), requests_.end(), [&](const Request& one) { return one.claim.id == id; });
    must(found != requests_.end(), "a request was named that is not there");
    return *found;
  }

  void admit() {
    for (;;) {
      if (const auto id = to_admit(claims(), room())) {
        start(request_of(*id));
      } else if (const auto giving = to_give_way(claims(), room())) {
        ++run_.gave_way;
        park(request_of(*giving));
      } else {
        break;
      }
    }
    must(requests_.empty() || std::any_of(requests_.begin(), requests_.end(),
                                          [](const Request& one) { return one.is_running() || one.claim.is_stalled; }),
         "requests wait and none runs");
  }

  void start(Request& request) {
    must(!request.is_running(), "a running request was started");
    must(room().free_slots > 0, "a request was started without a slot");
    for (const Request& other : requests_) {
      if (other.claim.state != Claim::State::kWaiting || &other == &request) continue;
      must(other.claim.priority <= request.claim.priority, "a request was started before one of a higher priority");
      if (request.claim.state == Claim::State::kWaiting && other.claim.priority == request.claim.priority)
        must(other.claim.arrival > request.claim.arrival, "a request was started before an earlier one");
    }
    request.claim.state = Claim::State::kRunning;
    if (!request.claim.started) request.claim.started = ++starts_;
    must(pages_of(request.computed) <= int(free_pages_.size()), "a parked request was started without pages");
    take_pages(request, request.computed);
  }

  void take_pages(Request& request, int end) {
    while (int(request.pages.size()) < pages_of(end)) {
      owners_[size_t(free_pages_.back())] = request.claim.id;
      request.pages.push_back(free_pages_.back());
      free_pages_.pop_back();
    }
  }

  // The request that is never parked: one that was parked as often as may be, else the oldest. Null if none can run.
  const Request* leader() const {
    const auto is_final = [](const Request& one) { return one.claim.times_parked == kMostParks; };
    const Request* found = nullptr;
    for (const Request& one : requests_) {
      if (!one.is_running() || one.claim.is_stalled) continue;
      must(!found || !is_final(*found) || !is_final(one), "two requests run that may not be parked again");
      if (!found || is_final(one) || (!is_final(*found) && one.claim.started < found->claim.started)) found = &one;
    }
    return found;
  }

  void park(Request& request) {
    must(request.is_running(), "a request was parked that does not run");
    must(&request != leader(), "the oldest request was parked");
    let_go(request);
    request.claim.state = Claim::State::kParked;
    ++(request.claim.is_stalled ? run_.stalled_parks : run_.parks);
    if (!request.claim.is_stalled) run_.most_parks = std::max(run_.most_parks, ++request.claim.times_parked);
    // Without room for it in main memory it is computed again.
    if (chance(0.3)) request.computed = 0;
  }

  // Returns false if the request has to wait for pages.
  bool reserve(Request& request, int end) {
    must(end <= world_.context, "rows past the context");
    while (pages_of(end) - int(request.pages.size()) > int(free_pages_.size())) {
      const auto parked = to_park(claims(), request.claim.id);
      if (!parked) {
        must(&request != leader(), "the oldest request has no room");
        return false;
      }
      must(*parked != request.claim.id && !request_of(*parked).pages.empty(), "a request was parked in vain");
      park(request_of(*parked));
    }
    take_pages(request, end);
    return true;
  }

  PlannedSequence view_of(const Request& request) const {
    PlannedSequence view;
    view.is_prompt = request.is_prompt();
    view.can_step = request.can_step && !request.has_no_room;
    view.last_step = request.last_step;
    if (view.is_prompt) {
      view.rows_left = request.prompt - request.computed;
      view.most_rows = kBoundary - request.computed % kBoundary;
    } else if (request.tokens - request.computed > 1) {
      view.rows_left = request.tokens - request.computed;
      view.most_rows = kRecomputedRows;
    } else {
      const int left = request.prompt + request.most_tokens - request.tokens;
      view.rows_left = view.most_rows = 1 + std::clamp(left - 1, 0, request.drafts);
      view.draft_chance = request.acceptance;
    }
    return view;
  }

  void step() {
    admit();
    for (Request& request : requests_) {
      request.can_step = request.is_running() && !request.claim.is_stalled && !chance(0.05);
      request.has_no_room = false;
    }
    ++step_;
    while (!try_step()) {
    }
  }

  // Returns false if a request of the plan had no room, so that another plan is needed.
  bool try_step() {
    std::vector<Request*> running;
    for (Request& request : requests_)
      if (request.is_running()) running.push_back(&request);
    std::sort(running.begin(), running.end(),
              [](const Request* a, const Request* b) { return a->claim.started < b->claim.started; });
    std::vector<PlannedSequence> views;
    for (const Request* request : running) views.push_back(view_of(*request));
    const StepBudget budget{.most_rows = world_.prefill_chunk,
                            .decode_rows = world_.decode_rows,
                            .target_ns = world_.target_ns,
                            .mixes_prompts = world_.mixes_prompts};
    StepPlan plan = plan_step(views, budget, costs_, world_.mixes_prompts ? costs_ : prompt_costs_);
    check_plan(views, plan);

    std::vector<PlannedRows> all = plan.answers;
    all.insert(all.end(), plan.prompts.begin(), plan.prompts.end());
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
    for (const PlannedRows& rows : all) {
      Request& request = *running[size_t(rows.sequence)];
      if (!request.is_running() || reserve(request, request.computed + rows.rows)) continue;
      request.has_no_room = true;
      return false;
    }
    const auto runs = [&](const PlannedRows& rows) { return running[size_t(rows.sequence)]->is_running(); };
    std::erase_if(plan.answers, [&](const PlannedRows& rows) { return !runs(rows); });
    std::erase_if(plan.prompts, [&](const PlannedRows& rows) { return !runs(rows); });
    check_oldest(running, all);
    take_time(plan);
    for (const PlannedRows& rows : all) advance(*running[size_t(rows.sequence)], rows.rows);
    ++run_.steps;
    run_.shared_steps += plan.answers.size() > 1;
    run_.mixed_steps += !plan.answers.empty() && !plan.prompts.empty();
    return true;
  }

  void check_plan(const std::vector<PlannedSequence>& views, const StepPlan& plan) {
    const auto sum = [](const std::vector<PlannedRows>& planned) {
      return std::accumulate(planned.begin(), planned.end(), 0,
                             [](int all, const PlannedRows& one) { return all + one.rows; });
    };
    const auto most = [&](int i) { return std::min(views[size_t(i)].rows_left, views[size_t(i)].most_rows); };
    const int answers = sum(plan.answers), prompts = sum(plan.prompts);
    must(answers <= world_.decode_rows, "too many rows of answers");
    must(prompts + (world_.mixes_prompts ? answers : 0) <= world_.prefill_chunk, "too many rows in a step");
    int wanted_answers = 0, wanted_prompts = 0, oldest_prompt = -1, shortest_prompt = -1;
    std::vector<int> rows(views.size());
    for (const auto* list : {&plan.answers, &plan.prompts})
      for (const PlannedRows& one : *list) {
        const PlannedSequence& view = views[size_t(one.sequence)];
        must(view.can_step, "a request steps that cannot");
        must(view.is_prompt == (list == &plan.prompts), "an answer among the prompts, or the reverse");
        must(one.rows >= 1 && one.rows <= most(one.sequence), "a request has more rows than it wants, or none");
        must(rows[size_t(one.sequence)] == 0, "a request is in a step twice");
        rows[size_t(one.sequence)] = one.rows;
      }
    for (int i = 0; i < int(views.size()); ++i) {
      const PlannedSequence& view = views[size_t(i)];
      if (!view.can_step) continue;
      (view.is_prompt ? wanted_prompts : wanted_answers) += most(i);
      if (!view.is_prompt) continue;
      if (oldest_prompt < 0) oldest_prompt = i;
      if (shortest_prompt < 0 || view.rows_left < views[size_t(shortest_prompt)].rows_left) shortest_prompt = i;
    }
    run_.cut_steps += answers < wanted_answers;
    if (wanted_prompts == 0) return;
    must(wanted_answers || prompts == std::min(wanted_prompts, world_.prefill_chunk),
         "prompts have not all rows although nobody waits");
    if (!world_.mixes_prompts || world_.prefill_chunk >= 2 * kLeastPromptRows)
      must(prompts >= std::min(wanted_prompts, std::min(kLeastPromptRows, world_.prefill_chunk)),
           "prompts have less than the least rows");
    must(rows[size_t(oldest_prompt)] >= std::min(most(oldest_prompt), (prompts + 1) / 2),
         "the oldest prompt has less than half");
    must(rows[size_t(shortest_prompt)] >= std::min(most(shortest_prompt), prompts / 2),
         "the shortest prompt does not have the rest");
  }

  // Each that can step and has room steps soon, the oldest in every step.
  void check_oldest(const std::vector<Request*>& running, const std::vector<PlannedRows>& all) {
    bool is_first = true;
    for (int i = 0; i < int(running.size()); ++i) {
      Request& request = *running[size_t(i)];
      if (!request.is_running() || !request.can_step || request.has_no_room) continue;
      const bool steps = std::any_of(all.begin(), all.end(), [&](const auto& rows) { return rows.sequence == i; });
      must(steps || !is_first, "the oldest request does not step");
      is_first = false;
      request.left_out = steps || request.is_prompt() ? 0 : request.left_out + 1;
      must(request.left_out <= world_.slots, "a request is left out again and again");
    }
  }

  double time_of(int rows) const { return world_.step_ns + world_.row_ns * rows; }

  // Lets the true time of the steps pass, and tells the costs.
  void take_time(const StepPlan& plan) {
    int answers = 0, prompts = 0;
    for (const PlannedRows& rows : plan.answers) answers += rows.rows;
    for (const PlannedRows& rows : plan.prompts) prompts += rows.rows;
    const bool was_known = costs_.is_known() && (world_.mixes_prompts || prompt_costs_.is_known());
    const auto told = [&](StepCosts& costs, int rows) {
      if (rows) costs.took(rows, 0, time_of(rows) * (chance(0.02) ? 8 : 0.95 + below(11) / 100.0));
    };
    double wait = 0;
    if (world_.mixes_prompts) {
      told(costs_, answers + prompts);
      wait = time_of(answers + prompts);
    } else {
      told(costs_, answers);
      told(prompt_costs_, prompts);
      wait = (answers ? time_of(answers) : 0) + (prompts ? time_of(prompts) : 0);
    }
    if (answers == 0 || prompts <= kLeastPromptRows) return;
    must(was_known, "a long prompt before the cost of a row is known");
    run_.longest_wait_ns = std::max(run_.longest_wait_ns, wait);
    must(wait <= 1.3 * world_.target_ns, "a prompt lets answers wait for too long");
  }

  void advance(Request& request, int rows) {
    if (!request.is_running()) return;
    request.last_step = step_;
    const int known = request.tokens - request.computed;
    request.computed += std::min(rows, known);
    if (request.computed < request.tokens) return;
    // The rows past the known ones are drafts.
    int chosen = 1;
    for (int draft = 0; draft < rows - known && chance(request.acceptance); ++draft) ++chosen;
    chosen = std::min(chosen, request.end() - request.tokens);
    request.tokens += chosen;
    request.computed = request.tokens - 1;
    if (request.tokens < request.end()) return;
    run_.full_contexts += request.end() == world_.context;
    ++run_.ended;
    end(request);
  }

  // Nobody comes any more, and all read: every request must end.
  void drain() {
    int64_t most_steps = 1000;
    for (Request& request : requests_) {
      request.claim.is_stalled = false;
      most_steps += 8 * (request.prompt + request.answer);
    }
    for (int64_t i = 0; !requests_.empty(); ++i) {
      must(i < most_steps, "requests do not end");
      step();
      check_pages();
    }
    must(free_pages_.size() == owners_.size(), "pages are held after the end");
  }

  const PlannerWorld& world_;
  std::mt19937_64 random_;
  std::list<Request> requests_;
  std::vector<uint64_t> owners_;  // of each page; 0: free
  std::vector<int> free_pages_;
  StepCosts costs_, prompt_costs_;
  GrowthGuess growth_;
  uint64_t arrivals_ = 0, starts_ = 0, step_ = 0;
  PlannerRun run_;
};

}  // namespace

PlannerRun run_planner(const PlannerWorld& world) { return World(world).run(); }

}  // namespace kexa
