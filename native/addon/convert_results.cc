// Converts plans and events to JavaScript.
#include <algorithm>

#include "addon/convert.h"

namespace kexa {
namespace {

template <typename Value>
Napi::Float32Array float_array(Napi::Env env, const Value& values) {
  auto array = Napi::Float32Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

Napi::Object of_kind(Napi::Env env, const char* kind) {
  auto object = Napi::Object::New(env);
  object.Set("kind", kind);
  return object;
}

Napi::Value from_profile(Napi::Env env, const Profile& profile) {
  auto object = Napi::Object::New(env);
  object.Set("dispatches", double(profile.dispatches));
  object.Set("passes", double(profile.passes));
  object.Set("submits", double(profile.submits));
  object.Set("waits", double(profile.waits));
  object.Set("bufferBytes", double(profile.buffer_bytes));
  auto ops = Napi::Array::New(env, profile.ops.size());
  for (uint32_t i = 0; i < profile.ops.size(); ++i) {
    auto op = Napi::Object::New(env);
    op.Set("name", profile.ops[i].name);
    op.Set("dispatches", double(profile.ops[i].dispatches));
    op.Set("nanoseconds", double(profile.ops[i].nanoseconds));
    ops.Set(i, op);
  }
  object.Set("ops", ops);
  return object;
}

Napi::Value from_traffic(Napi::Env env, const ExpertTraffic& traffic) {
  auto object = Napi::Object::New(env);
  for (const TrafficField& field : kTrafficFields) object.Set(field.name, double(traffic.*field.count));
  return object;
}

Napi::Value from_counts(Napi::Env env, const StepCounts& counts) {
  auto object = Napi::Object::New(env);
  object.Set("steps", double(counts.steps));
  object.Set("rows", double(counts.rows));
  object.Set("experts", double(counts.experts));
  object.Set("mtpPasses", double(counts.mtp_passes));
  object.Set("draftHeads", double(counts.draft_heads));
  object.Set("gpu", counts.profile ? from_profile(env, *counts.profile) : env.Null());
  return object;
}

struct EventToObject {
  Napi::Env env;

  Napi::Object operator()(const event::Progress& progress) const {
    auto object = of_kind(env, "progress");
    object.Set("doneBytes", double(progress.done_bytes));
    object.Set("totalBytes", double(progress.total_bytes));
    return object;
  }
  Napi::Object operator()(const event::Started& started) const {
    auto object = of_kind(env, "started");
    object.Set("cachedTokens", started.cached_tokens);
    object.Set("queueMs", double(started.waited_ns) / 1e6);
    return object;
  }
  Napi::Object operator()(const event::Prompt& prompt) const {
    auto object = of_kind(env, "prompt");
    object.Set("done", prompt.done);
    object.Set("total", prompt.total);
    return object;
  }
  Napi::Value milliseconds(const std::optional<int64_t>& nanoseconds) const {
    return nanoseconds ? Napi::Value(Napi::Number::New(env, double(*nanoseconds) / 1e6)) : env.Null();
  }
  Napi::Object operator()(const event::Tokens& tokens) const {
    auto object = of_kind(env, "tokens");
    set_choices(object, tokens.choices);
    auto drafts = Napi::Uint32Array::New(env, tokens.drafts.size() * 2);
    for (size_t i = 0; i < tokens.drafts.size(); ++i) {
      drafts[i * 2] = uint32_t(tokens.drafts[i].drafted);
      drafts[i * 2 + 1] = uint32_t(tokens.drafts[i].accepted);
    }
    object.Set("drafts", drafts);
    object.Set("savedMs", milliseconds(tokens.saved_ns));
    return object;
  }
  // Sets ids, logprobs and tops, an entry for each token.
  void set_choices(Napi::Object& object, const std::vector<Choice>& choices) const {
    auto ids = Napi::Uint32Array::New(env, choices.size());
    auto logprobs = Napi::Float32Array::New(env, choices.size());
    auto tops = Napi::Array::New(env, choices.size());
    for (size_t i = 0; i < choices.size(); ++i) {
      const Choice& choice = choices[i];
      ids[i] = uint32_t(choice.token);
      logprobs[i] = choice.logprob;
      auto top = Napi::Array::New(env, choice.top.size());
      for (uint32_t k = 0; k < choice.top.size(); ++k) {
        auto alternative = Napi::Object::New(env);
        alternative.Set("id", choice.top[k].first);
        alternative.Set("logprob", choice.top[k].second);
        top.Set(k, alternative);
      }
      tops.Set(uint32_t(i), top);
    }
    object.Set("ids", ids);
    object.Set("logprobs", logprobs);
    object.Set("tops", tops);
  }
  Napi::Object operator()(const event::Forwarded& forwarded) const {
    auto object = of_kind(env, "forwarded");
    object.Set("logits", float_array(env, forwarded.logits));
    object.Set("mtpLogits", float_array(env, forwarded.mtp_logits));
    object.Set("hidden", float_array(env, forwarded.hidden));
    auto layers = Napi::Array::New(env);
    for (uint32_t i = 0; i < forwarded.layers.size(); ++i) layers.Set(i, float_array(env, forwarded.layers[i]));
    object.Set("layers", layers);
    auto routes = Napi::Array::New(env);
    for (uint32_t i = 0; i < forwarded.routes.size(); ++i) {
      const event::Route& route = forwarded.routes[i];
      auto entry = Napi::Object::New(env);
      entry.Set("layer", route.layer);
      entry.Set("experts", from_ids(env, route.experts));
      entry.Set("weights", float_array(env, route.weights));
      routes.Set(i, entry);
    }
    object.Set("routes", routes);
    object.Set("profile", forwarded.profile ? from_profile(env, *forwarded.profile) : env.Null());
    return object;
  }
  Napi::Object operator()(const event::Scored& scored) const {
    auto object = of_kind(env, "scored");
    set_choices(object, scored.choices);
    return object;
  }
  Napi::Object operator()(const event::Measured& measured) const {
    auto object = of_kind(env, "measured");
    const auto milliseconds = [&](const char* name, const std::vector<double>& from) {
      auto array = Napi::Array::New(env, from.size());
      for (uint32_t i = 0; i < from.size(); ++i) array.Set(i, from[i] / 1e6);
      object.Set(name, array);
    };
    milliseconds("ms", measured.nanoseconds);
    milliseconds("encodeMs", measured.encode_nanoseconds);
    object.Set("calls", measured.calls);
    object.Set("isDeviceTime", measured.is_device_time);
    object.Set("expertsRead", measured.experts_read);
    object.Set("profile", measured.profile ? from_profile(env, *measured.profile) : env.Null());
    return object;
  }
  Napi::Object operator()(const event::Ended& ended) const {
    auto object = of_kind(env, "ended");
    object.Set("isLength", ended.is_length);
    object.Set("prefillMs", double(ended.prefill_ns) / 1e6);
    object.Set("decodeMs", double(ended.decode_ns) / 1e6);
    object.Set("prefillTokens", ended.prefill_tokens);
    object.Set("parked", ended.parked);
    object.Set("savedMs", milliseconds(ended.saved_ns));
    object.Set("encodeMs", milliseconds(ended.encode_ns));
    object.Set("experts", ended.experts ? from_traffic(env, *ended.experts) : env.Null());
    if (!ended.counts) {
      object.Set("profile", env.Null());
      return object;
    }
    auto profile = Napi::Object::New(env);
    profile.Set("prefill", from_counts(env, ended.counts->prefill));
    profile.Set("decode", from_counts(env, ended.counts->decode));
    profile.Set("logits", float_array(env, ended.counts->logits));
    object.Set("profile", profile);
    return object;
  }
  Napi::Object operator()(const event::ExpertHeat& experts) const {
    auto object = of_kind(env, "expertHeat");
    object.Set("heat", float_array(env, experts.heat));
    return object;
  }
  Napi::Object operator()(const event::Kept& kept) const {
    auto object = of_kind(env, "kept");
    object.Set("tokens", kept.tokens);
    return object;
  }
  Napi::Object operator()(const event::Done&) const { return of_kind(env, "done"); }
  Napi::Object operator()(const event::Failed& failed) const {
    auto object = of_kind(env, "failed");
    object.Set("code", failed.code);
    object.Set("message", failed.message);
    return object;
  }
  Napi::Object operator()(const event::Stopped&) const { return of_kind(env, "stopped"); }
};

}  // namespace

static Napi::Object from_memory(Napi::Env env, const MemoryPlan& memory) {
  auto weights = Napi::Object::New(env);
  weights.Set("total", double(memory.weight_bytes));
  weights.Set("mapped", double(memory.mapped_weight_bytes));
  auto cache = Napi::Object::New(env);
  cache.Set("total", double(memory.cache_bytes()));
  cache.Set("global", double(memory.global_cache_bytes));
  cache.Set("sliding", double(memory.sliding_cache_bytes));
  cache.Set("mtp", double(memory.mtp_cache_bytes));
  cache.Set("bytesPerToken", double(memory.cache_bytes_per_token));
  auto object = Napi::Object::New(env);
  object.Set("weights", weights);
  object.Set("cache", cache);
  object.Set("scratch", double(memory.scratch_bytes));
  object.Set("prefixCache", double(memory.prefix_cache_bytes));
  object.Set("growth", env.Null());
  if (memory.cache_at_load_bytes) {
    auto growth = Napi::Object::New(env);
    growth.Set("atLoad", double(memory.cache_at_load_bytes));
    growth.Set("outgrown", double(memory.growth_bytes));
    object.Set("growth", growth);
  }
  object.Set("total", double(memory.total_bytes()));
  return object;
}

Napi::Object from_plan(Napi::Env env, const Plan& plan) {
  auto object = from_memory(env, plan.memory);
  auto parts = Napi::Array::New(env, plan.parts.size());
  for (uint32_t i = 0; i < plan.parts.size(); ++i) {
    const PartPlan& from = plan.parts[i];
    auto part = from_memory(env, from.memory);
    part.Set("firstLayer", from.first_layer);
    part.Set("layers", from.layers);
    parts.Set(i, part);
  }
  object.Set("parts", parts);
  object.Set("experts", env.Null());
  if (!plan.options.has_expert_slots()) return object;
  auto experts = Napi::Object::New(env);
  experts.Set("slots", plan.options.expert_slots);
  experts.Set("slotBytes", double(plan.memory.expert_slot_bytes));
  experts.Set("host", double(plan.memory.host_expert_bytes));
  experts.Set("mapped", double(plan.memory.mapped_expert_bytes));
  object.Set("experts", experts);
  return object;
}

Napi::Object from_event(Napi::Env env, const Event& event) { return std::visit(EventToObject{env}, event); }

}  // namespace kexa
