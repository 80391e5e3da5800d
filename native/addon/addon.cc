// The addon: the classes Engine, GrammarPort and Tokenizer, plan(), quantize(), lockFile(), rates() and adapters(),
// wrapping the core one to one.
#include <napi.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "addon/adapters.h"
#include "addon/convert.h"
#include "addon/grammar_port.h"
#include "addon/quantize.h"
#include "addon/rates.h"
#include "addon/request.h"
#include "addon/tokenizer.h"
#ifdef KEXA_GPU
#include "gpu/open_device.h"
#endif
#include "base/error.h"
#include "base/instruction_set.h"
#include "device/ops.h"

namespace kexa {
namespace {

// The longest wait for engines that are in the middle of a step, when the process or worker ends.
constexpr std::chrono::seconds kLongestWait{10};

class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Engine",
                       {InstanceMethod<&EngineObject::guarded<&EngineObject::load>>("load"),
                        InstanceMethod<&EngineObject::guarded<&EngineObject::forward>>("forward"),
                        InstanceMethod<&EngineObject::guarded<&EngineObject::score>>("score"),
                        InstanceMethod<&EngineObject::guarded<&EngineObject::generate>>("generate"),
                        InstanceMethod<&EngineObject::guarded<&EngineObject::fork>>("fork"),
                        InstanceMethod<&EngineObject::guarded<&EngineObject::rewind>>("rewind"),
                        InstanceMethod<&EngineObject::guarded<&EngineObject::save>>("save"),
                        InstanceMethod<&EngineObject::guarded<&EngineObject::load_session>>("loadSession"),
                        InstanceMethod<&EngineObject::guarded<&EngineObject::end_session>>("endSession"),
                        InstanceMethod<&EngineObject::guarded<&EngineObject::stats>>("stats"),
                        InstanceMethod<&EngineObject::guarded<&EngineObject::measure>>("measure"),
                        InstanceMethod<&EngineObject::guarded<&EngineObject::expert_heat>>("expertHeat"),
                        InstanceMethod<&EngineObject::guarded<&EngineObject::grammar_port>>("grammarPort"),
                        InstanceMethod<&EngineObject::guarded<&EngineObject::grammar_wait_ms>>("grammarWaitMs"),
                        InstanceMethod<&EngineObject::guarded<&EngineObject::fail_grammars>>("failGrammars"),
                        InstanceMethod<&EngineObject::guarded<&EngineObject::force_device_loss>>("forceDeviceLoss"),
                        InstanceMethod<&EngineObject::guarded<&EngineObject::force_device_room>>("forceDeviceRoom"),
                        InstanceMethod<&EngineObject::guarded<&EngineObject::close>>("close")});
  }

  explicit EngineObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineObject>(info), env_(info.Env()) {
    engine_ = or_throw(env_, [&] {
      return std::make_unique<Engine>(to_description(info[0].As<Napi::Object>()),
                                      to_plan_options(info[1].As<Napi::Object>()));
    });
    napi_add_env_cleanup_hook(env_, &EngineObject::on_env_cleanup, this);
  }
  ~EngineObject() override {
    if (!engine_) return;
    napi_remove_env_cleanup_hook(env_, &EngineObject::on_env_cleanup, this);
  }

 private:
  template <Napi::Value (EngineObject::*Method)(const Napi::CallbackInfo&)>
  Napi::Value guarded(const Napi::CallbackInfo& info) {
    return or_throw(info.Env(), [&] { return (this->*Method)(info); });
  }

  // Runs when a worker is terminated or the process exits. All requests are gone by then, so an engine's thread that
  // does not end in time harms nobody.
  static void on_env_cleanup(void* self) {
    auto& engine = static_cast<EngineObject*>(self)->engine_;
    engine->stop(kLongestWait);
    engine.reset();
  }

  Napi::Value load(const Napi::CallbackInfo& info) {
    return Request::create(info.Env(), engine_->load(to_bytes(info[0], "warm limit")));
  }
  Napi::Value forward(const Napi::CallbackInfo& info) {
    return Request::create(info.Env(),
                           engine_->forward(to_ids(info[0]), to_forward_params(info[1].As<Napi::Object>())));
  }
  Napi::Value score(const Napi::CallbackInfo& info) {
    const int alternatives = info[1].As<Napi::Number>().Int32Value();
    return Request::create(info.Env(), engine_->score(to_ids(info[0]), alternatives));
  }
  Napi::Value generate(const Napi::CallbackInfo& info) {
    const uint64_t session = session_of(info[0]);
    return Request::create(info.Env(),
                           engine_->generate(session, to_ids(info[1]), to_generate_params(info[2].As<Napi::Object>())));
  }
  Napi::Value measure(const Napi::CallbackInfo& info) {
    return Request::create(info.Env(), engine_->measure(to_measure_params(info[0].As<Napi::Object>())));
  }
  static uint64_t session_of(const Napi::Value& from) { return uint64_t(to_count(from, "session")); }
  Napi::Value fork(const Napi::CallbackInfo& info) {
    return Request::create(info.Env(), engine_->fork(session_of(info[0]), session_of(info[1])));
  }
  Napi::Value rewind(const Napi::CallbackInfo& info) {
    return Request::create(info.Env(), engine_->rewind(session_of(info[0]), to_int(info[1], "length")));
  }
  Napi::Value save(const Napi::CallbackInfo& info) {
    return Request::create(info.Env(), engine_->save(session_of(info[0]), info[1].ToString()));
  }
  Napi::Value load_session(const Napi::CallbackInfo& info) {
    return Request::create(info.Env(), engine_->load_session(session_of(info[0]), info[1].ToString()));
  }
  Napi::Value end_session(const Napi::CallbackInfo& info) {
    engine_->end_session(session_of(info[0]));
    return info.Env().Undefined();
  }
  Napi::Value stats(const Napi::CallbackInfo& info) { return from_stats(info.Env(), engine_->stats()); }
  Napi::Value expert_heat(const Napi::CallbackInfo& info) {
    return Request::create(info.Env(), engine_->expert_heat());
  }
  Napi::Value grammar_port(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), share_grammar_port(engine_->grammars()));
  }
  Napi::Value grammar_wait_ms(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), double(engine_->grammars()->waited().count()));
  }
  Napi::Value fail_grammars(const Napi::CallbackInfo& info) {
    engine_->grammars()->fail_all({info[0].ToString(), info[1].ToString()});
    return info.Env().Undefined();
  }
  Napi::Value force_device_loss(const Napi::CallbackInfo& info) {
    return Request::create(info.Env(), engine_->force_device_loss());
  }
  Napi::Value force_device_room(const Napi::CallbackInfo& info) {
    return Request::create(info.Env(), engine_->force_device_room(to_bytes(info[0], "bytes")));
  }
  Napi::Value close(const Napi::CallbackInfo& info) { return Request::create(info.Env(), engine_->close()); }

  napi_env env_;
  std::unique_ptr<Engine> engine_;
};

