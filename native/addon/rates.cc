#include "addon/rates.h"

#include "addon/convert.h"
#include "addon/worker.h"
#include "base/error.h"
#ifdef KEXA_GPU
#include "kernels/gpu_device.h"
#include "kernels/gpu_rates.h"
#endif
#include "cpu/cpu_rates.h"

namespace kexa {
namespace {

class Measure final : public Worker {
 public:
  Measure(Napi::Env env, PlanOptions options) : Worker(env, "kexa.rates"), options_(std::move(options)) {}

 private:
  void work() override {
    if (options_.adapter.empty()) {
      rates_ = measure_cpu_rates(options_.threads);
      return;
    }
#ifdef KEXA_GPU
    const std::unique_ptr<Gpu> gpu = open_gpu(options_);
    rates_ = measure_gpu_rates(*gpu);
#else
    throw Error("KEXA_NO_DEVICE", "this addon was built without Dawn's header: CPU only");
#endif
  }
  Napi::Value result() override {
    auto rates = Napi::Object::New(Env());
    rates.Set("copy", rates_.copy);
    rates.Set("read", rates_.read);
    rates.Set("f32", rates_.f32);
    rates.Set("matrices", rates_.matrices > 0 ? Napi::Value(Napi::Number::New(Env(), rates_.matrices)) : Env().Null());
    rates.Set("matrixShape", rates_.matrix_shape);
    return rates;
  }

  PlanOptions options_;
  DeviceRates rates_;
};

}  // namespace

Napi::Value measure_rates(const Napi::CallbackInfo& info) {
  return Worker::start(std::make_unique<Measure>(info.Env(), to_plan_options(info[0].As<Napi::Object>())));
}

}  // namespace kexa
