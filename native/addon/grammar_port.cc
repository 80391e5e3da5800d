#include "addon/grammar_port.h"

#include "addon/convert.h"

namespace kexa {
namespace {

// The ports of the process. A number whose engine has gone finds nothing.
class SharedPorts {
 public:
  static SharedPorts& all() {
    static SharedPorts& ports = *new SharedPorts;
    return ports;
  }

  double add(const std::shared_ptr<GrammarPort>& port) {
    const std::lock_guard lock(mutex_);
    std::erase_if(ports_, [](const auto& entry) { return entry.second.expired(); });
    for (const auto& [number, known] : ports_)
      if (known.lock() == port) return number;
    ports_.emplace(++last_, port);
    return last_;
  }

  std::shared_ptr<GrammarPort> find(double number) {
    const std::lock_guard lock(mutex_);
    const auto found = ports_.find(number);
    return found == ports_.end() ? nullptr : found->second.lock();
  }

 private:
  std::mutex mutex_;
  std::map<double, std::weak_ptr<GrammarPort>> ports_;
  double last_ = 0;
};

Napi::Object from_message(Napi::Env env, const grammar::Message& message) {
  auto object = Napi::Object::New(env);
  const auto set = [&](const char* name, auto value) { object.Set(name, value); };
  if (const auto* begin = std::get_if<grammar::Begin>(&message)) {
    set("kind", "begin"), set("sequence", double(begin->sequence)), set("grammar", begin->grammar);
    set("tokens", from_ids(env, begin->tokens));
  } else if (const auto* ask = std::get_if<grammar::Ask>(&message)) {
    set("kind", "ask"), set("sequence", double(ask->sequence)), set("step", double(ask->step));
    set("taken", from_ids(env, ask->taken)), set("drafts", from_ids(env, ask->drafts));
    set("mostDrafts", ask->most_drafts), set("forces", ask->forces);
  } else {
    set("kind", "end"), set("sequence", double(std::get<grammar::End>(message).sequence));
  }
  return object;
}

class GrammarPortObject : public Napi::ObjectWrap<GrammarPortObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "GrammarPort",
                       {InstanceMethod<&GrammarPortObject::take>("take"),
                        InstanceMethod<&GrammarPortObject::guarded<&GrammarPortObject::give>>("give"),
                        InstanceMethod<&GrammarPortObject::guarded<&GrammarPortObject::fail>>("fail")});
  }

  explicit GrammarPortObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<GrammarPortObject>(info), env_(info.Env()) {
    port_ = SharedPorts::all().find(info[0].ToNumber());
    if (!port_) throw Napi::Error::New(env_, "the engine of this grammar port has gone");
    wake_ = Wake::New(env_, info[1].As<Napi::Function>(), "kexa.grammar", 0, 1, this);
    wake_.Unref(env_);
    // Registered after the thread-safe function, so that it runs before that function's own hook.
    napi_add_env_cleanup_hook(env_, &GrammarPortObject::on_env_cleanup, this);
    worker_ = port_->attach([this] {
      if (!is_woken_.exchange(true)) wake_.NonBlockingCall();
    });
  }
  ~GrammarPortObject() override {
    if (is_stopped_) return;
    napi_remove_env_cleanup_hook(env_, &GrammarPortObject::on_env_cleanup, this);
    stop();
  }

 private:
  static void on_wake(Napi::Env env, Napi::Function on_wake, GrammarPortObject* self, void*) {
    if (env == nullptr) return;
    self->is_woken_ = false;
    on_wake.Call({});
  }
  using Wake = Napi::TypedThreadSafeFunction<GrammarPortObject, void, &GrammarPortObject::on_wake>;
  static void on_env_cleanup(void* self) { static_cast<GrammarPortObject*>(self)->stop(); }

  template <Napi::Value (GrammarPortObject::*Method)(const Napi::CallbackInfo&)>
  Napi::Value guarded(const Napi::CallbackInfo& info) {
    return or_throw(info.Env(), [&] { return (this->*Method)(info); });
  }

  // Once detach() has returned, no thread wakes this object any more.
  void stop() {
    if (is_stopped_) return;
    is_stopped_ = true;
    port_->detach(worker_);
    wake_.Abort();
  }

  Napi::Value take(const Napi::CallbackInfo& info) {
    const std::vector<grammar::Message> messages = port_->take(worker_);
    auto array = Napi::Array::New(info.Env(), messages.size());
    for (uint32_t i = 0; i < messages.size(); ++i) array.Set(i, from_message(info.Env(), messages[i]));
    return array;
  }

  Napi::Value give(const Napi::CallbackInfo& info) {
    const auto words = info[3].As<Napi::Uint32Array>();
    port_->give(worker_, uint64_t(to_count(info[0], "sequence")), uint64_t(to_count(info[1], "step")),
                {.drafts = to_ids(info[2]), .words = {words.Data(), words.Data() + words.ElementLength()}});
    return info.Env().Undefined();
  }

  Napi::Value fail(const Napi::CallbackInfo& info) {
    port_->fail(worker_, uint64_t(to_count(info[0], "sequence")), {info[1].ToString(), info[2].ToString()});
    return info.Env().Undefined();
  }

  napi_env env_;
  std::shared_ptr<GrammarPort> port_;
  uint64_t worker_ = 0;
  Wake wake_;
  std::atomic<bool> is_woken_{false};  // a wake is under way, so further ones are not needed
  bool is_stopped_ = false;
};

}  // namespace

double share_grammar_port(const std::shared_ptr<GrammarPort>& port) { return SharedPorts::all().add(port); }

Napi::Function define_grammar_port(Napi::Env env) { return GrammarPortObject::define(env); }

}  // namespace kexa