// Throws the errors of make_plan().
Napi::Value plan(const Napi::CallbackInfo& info) {
  return from_plan(info.Env(),
                   make_plan(to_description(info[0].As<Napi::Object>()), to_plan_options(info[1].As<Napi::Object>())));
}

// { used, available }: the CPU device's instruction sets.
Napi::Value instruction_set_names(const Napi::CallbackInfo& info) {
  auto object = Napi::Object::New(info.Env());
  const std::vector<InstructionSet> sets = instruction_sets();
  auto available = Napi::Array::New(info.Env(), sets.size());
  for (uint32_t i = 0; i < sets.size(); ++i) available.Set(i, std::string(instruction_set_name(sets[i])));
  object.Set("available", available);
  object.Set("used", std::string(instruction_set_name(chosen_instruction_set())));
  return object;
}

// useInstructionSet(name). Throws the error of use_instruction_set().
Napi::Value choose_instruction_set(const Napi::CallbackInfo& info) {
  use_instruction_set(std::string(info[0].ToString()));
  return info.Env().Undefined();
}

// The limits that lib/limits.ts has too.
Napi::Object limits(Napi::Env env) {
  auto object = Napi::Object::New(env);
  object.Set("slots", kDefaultSlots);
  object.Set("pageRows", kPageRows);
  object.Set("drafts", kMaxDrafts);
  object.Set("smallRows", kSmallRows);
  object.Set("alternatives", kMostAlternatives);
  return object;
}

// The ops that lib/device/ops.ts has too: of each, whether its kernels for small steps and for large ones are tuned.
Napi::Object ops(Napi::Env env) {
  auto object = Napi::Object::New(env);
  for (const NamedOp& op : kOps) {
    auto tuned = Napi::Object::New(env);
    tuned.Set("small", op.tuned != Tuned::kNone);
    tuned.Set("large", op.tuned == Tuned::kSmallAndLarge);
    object.Set(std::string(op.name), tuned);
  }
  return object;
}

// stopEngines(exitCode): to be called just before the process exits with that code. Exiting takes libraries down while
// threads may be inside them. If a thread does not end in time, the process ends here without taking anything down.
Napi::Value stop_engines(const Napi::CallbackInfo& info) {
  if (stop_all_engines(kLongestWait)) return info.Env().Undefined();
  std::fflush(nullptr);
  std::_Exit(info[0].ToNumber().Int32Value());
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  // State belongs to an environment, because each worker thread has its own classes.
  auto* request = new Napi::FunctionReference(Napi::Persistent(Request::define(env)));
  env.SetInstanceData(request);
#ifdef KEXA_GPU
  // Hooks run in the reverse order, so engines have ended when this one runs.
  napi_add_env_cleanup_hook(env, [](void*) { close_kept_devices(); }, nullptr);
#endif
  exports.Set("Engine", EngineObject::define(env));
  exports.Set("Tokenizer", define_tokenizer(env));
  exports.Set("GrammarPort", define_grammar_port(env));
  exports.Set("limits", limits(env));
  exports.Set("ops", ops(env));
  exports.Set("plan", Napi::Function::New(env, guarded<plan>, "plan"));
#ifdef KEXA_LINKED_DAWN
  exports.Set("hasLinkedDawn", true);
#else
  exports.Set("hasLinkedDawn", false);
#endif
  exports.Set("vulkanProblem", Napi::Function::New(env, guarded<vulkan_problem>, "vulkanProblem"));
  exports.Set("instructionSets", Napi::Function::New(env, guarded<instruction_set_names>, "instructionSets"));
  exports.Set("useInstructionSet", Napi::Function::New(env, guarded<choose_instruction_set>, "useInstructionSet"));
  exports.Set("quantize", Napi::Function::New(env, guarded<quantize_values>, "quantize"));
  exports.Set("lockFile", Napi::Function::New(env, guarded<lock_file>, "lockFile"));
  exports.Set("stopEngines", Napi::Function::New(env, guarded<stop_engines>, "stopEngines"));
  exports.Set("rates", Napi::Function::New(env, guarded<measure_rates>, "rates"));
  exports.Set("adapters", Napi::Function::New(env, guarded<list_adapters>, "adapters"));
  return exports;
}

}  // namespace

static Napi::Object init_module(Napi::Env env, Napi::Object exports) { return init(env, exports); }
NODE_API_MODULE(kexa, init_module)

}  // namespace kexa
