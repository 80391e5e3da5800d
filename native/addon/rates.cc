#include "addon/rates.h"

#include "addon/convert.h"
#include "base/error.h"
#include "base/failure.h"
#ifdef KEXA_GPU
#include "kernels/gpu_rates.h"
#endif
#include "cpu/cpu_rates.h"

namespace kexa {
namespace {

class Measure final : public Napi::AsyncWorker {
 public:
  Measure(Napi::Env env, PlanOptions options)
      : Napi::AsyncWorker(env, "kexa.rates"),
        options_(std::move(options)),
        deferred_(Napi::Promise::Deferred::New(env)) {}
  Napi::Promise promise() const { return deferred_.Promise(); }

 private:
  void Execute() override {
    try {
      if (options_.adapter.empty()) {
        rates_ = measure_cpu_rates(options_.threads);
        return;
      }
#ifdef KEXA_GPU
      load_dawn(options_.dawn_library);
      Gpu gpu({.wanted = options_.adapter,
               .is_checked = options_.is_checked,
               .vulkan_library = options_.vulkan_library,
               .dawn_identity = options_.dawn_identity,
               .blob_folder = options_.blob_folder});
      rates_ = measure_gpu_rates(gpu);
#else
      throw Error("KEXA_NO_DEVICE", "this addon was built without Dawn's header: CPU only");
#endif
    } catch (...) {
      const Failure failure = failure_of(std::current_exception());
      code_ = failure.code;
      SetError(failure.message);
    }
  }
  void OnOK() override {
    auto rates = Napi::Object::New(Env());
    rates.Set("copy", rates_.copy);
    rates.Set("read", rates_.read);
    rates.Set("f32", rates_.f32);
    rates.Set("matrices", rates_.matrices > 0 ? Napi::Value(Napi::Number::New(Env(), rates_.matrices)) : Env().Null());
    rates.Set("matrixShape", rates_.matrix_shape);
    deferred_.Resolve(rates);
  }
  void OnError(const Napi::Error& error) override {
    const Napi::Object value = error.Value();
    value.Set("code", code_);
    deferred_.Reject(value);
  }

  PlanOptions options_;
  Napi::Promise::Deferred deferred_;
  DeviceRates rates_;
  std::string code_ = "KEXA_INTERNAL";
};

}  // namespace

Napi::Value measure_rates(const Napi::CallbackInfo& info) {
  auto worker = std::make_unique<Measure>(info.Env(), to_plan_options(info[0].As<Napi::Object>()));
  const auto promise = worker->promise();
  worker.release()->Queue();
  return promise;
}

}  // namespace kexa
