#include "checks/plan_checks.h"

#include <vector>

#include "checks/grammar_run.h"
#include "checks/planner_run.h"
#include "decode/batch_drafts.h"
#include "decode/step_costs.h"
#include "engine/prefix_cache.h"

namespace kexa {
namespace {

// runPlanner(world): a PlannerRun of a PlannerWorld.
Napi::Value run_planner_of(const Napi::CallbackInfo& info) {
  const auto from = info[0].As<Napi::Object>();
  const auto number = [&](const char* name) { return from.Get(name).ToNumber().DoubleValue(); };
  const auto integer = [&](const char* name) { return from.Get(name).ToNumber().Int32Value(); };
  const PlannerRun run = run_planner({.seed = uint64_t(number("seed")),
                                      .events = integer("events"),
                                      .slots = integer("slots"),
                                      .context = integer("context"),
                                      .pages = integer("pages"),
                                      .prefill_chunk = integer("prefillChunk"),
                                      .decode_rows = integer("decodeRows"),
                                      .mixes_prompts = from.Get("mixesPrompts").ToBoolean(),
                                      .target_ns = number("targetNs"),
                                      .step_ns = number("stepNs"),
                                      .row_ns = number("rowNs"),
                                      .has_surprises = from.Get("hasSurprises").ToBoolean(),
                                      .is_crowded = from.Get("isCrowded").ToBoolean()});
  auto to = Napi::Object::New(info.Env());
  to.Set("problem", run.problem);
  to.Set("steps", double(run.steps));
  to.Set("sharedSteps", double(run.shared_steps));
  to.Set("mixedSteps", double(run.mixed_steps));
  to.Set("cutSteps", double(run.cut_steps));
  to.Set("ended", double(run.ended));
  to.Set("parks", double(run.parks));
  to.Set("stalledParks", double(run.stalled_parks));
  to.Set("gaveWay", double(run.gave_way));
  to.Set("fullContexts", double(run.full_contexts));
  to.Set("mostParks", run.most_parks);
  return to;
}

// learnCosts(steps, asked): `steps` are [rows, MTP passes, nanoseconds] of one timed step after the other, `asked`
// [rows, MTP passes]. Returns the cost of each asked step, then that of a row, then whether it is known (1 or 0).
Napi::Value learn_costs(const Napi::CallbackInfo& info) {
  const auto steps = info[0].As<Napi::Float64Array>(), asked = info[1].As<Napi::Float64Array>();
  StepCosts costs;
  for (size_t i = 0; i + 2 < steps.ElementLength(); i += 3) costs.took(int(steps[i]), int(steps[i + 1]), steps[i + 2]);
  const size_t count = asked.ElementLength() / 2;
  auto to = Napi::Float64Array::New(info.Env(), count + 2);
  for (size_t i = 0; i < count; ++i) to[i] = costs.cost(int(asked[2 * i]), int(asked[2 * i + 1]));
  to[count] = costs.row_cost();
  to[count + 1] = costs.is_known();
  return to;
}

// planDrafts(turns): each turn has `timed` steps [rows, MTP passes, nanoseconds], and of its sequences `ids`, `asked`
// and `chances` [sequences, places]. Returns the drafts of each sequence in each turn, of one BatchDrafts.
Napi::Value plan_drafts(const Napi::CallbackInfo& info) {
  const auto turns = info[0].As<Napi::Array>();
  auto all = Napi::Array::New(info.Env(), turns.Length());
  StepCosts costs;
  BatchDrafts policy;
  for (uint32_t turn = 0; turn < turns.Length(); ++turn) {
    const auto from = turns.Get(turn).As<Napi::Object>();
    const auto timed = from.Get("timed").As<Napi::Float64Array>(),
               chances = from.Get("chances").As<Napi::Float64Array>();
    const auto ids = from.Get("ids").As<Napi::Uint32Array>();
    const auto asked = from.Get("asked").As<Napi::Int32Array>();
    for (size_t i = 0; i + 2 < timed.ElementLength(); i += 3)
      costs.took(int(timed[i]), int(timed[i + 1]), timed[i + 2]);
    std::vector<DraftingSequence> sequences;
    for (size_t i = 0; i < ids.ElementLength(); ++i) {
      DraftingSequence& sequence = sequences.emplace_back(DraftingSequence{.id = ids[i], .asked = asked[i]});
      for (size_t place = 0; place < kMaxDrafts; ++place) sequence.chances[place] = chances[i * kMaxDrafts + place];
    }
    const std::vector<int> drafts = policy.plan(sequences, int(sequences.size()), costs);
    auto to = Napi::Uint32Array::New(info.Env(), drafts.size());
    for (size_t i = 0; i < drafts.size(); ++i) to[i] = uint32_t(drafts[i]);
    all.Set(turn, to);
  }
  return all;
}

// draftChances(judged, rests): the chances by place after steps of [drafts, accepted] and as many answers without
// drafts.
Napi::Value draft_chances(const Napi::CallbackInfo& info) {
  const auto judged = info[0].As<Napi::Uint32Array>();
  Acceptance acceptance;
  for (size_t i = 0; i + 1 < judged.ElementLength(); i += 2) acceptance.judged(int(judged[i]), int(judged[i + 1]));
  for (int rests = info[1].ToNumber().Int32Value(); rests > 0; --rests) acceptance.rested();
  const Chances chances = acceptance.chances();
  auto to = Napi::Float64Array::New(info.Env(), chances.size());
  for (size_t place = 0; place < chances.size(); ++place) to[place] = chances[place];
  return to;
}

// runGrammarPort(seed, events): the counts and the problem of GrammarRun.
Napi::Value run_grammar_port_of(const Napi::CallbackInfo& info) {
  const GrammarRun run = run_grammar_port(uint64_t(info[0].ToNumber().Int64Value()), info[1].ToNumber().Int32Value());
  auto to = Napi::Object::New(info.Env());
  to.Set("problem", run.problem);
  to.Set("masks", double(run.masks)), to.Set("dropped", double(run.dropped)), to.Set("workers", double(run.workers));
  to.Set("replayed", double(run.replayed)), to.Set("failures", double(run.failures));
  return to;
}

// nextBoundary(position): the next position at which a prompt is kept.
Napi::Value next_boundary(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), PrefixCache::next_boundary(info[0].ToNumber().Int32Value()));
}

}  // namespace

void export_plan_checks(Napi::Env env, Napi::Object exports) {
  exports.Set("runPlanner", Napi::Function::New(env, run_planner_of));
  exports.Set("runGrammarPort", Napi::Function::New(env, run_grammar_port_of));
  exports.Set("learnCosts", Napi::Function::New(env, learn_costs));
  exports.Set("planDrafts", Napi::Function::New(env, plan_drafts));
  exports.Set("draftChances", Napi::Function::New(env, draft_chances));
  exports.Set("nextBoundary", Napi::Function::New(env, next_boundary));
}

}  // namespace kexa
