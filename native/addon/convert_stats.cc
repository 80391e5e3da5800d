// Converts an engine's counts to the ModelStats of lib/types/stats.ts.
#include <numeric>

#include "addon/convert.h"

namespace kexa {
namespace {

template <typename Values>
Napi::Array numbers(Napi::Env env, const Values& values, size_t count) {
  auto array = Napi::Array::New(env, count);
  for (uint32_t i = 0; i < count; ++i) array.Set(i, double(values[i]));
  return array;
}

Napi::Object object_of(Napi::Env env, std::initializer_list<std::pair<const char*, double>> fields) {
  auto object = Napi::Object::New(env);
  for (const auto& [name, value] : fields) object.Set(name, value);
  return object;
}

Napi::Object from_histogram(Napi::Env env, const Histogram& histogram) {
  const size_t bounds = histogram.bounds.size();
  const auto last = histogram.counts.begin() + std::ptrdiff_t(bounds + 1);
  auto object = object_of(
      env, {{"count", double(std::accumulate(histogram.counts.begin(), last, int64_t{0}))}, {"sum", histogram.sum}});
  object.Set("bounds", numbers(env, histogram.bounds, bounds));
  object.Set("counts", numbers(env, histogram.counts, bounds + 1));
  return object;
}

Napi::Object from_steps(Napi::Env env, const StepStats& steps) {
  auto object = Napi::Object::New(env);
  object.Set("rows", from_histogram(env, steps.rows));
  object.Set("sequences", from_histogram(env, steps.sequences));
  object.Set("seconds", from_histogram(env, steps.seconds));
  return object;
}

Napi::Object from_drafts(Napi::Env env, const EngineStats& stats) {
  double drafted = 0, accepted = 0;
  auto places = Napi::Array::New(env);
  for (uint32_t place = 0; place < kMaxDrafts; ++place) {
    const double made = double(stats.drafted[place]), kept = double(stats.accepted[place]);
    places.Set(place, object_of(env, {{"drafted", made}, {"accepted", kept}}));
    drafted += made, accepted += kept;
  }
  auto object = object_of(env, {{"drafted", drafted}, {"accepted", accepted}});
  object.Set("byPosition", places);
  return object;
}

}  // namespace

Napi::Object from_stats(Napi::Env env, const EngineStats& stats) {
  auto object = object_of(env, {{"running", stats.running},
                                {"waiting", stats.waiting},
                                {"parked", stats.parked},
                                {"slots", stats.slots},
                                {"waitingTokens", double(stats.waiting_tokens)},
                                {"parks", double(stats.parks)},
                                {"layers", double(stats.layers)}});
  object.Set("pages", object_of(env, {{"live", stats.live_pages},
                                      {"kept", stats.kept_pages},
                                      {"free", stats.free_pages},
                                      {"total", stats.pages},
                                      {"rows", kPageRows}}));
  auto steps = Napi::Object::New(env);
  steps.Set("answer", from_steps(env, stats.answer_steps));
  steps.Set("prompt", from_steps(env, stats.prompt_steps));
  object.Set("steps", steps);
  object.Set("tokens", object_of(env, {{"prompt", double(stats.prompt_tokens)},
                                       {"computed", double(stats.computed_tokens)},
                                       {"generated", double(stats.generated_tokens)}}));
  object.Set("drafts", from_drafts(env, stats));
  object.Set("prefixCache",
             object_of(env, {{"queried", double(stats.queried_tokens)}, {"hit", double(stats.hit_tokens)}}));
  auto devices = Napi::Array::New(env);
  for (uint32_t i = 0; i < stats.device_ns.size(); ++i)
    devices.Set(i, object_of(env, {{"busy", double(stats.device_ns[i]) / 1e9}}));
  object.Set("devices", devices);
  object.Set("isDeviceLost", stats.is_device_lost);
  return object;
}

}  // namespace kexa
